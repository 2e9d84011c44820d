"""Which tokenizer does this directory hold, and what does transformers make of its files?

tokenizer.json has everything, and yet the class of a tokenizer counts: transformers 5 takes the vocabulary, the merges
and the added tokens from whichever files there are, and for most classes nothing else, but builds the rest anew from
what it knows of the class and from tokenizer_config.json. Only the classes without a kind of their own take
tokenizer.json as it is. Here a directory becomes what such a file would hold, which `tokenizer_json` then reads.
"""

from os import PathLike
from os.path import isdir, lexists
from pathlib import Path
from typing import Any

from minitx.errors import InputError
from minitx.system import CONFIG, MOST_BYTES, Fields, brief, check_file, read_fields, read_text
from minitx.text.bpe import BPETokenizer
from minitx.text.composing import ComposingBPETokenizer
from minitx.text.tokenizer import Tokenizer
from minitx.text.tokenizer_json import Json, read_tokenizer_json, read_vocabulary, spec_of
from minitx.text.unigram import UnigramTokenizer
from minitx.text.wordpiece import WordPieceTokenizer

# What transformers knows of a class; its name may end in "Fast".
AS_IT_IS: Json = {}
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
BERT: Json = {role: f"[{role[:-6].upper()}]" for role in ROLES[2:]}
BERT |= {"model": "WordPiece", "processor": "BertProcessing", "ends": ("cls_token", "sep_token")}
ROBERTA: Json = BERT | {"model": "BPE", "processor": "RobertaProcessing", "bos_token": "<s>", "eos_token": "</s>"}
ROBERTA |= {"sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
MPNET = ROBERTA | {"model": "WordPiece", "unk_token": "[UNK]"}
MPNET["mask_token"] = {"content": "<mask>", "lstrip": True}  # it stands for a word with the space before it
GPT2: Json = {"model": "BPE", "unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
XLM_ROBERTA = ROBERTA | {"model": "Unigram", "ends": ("bos_token", "eos_token")}
CLASSES = {
    **dict.fromkeys(("PreTrainedTokenizer", "TokenizersBackend"), AS_IT_IS),
    **dict.fromkeys(("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"), BERT),
    **dict.fromkeys(("RobertaTokenizer", "LongformerTokenizer", "BartTokenizer"), ROBERTA),
    "MPNetTokenizer": MPNET,
    "GPT2Tokenizer": GPT2,
    "XLMRobertaTokenizer": XLM_ROBERTA,
}
CLASS_OF_MODEL = {"bert": "BertTokenizer", "distilbert": "BertTokenizer", "mpnet": "MPNetTokenizer"}
CLASS_OF_MODEL |= {"roberta": "RobertaTokenizer", "roberta-prelayernorm": "RobertaTokenizer"}
CLASS_OF_MODEL |= {"xlm-roberta": "XLMRobertaTokenizer", "modernbert": "TokenizersBackend"}

# Keys of tokenizer_config.json that are read, here or for the length of texts, and those that transformers 5 ignores.
DECIDED = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "trim_offsets")
READ = """add_bos_token add_eos_token added_tokens_decoder additional_special_tokens extra_special_tokens padding_side
model_input_names model_max_length split_special_tokens tokenizer_class truncation_side"""
HARMLESS = """backend chat_template clean_up_tokenization_spaces device_map do_basic_tokenize errors from_slow
full_tokenizer_file init_inputs is_local legacy local_files_only max_len max_length name_or_path
never_split pad_to_multiple_of pad_token_type_id processor_class slow_tokenizer_class sp_model_kwargs stride
special_tokens_map_file tokenizer_file transformers_version truncation_strategy use_fast wordpieces_prefix"""
KNOWN = {*DECIDED, *READ.split(), *HARMLESS.split()}


def load_tokenizer(path: str | PathLike[str]) -> Tokenizer:
    """The tokenizer of a model directory, or of one tokenizer.json.

    A tokenizer.json comes first. Otherwise vocab.txt (BERT, DistilBERT, MiniLM, MPNet) or vocab.json and merges.txt
    (RoBERTa, GPT-2) give the tokens. The class of the tokenizer, which tokenizer_config.json names or config.json or
    its model_type, decides what else counts. Tokens may also be added by tokenizer_config.json and added_tokens.json.

    Raises:
        InputError: none of these files is there, or one is damaged or needs what minitx does not implement, such as a
            class that is not in `CLASSES` or a key of tokenizer_config.json that might change ids.

    Equivalent: `transformers.AutoTokenizer.from_pretrained(path)`.
    """
    path = Path(path)
    if not isdir(path):
        spec = read_tokenizer_json(path)
    else:
        config = _read_config(path)
        data = _read_vocabulary(path, config)
        kind = _kind(path, config, data)
        named = dict.fromkeys(ROLES) | kind | config.data  # in the order in which transformers adds them
        roles = {key: value for key, value in named.items() if key.endswith("_token") and key not in KNOWN and value}
        data.data["added_tokens"] = _added_tokens(path, config, data, kind, roles)
        if kind:
            _rebuild(data, kind, config, {role: _content(token, config) for role, token in roles.items()})
        spec = spec_of(data)
        if "pad_token" in roles and (pad := _content(roles["pad_token"], config)) in spec.vocab:
            spec.pad_token = pad
    kinds = (BPETokenizer, ComposingBPETokenizer, WordPieceTokenizer, UnigramTokenizer)
    return {kind.model: kind for kind in kinds}[spec.model](spec)


def _read_config(path: Path) -> Fields:
    """tokenizer_config.json, with special_tokens_map.json where transformers reads it; no unknown key is ignored."""
    config = read_fields(path / "tokenizer_config.json", optional=True)
    for key, value in config.data.items():
        if key not in KNOWN and not key.endswith("_token") and value not in (None, [], {}):
            found = f"{repr(key)[1:-1]:.60} {brief(value)} is not implemented"
            raise InputError(f"{config.where}: {found}; only keys that are known to leave ids alone are passed over")
    for key, accepted in {"padding_side": "right", "truncation_side": "right", "split_special_tokens": False}.items():
        config.choose(key, accepted)
    if "attention_mask" not in (names := config.get("model_input_names", list, ["attention_mask"])):
        raise InputError(f"{config.where}: model_input_names is {names!r:.100}; it must have attention_mask")
    if config.data.get("added_tokens_decoder") is None:
        config.data |= read_fields(path / "special_tokens_map.json", optional=True).data
    return config


def _read_vocabulary(path: Path, config: Fields) -> Fields:
    """What tokenizer.json holds, or of the older files the model alone."""
    if lexists(path / "tokenizer.json"):  # a broken link is refused, not passed over
        return read_fields(path / "tokenizer.json")
    for key in ("add_bos_token", "add_eos_token"):  # with a tokenizer.json, transformers ignores them
        config.choose(key, False)
    if lexists(file := path / "vocab.txt"):
        return Fields({"model": {"type": "WordPiece", "vocab": _read_vocab_txt(file)}}, str(file))
    if lexists(file := path / "vocab.json") and lexists(path / "merges.txt"):
        check_file(path / "merges.txt", MOST_BYTES)
        lines = read_text(path / "merges.txt").split("\n")
        merges = [line for line in lines[lines[0].startswith("#version") :] if line]
        return Fields({"model": {"type": "BPE", "vocab": read_fields(file).data, "merges": merges}}, str(path))
    raise InputError(f"{path} holds no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt")


def _read_vocab_txt(path: Path) -> dict[str, int]:
    """One token a line; its id is the number of the line."""
    vocab: dict[str, int] = {}
    check_file(path, MOST_BYTES)
    for line, token in enumerate(read_text(path).removesuffix("\n").split("\n")):
        if vocab.setdefault(token, line) != line:
            raise InputError(f"{path}: line {line + 1} repeats the token {brief(token)} of line {vocab[token] + 1}")
    return vocab


def _kind(path: Path, config: Fields, data: Fields) -> Json:
    """What is known of the class of the tokenizer; an InputError if it is not one of `CLASSES`."""
    model = read_fields(path / CONFIG, optional=True)
    source = config if config.data.get("tokenizer_class") is not None else model
    name = source.get("tokenizer_class", str, CLASS_OF_MODEL.get(str(model.data.get("model_type"))))
    if model.data.get("model_type") == "modernbert":  # transformers knows that these files name a wrong class
        name = CLASS_OF_MODEL["modernbert"]
    found = data.within("model").data
    if name is None:  # a tokenizer of no model
        rebuilt = [MPNET, BERT] if found.get("type") == "WordPiece" else [ROBERTA, GPT2]
        silent = not set(DECIDED) & config.data.keys() or found.get("type") == "Unigram"
        return AS_IT_IS if silent and lexists(path / "tokenizer.json") else rebuilt["<s>" not in found["vocab"]]
    if name.removesuffix("Fast") not in CLASSES:
        accepted = ", ".join(CLASSES)
        raise InputError(f"{source.where}: tokenizer_class {brief(name)} is not implemented; accepted: {accepted}")
    kind = CLASSES[name.removesuffix("Fast")]
    holds = found.get("type") or ("BPE" if "merges" in found else "WordPiece")
    if kind.get("model", holds) != holds or not (kind or lexists(path / "tokenizer.json")):
        needs = f"{kind['model']}" if kind else "tokenizer.json"
        raise InputError(f"{source.where}: tokenizer_class {brief(name)} needs {needs}, but {data.where} holds {holds}")
    return kind


def _content(token: Any, config: Fields) -> str:
    """The spelling of a token that a file names, either as a string or as {"content": ...}."""
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str):
        raise InputError(f'{config.where}: the token {brief(token)} must be text or {{"content": text}}')
    return content


