"""tokenizer.json: the one file that `tokenizers`, transformers and sentence-transformers read a tokenizer from.

It is a chain of components, normalizer -> pre_tokenizer -> model -> post_processor (and a decoder for the way back),
each an object with a "type". minitx knows those of BPE, WordPiece and Unigram that its tokenizers are
made of. A component it does not know is refused by name: to ignore it would silently give other ids than the model was
trained with.

`truncation` and `padding` are not taken over: here both are arguments of the call that encodes.
"""

from collections import Counter
from dataclasses import asdict
from operator import attrgetter, itemgetter
from os import PathLike
from pathlib import Path
from typing import Any

from minitx.errors import InputError
from minitx.system import Fields, brief, read_fields
from minitx.text.spec import TokenizerSpec, check_merges, check_vocab
from minitx.text.specials import SpecialToken
from minitx.writing import write_json

Json = dict[str, Any]
MOST_LETTERS = 1_000  # of a word or a token: matching takes time with the product
MOST_SCORE = 1e30  # of a piece; sums of scores stay finite
MOST_ADDED, MOST_SPELT = 10_000, 500_000  # tokens and their characters; all of them are one regular expression
PROCESSORS = (None, "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel")


def read_tokenizer_json(path: str | PathLike[str]) -> TokenizerSpec:
    """What a tokenizer.json says.

    Raises:
        InputError: the file cannot be read, is damaged, or has a component that minitx does not implement.
    """
    return spec_of(read_fields(path))


def spec_of(data: Fields) -> TokenizerSpec:
    """As `read_tokenizer_json`, of what such a file holds."""
    model = data.within("model")
    # Files older than tokenizers 0.9 leave the type of the model out; only BPE has merges.
    kinds = ("BPE", "WordPiece") if "merges" in model.data else ("WordPiece", "BPE")
    kind = model.choose("type", *kinds, "Unigram")
    model.get("vocab", list if kind == "Unigram" else dict)
    vocab, scores = read_vocabulary(model)
    spec = TokenizerSpec(kind, vocab, scores=scores, source=data.where)
    _read_added_tokens(data, spec)
    {"BPE": _read_bpe, "WordPiece": _read_wordpiece, "Unigram": _read_unigram}[kind](data, model, spec)
    _read_post_processor(data.within("post_processor", {}), spec)
    padding = data.within("padding", {})
    padding.choose("direction", "Right")
    data.within("truncation", {}).choose("direction", "Right")
    spec.pad_token = padding.get("pad_token", str, None)
    return spec


def _read_added_tokens(data: Fields, spec: TokenizerSpec) -> None:
    """Tokens that may be in the vocabulary already; `tokenizers` gives others the next ids, whatever the file says."""
    added = data.each("added_tokens", [])
    letters = sum(len(entry.get("content", str)) for entry in added)
    if len(added) > MOST_ADDED or letters > MOST_SPELT:
        limit = f"accepted are at most {MOST_ADDED:,} of {MOST_SPELT:,} characters"
        raise InputError(f"{data.where}: {len(added):,} added_tokens of {letters:,} characters; {limit}")
    if twice := [token for token, count in Counter(entry.data["content"] for entry in added).items() if count > 1]:
        raise InputError(f"{data.where}: added_tokens has {brief(twice[0])} twice")
    following = len(spec.vocab)
    for entry in added:
        content, id, special = entry.get("content", str), entry.get("id", int), entry.get("special", bool, False)
        if not content:
            raise InputError(f"{entry.where}: content is empty; it must be the spelling of a token")
        known, right = content in spec.vocab, spec.vocab.setdefault(content, id)
        if right != id or not (known or id == following):
            found = f"{brief(content)} has the id {id}, but {brief(right if known else following)} in the vocabulary"
            raise InputError(f"{entry.where}: {found}")
        following = max(following, id + 1)
        flags = {key: entry.get(key, bool, False) for key in ("lstrip", "rstrip", "single_word")}
        token = SpecialToken(content, id, **flags, normalized=entry.get("normalized", bool, not special))
        (spec.special_tokens if special else spec.added_tokens).append(token)
    check_vocab(spec.vocab, data.where)


def _component(data: Fields, key: str, *accepted: str | None) -> Fields:
    """One component of the chain, of an accepted type; `None` among these means that it may be absent or null."""
    present = data.data.get(key) is not None
    component = data.within(key, {})
    kind = component.get("type", str) if present else None
    if kind not in accepted:
        names = ", ".join(name or "none" for name in accepted)
        raise InputError(f"{data.where}: {key} {brief(kind or 'none')} is not implemented; accepted: {names}")
    return component


