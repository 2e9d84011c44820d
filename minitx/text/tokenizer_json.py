"""tokenizer.json: the one file that `tokenizers`, transformers and sentence-transformers read a tokenizer from.

It is a chain of parts, normalizer -> pre_tokenizer -> model -> post_processor (and a decoder for the way back), each an
object with a "type". minitx knows two chains, those of `BPETokenizer` and of `WordPieceTokenizer`. A part it does not
know is refused by name: ignoring it would give other ids than the model was trained with, silently.

`truncation` and `padding` are not taken over: here both are arguments of the call that encodes.
"""

import json
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from minitx.errors import InputError
from minitx.system import read_json

Json = dict[str, Any]
MAX_ID = 0x10FFFF  # a token is one character, chr(id), while words are merged


@dataclass(frozen=True)
class SpecialToken:
    """A token that stands for no text. `lstrip`/`rstrip`: when found in text, it includes the white space there."""

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


@dataclass
class TokenizerSpec:
    """All that defines a tokenizer, whichever file it came from."""

    model: str  # "BPE" or "WordPiece"
    vocab: dict[str, int]  # token -> id, special tokens included, no id twice
    special_tokens: list[SpecialToken] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)  # the special tokens before every text, for BERT ["[CLS]"]
    suffix: list[str] = field(default_factory=list)  # and after it, ["[SEP]"]
    pad_token: str | None = None  # None: the one that is spelt "<pad>" or "[PAD]"
    # BPE only.
    merges: list[tuple[str, str]] = field(default_factory=list)  # pairs of tokens to join, in the order learnt
    add_prefix_space: bool = False  # give the first word of a text a space too
    trim_offsets: bool = False  # leave white space out of the offsets ...
    keep_first_space: bool = False  # ... but not the first one of the text
    # WordPiece only. The last four are BERT's way of cleaning text.
    unk_token: str = "[UNK]"
    subword_prefix: str = "##"
    max_word_length: int = 100
    clean_text: bool = True
    split_chinese: bool = True
    strip_accents: bool = True
    lowercase: bool = True
    cleanup: bool = True  # decode "ok ." as "ok."


# Reading. `where` is the path of names that leads to a value, for the message when it is wrong.


def _take(data: Any, key: str, kind: type, where: str, default: Any = ...) -> Any:
    """`data[key]`, which must be of `kind`; `default` when it is absent or null."""
    if not isinstance(data, dict):
        raise InputError(f"{where} is a {type(data).__name__}; it must be an object")
    value = data.get(key)
    if value is None and default is not ...:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "is missing" if key not in data else f"is a {type(value).__name__}"
        raise InputError(f"{where}: {key!r} {found}; it must be a {kind.__name__}")
    return value


def check_vocab(vocab: Any, where: str) -> dict[str, int]:
    """Token -> id with no id twice and none that is not a small whole number."""
    if not isinstance(vocab, dict) or not vocab:
        raise InputError(f"{where}: the vocabulary is empty or not an object of token: id")
    owners: dict[int, str] = {}
    for token, id in vocab.items():
        if type(id) is not int or not 0 <= id <= MAX_ID:
            raise InputError(f"{where}: token {token!r} has the id {id!r}; ids are whole numbers from 0 to {MAX_ID}")
        if id in owners:
            raise InputError(f"{where}: the id {id} is given to both {owners[id]!r} and {token!r}")
        owners[id] = token
        _check_spelling(token, where)
    return vocab


def _check_spelling(token: str, where: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in token):  # JSON can spell it, as an escape; nothing else can
        raise InputError(f"{where}: the token {token!r} holds half of a surrogate pair, which UTF-8 cannot write")


def check_merges(merges: Any, where: str) -> list[tuple[str, str]]:
    """Pairs of tokens, from either notation: ["a", "b"], or "a b" as written before tokenizers 0.20."""
    if not isinstance(merges, list):
        raise InputError(f"{where}: the merges are missing or not a list")
    pairs = []
    for rank, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise InputError(f'{where}: merge {rank} is {str(merge)[:40]!r}; a merge is ["a", "b"] or "a b"')
        pairs.append((parts[0], parts[1]))
    return pairs