def _added_tokens(path: Path, config: Fields, data: Fields, kind: Json, roles: Json) -> list[Json]:
    """All added tokens as entries of a tokenizer.json: later files override earlier ones."""
    key = "extra_special_tokens" if config.data.get("extra_special_tokens") else "additional_special_tokens"
    extra = config.data.get(key)
    extra = [*extra.values()] if isinstance(extra, dict) else config.get(key, list, [])
    named = {_content(token, config): token for token in (*roles.values(), *extra)}
    own = [entry.data | {"content": entry.get("content", str)} for entry in data.each("added_tokens", [])]
    decoder = config.get("added_tokens_decoder", dict, None)
    if decoder is None:
        older = read_fields(path / "added_tokens.json", optional=True).data
        more = [{"content": token, "id": id, "special": token in named} for token, id in older.items()] + own
    else:
        entries = Fields(decoder, f"{config.where}: added_tokens_decoder")
        listed = {id: entries.within(id) for id in decoder}
        more = [entry.data | {"content": entry.get("content", str), "id": _id(id)} for id, entry in listed.items()]
    result = {entry.get("content"): entry for entry in [*([] if kind and decoder is not None else own), *more]}
    for entry in result.values():
        entry["special"] = entry.get("special") or entry.get("content") in named
    vocab, _ = read_vocabulary(data.within("model"))
    for content, token in named.items():
        if content in vocab and content not in result:
            flags = {"normalized": False} | (token if isinstance(token, dict) else {})
            result[content] = flags | {"content": content, "id": vocab[content], "special": True}
        elif content not in result and token in extra:  # transformers would give it an id that the model may not have
            raise InputError(f"{config.where}: the special token {brief(content)} is not in the vocabulary")
    return sorted(result.values(), key=lambda entry: entry["id"] if isinstance(entry.get("id"), int) else -1)