def _read_bpe(data: Fields, model: Fields, spec: TokenizerSpec) -> None:
    if _component(data, "normalizer", None, "NFC").data:
        spec.model = "NFC BPE"
    _component(data, "decoder", "ByteLevel")
    byte_level = _component(data, "pre_tokenizer", "ByteLevel")
    byte_level.choose("use_regex", True)
    spec.add_prefix_space = byte_level.get("add_prefix_space", bool)
    model.choose("dropout", None, 0)
    for key in ("byte_fallback", "ignore_merges"):
        model.choose(key, False)
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        model.choose(key, None, "")
    spec.merges = check_merges(model.get("merges", list), model.where)


def _read_wordpiece(data: Fields, model: Fields, spec: TokenizerSpec) -> None:
    spec.cleanup = _component(data, "decoder", "WordPiece", None).get("cleanup", bool, True)
    _component(data, "pre_tokenizer", "BertPreTokenizer")
    bert = _component(data, "normalizer", "BertNormalizer", None)
    cleans = bool(bert.data)  # without this component, text is taken as it is
    spec.clean_text = bert.get("clean_text", bool, cleans)
    spec.split_chinese = bert.get("handle_chinese_chars", bool, cleans)
    spec.lowercase = bert.get("lowercase", bool, cleans)
    spec.strip_accents = bert.get("strip_accents", bool, spec.lowercase)  # null: as BERT, with lower-casing
    spec.unk_token = model.get("unk_token", str)
    spec.subword_prefix = model.get("continuing_subword_prefix", str)
    spec.max_word_length = model.get("max_input_chars_per_word", int, 100, least=0)
    if spec.max_word_length > MOST_LETTERS and (longest := max(map(len, spec.vocab))) > MOST_LETTERS:
        found = f"max_input_chars_per_word is {spec.max_word_length}, and a token has {longest:,} characters"
        raise InputError(f"{model.where}: {found}; one of them must be at most {MOST_LETTERS:,}")


def read_vocabulary(model: Fields) -> tuple[dict[str, int], dict[str, float]]:
    """Piece -> id, and of Unigram, whose vocabulary is a list, piece -> score."""
    if not isinstance(model.data.get("vocab"), list):
        return model.get("vocab", dict), {}
    scores: dict[str, float] = {}
    for id, pair in enumerate(model.data["vocab"]):
        piece, score = pair if isinstance(pair, list) and len(pair) == 2 else (None, 0)
        new = isinstance(piece, str) and len(piece) <= MOST_LETTERS and piece not in scores
        if piece is None or not new or type(score) not in (int, float) or not abs(score) < MOST_SCORE:
            needs = f'["piece", score], each piece once and of at most {MOST_LETTERS:,} characters'
            raise InputError(f"{model.where}: vocab {id} is {brief(pair)}; it must be {needs}")
        scores[piece] = float(score)
    return {piece: id for id, piece in enumerate(scores)}, scores


def _read_unigram(data: Fields, model: Fields, spec: TokenizerSpec) -> None:
    splits = _component(data, "pre_tokenizer", "Metaspace", "Sequence")
    decoder = _component(data, "decoder", "Metaspace")
    parts = splits.each("pretokenizers") if splits.data["type"] == "Sequence" else [splits]
    if [part.get("type", str) for part in parts] not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise InputError(f"{splits.where} is not implemented; accepted: Metaspace, after WhitespaceSplit or not")
    spec.split_blanks, spec.split_spaces = len(parts) == 2, parts[-1].get("split", bool, True)
    spec.prepend_scheme = parts[-1].choose("prepend_scheme", "always", "first", "never")
    decoder.data.setdefault("prepend_scheme", "always")
    decoder.choose("prepend_scheme", spec.prepend_scheme)
    for part in (parts[-1], decoder):
        part.choose("replacement", "▁")
        part.choose("add_prefix_space", True, spec.prepend_scheme != "never")  # older files have nothing else
    spec.byte_fallback = model.get("byte_fallback", bool, False)
    spec.normalizer = data.get("normalizer", dict, None)
    unknown = model.get("unk_id", int, least=0)
    spec.unk_token = [*spec.scores, *[""] * (unknown + 1)][unknown]  # which check() refuses if there is none


def _read_post_processor(processor: Fields, spec: TokenizerSpec) -> None:
    """Which special tokens go around a text, and whether offsets are trimmed."""
    in_sequence = processor.choose("type", *PROCESSORS, "Sequence") == "Sequence"
    for part in processor.each("processors") if in_sequence else [processor]:
        kind = part.choose("type", *PROCESSORS)
        if kind == "TemplateProcessing":
            _read_template(part, spec)
        elif kind in ("BertProcessing", "RobertaProcessing"):
            for key, side in (("cls", spec.prefix), ("sep", spec.suffix)):
                token, id = (*part.get(key, list), None, None)[:2]
                if not isinstance(token, str) or spec.vocab.get(token) != id:
                    found = f"{key} is {brief(part.data[key])}"
                    raise InputError(f"{part.where}: {found}; it must be a token of the vocabulary and its id")
                side.append(token)
            if kind == "RobertaProcessing":
                first, last = spec.prefix[-1], spec.suffix[-1]
                spec.pair = [(token, 0) for token in (first, None, last, last, None, last)]
        if kind in ("RobertaProcessing", "ByteLevel"):
            spec.trim_offsets = part.get("trim_offsets", bool, True)
            spec.keep_first_space = part.get("add_prefix_space", bool, True)