def read_tokenizer_json(path: str | PathLike[str]) -> TokenizerSpec:
    """Read and check a tokenizer.json.

    Raises:
        InputError: the file cannot be read, is damaged, or has a part that minitx does not implement.
    """
    data, where = read_json(path), str(path)
    model = _take(data, "model", dict, where)
    # Files older than tokenizers 0.9 leave the type of the model out; only BPE has merges.
    kind = _take(model, "type", str, f"{where}: model", "BPE" if "merges" in model else "WordPiece")
    readers = {"BPE": _read_bpe, "WordPiece": _read_wordpiece}
    if kind not in readers:
        raise InputError(f"{where}: the model is {kind!r}; accepted are {', '.join(readers)}")
    spec = TokenizerSpec(kind, dict(check_vocab(model.get("vocab"), f"{where}: model")))
    _read_added_tokens(data, where, spec)
    readers[kind](data, where, spec)
    _read_post_processor(_take(data, "post_processor", dict, where, {}), f"{where}: post_processor", spec)
    spec.pad_token = _take(_take(data, "padding", dict, where, {}), "pad_token", str, f"{where}: padding", None)
    for token in [*spec.prefix, *spec.suffix, *filter(None, [spec.pad_token])]:
        if token not in spec.vocab:
            raise InputError(f"{where}: the special token {token!r} is not in the vocabulary")
    return spec


def _read_added_tokens(data: Json, where: str, spec: TokenizerSpec) -> None:
    owners = {id: token for token, id in spec.vocab.items()}
    for entry in _take(data, "added_tokens", list, where, []):
        name = f"{where}: added_tokens"
        content, id = _take(entry, "content", str, name), _take(entry, "id", int, name)
        _check_spelling(content, name)
        if not content or not 0 <= id <= MAX_ID or owners.setdefault(id, content) != content:
            raise InputError(f"{name}: {content!r} has the id {id}, which is taken or out of range")
        if spec.vocab.setdefault(content, id) != id:
            raise InputError(f"{name}: {content!r} has the id {id}, but {spec.vocab[content]} in the vocabulary")
        if not _take(entry, "special", bool, name, False):
            raise InputError(f"{name}: {content!r} is not special; minitx accepts special tokens only")
        if _take(entry, "single_word", bool, name, False):
            raise InputError(f"{name}: {content!r} has single_word, which minitx does not implement")
        strips = (_take(entry, side, bool, name, False) for side in ("lstrip", "rstrip"))
        spec.special_tokens.append(SpecialToken(content, id, *strips))


def _part(data: Json, key: str, where: str, *accepted: str | None) -> tuple[Json, str]:
    """One part of the chain and the path to it; `None` among the accepted means that it may be absent."""
    part = _take(data, key, dict, where, None)
    kind = None if part is None else _take(part, "type", str, f"{where}: {key}")
    if kind not in accepted:
        names = ", ".join(name or "none" for name in accepted)
        raise InputError(f"{where}: {key} {kind or 'none'!r} is not implemented; accepted: {names}")
    return part or {}, f"{where}: {key}"


def _refuse(part: Json, where: str, **accepted: tuple[Any, ...]) -> None:
    """Settings that change the ids and have only these values here."""
    for key, values in accepted.items():
        if part.get(key, values[0]) not in values:
            raise InputError(f"{where}: {key} {part[key]!r} is not implemented; accepted: {values[0]!r}")


def _read_bpe(data: Json, where: str, spec: TokenizerSpec) -> None:
    _part(data, "normalizer", where, None)
    _part(data, "decoder", where, "ByteLevel")
    byte_level, name = _part(data, "pre_tokenizer", where, "ByteLevel")
    _refuse(byte_level, name, use_regex=(True,))
    spec.add_prefix_space = _take(byte_level, "add_prefix_space", bool, name)
    model, name = data["model"], f"{where}: model"
    _refuse(model, name, dropout=(None, 0), byte_fallback=(False, None), ignore_merges=(False, None))
    _refuse(model, name, continuing_subword_prefix=(None, ""), end_of_word_suffix=(None, ""))
    spec.merges = check_merges(model.get("merges"), name)


def _read_wordpiece(data: Json, where: str, spec: TokenizerSpec) -> None:
    decoder, name = _part(data, "decoder", where, "WordPiece", None)
    spec.cleanup = _take(decoder, "cleanup", bool, name, True)
    _part(data, "pre_tokenizer", where, "BertPreTokenizer")
    bert, name = _part(data, "normalizer", where, "BertNormalizer", None)
    spec.clean_text = _take(bert, "clean_text", bool, name, bool(bert))
    spec.split_chinese = _take(bert, "handle_chinese_chars", bool, name, bool(bert))
    spec.lowercase = _take(bert, "lowercase", bool, name, bool(bert))
    spec.strip_accents = _take(bert, "strip_accents", bool, name, spec.lowercase)  # null: as BERT, with lower-casing
    model, name = data["model"], f"{where}: model"
    spec.unk_token = _take(model, "unk_token", str, name)
    spec.subword_prefix = _take(model, "continuing_subword_prefix", str, name)
    spec.max_word_length = _take(model, "max_input_chars_per_word", int, name, 100)