def _id(key: str) -> int | str:
    return int(key) if key.isdecimal() and len(key) < 9 else key


def _rebuild(data: Fields, kind: Json, config: Fields, roles: Json) -> None:
    """Put in place of all but the vocabulary, the merges and the added tokens what transformers does."""
    model = {key: data.data["model"].get(key) for key in ("type", "vocab", "merges")} | {"type": kind["model"]}
    vocab, _ = read_vocabulary(data.within("model"))
    vocab = vocab | {entry.get("content"): entry.get("id") for entry in data.data["added_tokens"]}
    prefix_space = config.get("add_prefix_space", bool, kind is XLM_ROBERTA)
    if kind["model"] == "BPE":
        byte_level = {"type": "ByteLevel", "add_prefix_space": prefix_space}
        built: Json = {"normalizer": None, "pre_tokenizer": byte_level, "decoder": byte_level}
    elif kind["model"] == "WordPiece":
        model |= {"unk_token": roles.get("unk_token"), "continuing_subword_prefix": "##"}
        names = {"lowercase": "do_lower_case", "handle_chinese_chars": "tokenize_chinese_chars"}
        cleaning: Json = {name: config.get(key, bool, True) for name, key in names.items()}
        cleaning |= {"clean_text": True, "strip_accents": config.get("strip_accents", bool, None)}
        cleaning |= {"type": "BertNormalizer"}
        built = {"normalizer": cleaning, "pre_tokenizer": {"type": "BertPreTokenizer"}}
        built |= {"decoder": {"type": "WordPiece"}}
    else:
        model |= {"unk_id": 3}
        cleaner = data.within("normalizer", {})
        steps = [step.data for step in cleaner.each("normalizers")] if "normalizers" in cleaner.data else [cleaner.data]
        built = {"normalizer": next((step for step in steps if step.get("type") == "Precompiled"), None)}
        metaspace = {"type": "Metaspace", "prepend_scheme": "always" if prefix_space else "never"}
        both = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}
        built |= {"pre_tokenizer": both, "decoder": metaspace}
    if "processor" in kind:
        ends = {"cls": roles.get(kind["ends"][0]), "sep": roles.get(kind["ends"][1])}
        processor = {"type": kind["processor"], **{end: [token, vocab.get(token or "")] for end, token in ends.items()}}
        trim = kind is MPNET or (kind is ROBERTA and config.get("trim_offsets", bool, True))
        processor |= {"trim_offsets": trim, "add_prefix_space": prefix_space and kind is ROBERTA}
        built |= {"post_processor": processor}
    data.data |= built | {"model": model}