def _read_template(template: Fields, spec: TokenizerSpec) -> None:
    """The special tokens around one text, and those around two with the token types of all."""
    items: dict[str, list[tuple[str | None, int]]] = {"single": [], "pair": []}
    for key, texts in (("single", ["A"]), ("pair", ["A", "B"])):
        found = []
        for item in template.each(key):
            part = item.within("Sequence" if "Sequence" in item.data else "SpecialToken")
            token = part.get("id", str)
            if "Sequence" in item.data:
                found.append(token)
            elif (ids := template.within("special_tokens").within(token).get("ids", list)) != [spec.vocab.get(token)]:
                given = f"{brief(token)} has the ids {brief(ids)}"
                raise InputError(f"{template.where}: {given}, in the vocabulary {spec.vocab.get(token)}")
            items[key].append((None if "Sequence" in item.data else token, part.get("type_id", int, 0, least=0)))
        if found != texts or (key == "single" and any(type_id for _, type_id in items[key])):
            needs = f"the texts {' and '.join(texts)}, and A alone type_id 0"
            raise InputError(f"{template.where}: {key} must have {needs}")
    tokens = [token or "" for token, _ in items["single"]]
    spec.prefix, spec.suffix = tokens[: tokens.index("")], tokens[tokens.index("") + 1 :]
    spec.pair = [] if items["pair"] == spec.pair_template() else items["pair"]


def write_tokenizer_json(path: str | PathLike[str], spec: TokenizerSpec) -> None:
    """Write a file that `tokenizers.Tokenizer.from_file` loads and that encodes the same there."""
    found = sorted([*spec.special_tokens, *spec.added_tokens], key=attrgetter("id"))
    added = [asdict(token) | {"special": token in spec.special_tokens} for token in found]
    vocab = dict(sorted(spec.vocab.items(), key=itemgetter(1)))
    model: Json = {"type": spec.model.removeprefix("NFC "), "vocab": vocab}
    normalizer, decoder = spec.normalizer, Json()
    if spec.model == "Unigram":
        model |= {"vocab": [[*pair] for pair in spec.scores.items()], "unk_id": spec.vocab[spec.unk_token]}
        model |= {"byte_fallback": spec.byte_fallback}
        decoder |= {"type": "Metaspace", "prepend_scheme": spec.prepend_scheme, "split": spec.split_spaces}
        decoder |= {"replacement": "▁"}
        both = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, decoder]}
        pre_tokenizer = both if spec.split_blanks else decoder
    elif model["type"] == "BPE":
        normalizer = {"type": "NFC"} if spec.model == "NFC BPE" else None
        pre_tokenizer = decoder = _byte_level(spec.add_prefix_space)
        model["merges"] = [list(pair) for pair in spec.merges]
    else:
        normalizer = {"type": "BertNormalizer", "clean_text": spec.clean_text, "lowercase": spec.lowercase}
        normalizer |= {"handle_chinese_chars": spec.split_chinese, "strip_accents": spec.strip_accents}
        pre_tokenizer = {"type": "BertPreTokenizer"}
        decoder = {"type": "WordPiece", "prefix": spec.subword_prefix, "cleanup": spec.cleanup}
        model |= {"unk_token": spec.unk_token, "continuing_subword_prefix": spec.subword_prefix}
        model |= {"max_input_chars_per_word": spec.max_word_length}
    data: Json = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added}
    data |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": _post_processor(spec)}
    write_json(Path(path), data | {"decoder": decoder, "model": model})


def _byte_level(add_prefix_space: bool) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": True}


def _post_processor(spec: TokenizerSpec) -> Json:
    def items(template: list[tuple[str | None, int]]) -> list[Json]:
        names = iter("AB")
        return [
            {"SpecialToken" if token else "Sequence": {"id": token or next(names), "type_id": type_id}}
            for token, type_id in template
        ]

    single: list[tuple[str | None, int]] = [(token, 0) for token in (*spec.prefix, None, *spec.suffix)]
    pair = spec.pair_template()
    tokens = dict.fromkeys(token for token, _ in single + pair if token)
    used = {token: {"id": token, "ids": [spec.vocab[token]], "tokens": [token]} for token in tokens}
    template = {"type": "TemplateProcessing", "single": items(single), "pair": items(pair), "special_tokens": used}
    if spec.trim_offsets and spec.model in ("BPE", "NFC BPE"):
        return {"type": "Sequence", "processors": [_byte_level(spec.keep_first_space), template]}
    return template