def _read_post_processor(part: Json, where: str, spec: TokenizerSpec) -> None:
    kind = _take(part, "type", str, where, None)
    if kind == "Sequence":
        for inner in _take(part, "processors", list, where):
            if _take(inner, "type", str, where) == "Sequence":
                raise InputError(f"{where}: a Sequence within a Sequence is not implemented")
            _read_post_processor(inner, where, spec)
    elif kind == "TemplateProcessing":
        _read_template(part, where, spec)
    elif kind in ("BertProcessing", "RobertaProcessing"):
        for key, side in (("cls", spec.prefix), ("sep", spec.suffix)):
            token, id = (*_take(part, key, list, where), None, None)[:2]
            if not isinstance(token, str) or spec.vocab.get(token) != id:
                raise InputError(f"{where}: {key} is {part[key]}; it must be a token of the vocabulary and its id")
            side.append(token)
    elif kind not in ("ByteLevel", None):
        accepted = "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence"
        raise InputError(f"{where}: {kind!r} is not implemented; accepted: {accepted}, none")
    if kind in ("RobertaProcessing", "ByteLevel"):
        spec.trim_offsets = _take(part, "trim_offsets", bool, where, True)
        spec.keep_first_space = _take(part, "add_prefix_space", bool, where, True)


def _read_template(part: Json, where: str, spec: TokenizerSpec) -> None:
    side = spec.prefix
    for piece in _take(part, "single", list, where):
        if isinstance(piece, dict) and "Sequence" in piece and side is spec.prefix:
            side = spec.suffix
            continue
        token = _take(_take(piece, "SpecialToken", dict, where), "id", str, where)
        entry = _take(_take(part, "special_tokens", dict, where), token, dict, where)
        if entry.get("ids") != [spec.vocab.get(token)]:
            raise InputError(
                f"{where}: {token!r} has the ids {entry.get('ids')}, in the vocabulary {spec.vocab.get(token)}"
            )
        side.append(token)
    if side is spec.prefix:
        raise InputError(f"{where}: the template has no place for the text")


# Writing.


def write_tokenizer_json(path: str | PathLike[str], spec: TokenizerSpec) -> None:
    """Write a file that `tokenizers.Tokenizer.from_file` loads and that encodes the same there."""
    added = [
        {"id": t.id, "content": t.content, "single_word": False, "lstrip": t.lstrip, "rstrip": t.rstrip}
        | {"normalized": False, "special": True}
        for t in sorted(spec.special_tokens, key=lambda special: special.id)
    ]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": spec.add_prefix_space,
        "trim_offsets": True,
        "use_regex": True,
    }
    vocab = dict(sorted(spec.vocab.items(), key=lambda item: item[1]))
    parts: Json
    if spec.model == "BPE":
        model: Json = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
        model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
        model |= {"vocab": vocab, "merges": [list(pair) for pair in spec.merges]}
        parts = {"normalizer": None, "pre_tokenizer": byte_level, "decoder": byte_level}
    else:
        model = {"type": "WordPiece", "unk_token": spec.unk_token, "continuing_subword_prefix": spec.subword_prefix}
        model |= {"max_input_chars_per_word": spec.max_word_length, "vocab": vocab}
        bert: Json = {"clean_text": spec.clean_text, "handle_chinese_chars": spec.split_chinese}
        bert |= {"strip_accents": spec.strip_accents, "lowercase": spec.lowercase}
        parts = {"normalizer": {"type": "BertNormalizer"} | bert, "pre_tokenizer": {"type": "BertPreTokenizer"}}
        parts |= {"decoder": {"type": "WordPiece", "prefix": spec.subword_prefix, "cleanup": spec.cleanup}}
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _post_processor(spec),
        "decoder": parts["decoder"],
        "model": model,
    }
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def _post_processor(spec: TokenizerSpec) -> Json:
    def template(*sides: tuple[str, int]) -> list[Json]:
        pieces: list[Json] = []
        for name, type_id in sides:
            opening = spec.prefix if type_id == 0 else []  # a second text follows the first without an opening token
            pieces += [{"SpecialToken": {"id": token, "type_id": type_id}} for token in opening]
            pieces += [{"Sequence": {"id": name, "type_id": type_id}}]
            pieces += [{"SpecialToken": {"id": token, "type_id": type_id}} for token in spec.suffix]
        return pieces

    processor: Json = {
        "type": "TemplateProcessing",
        "single": template(("A", 0)),
        "pair": template(("A", 0), ("B", 1)),
        "special_tokens": {
            token: {"id": token, "ids": [spec.vocab[token]], "tokens": [token]}
            for token in dict.fromkeys([*spec.prefix, *spec.suffix])
        },
    }
    if spec.trim_offsets and spec.model == "BPE":
        trim = {"type": "ByteLevel", "add_prefix_space": spec.keep_first_space, "trim_offsets": True, "use_regex": True}
        processor = {"type": "Sequence", "processors": [trim, processor]}
    return processor
