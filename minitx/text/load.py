"""Which tokenizer does this directory hold? tokenizer.json, or the older vocab.txt, or vocab.json with merges.txt."""

from os import PathLike
from pathlib import Path
from typing import Any

from minitx.errors import InputError
from minitx.system import read_json, read_text
from minitx.text.bpe import BPETokenizer
from minitx.text.tokenizer import CLS_NAMES, PAD_NAMES, SEP_NAMES
from minitx.text.tokenizer_json import (
    SpecialToken,
    TokenizerSpec,
    check_merges,
    check_vocab,
    read_tokenizer_json,
)
from minitx.text.wordpiece import WordPieceTokenizer

GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # these take tokenizer.json as it is
SPECIAL_NAMES = (*PAD_NAMES, *CLS_NAMES, *SEP_NAMES, "<unk>", "[UNK]", "<mask>", "[MASK]", "<|endoftext|>")


def load_tokenizer(path: str | PathLike[str]) -> BPETokenizer | WordPieceTokenizer:
    """The tokenizer of a model directory, or of one tokenizer.json.

    A tokenizer.json comes first. Otherwise vocab.txt (BERT, DistilBERT, MiniLM, MPNet) or vocab.json and merges.txt
    (RoBERTa, GPT-2) give the tokens, and tokenizer_config.json beside them the names of the special tokens. BERT's
    cleaning (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`) is as tokenizer_config.json says even where
    tokenizer.json says otherwise, because transformers does it that way.

    Raises:
        InputError: none of these files is there, or one is damaged or needs what minitx does not implement.

    Equivalent: `transformers.AutoTokenizer.from_pretrained(path)`.
    """
    path = Path(path)
    if not path.is_dir():
        return _build(read_tokenizer_json(path))
    config: dict[str, Any] = {}
    if (path / "tokenizer_config.json").exists():
        config = read_json(path / "tokenizer_config.json")
        if not isinstance(config, dict):
            raise InputError(f"{path / 'tokenizer_config.json'} holds a {type(config).__name__}; it must be an object")
    if (path / "tokenizer.json").exists():
        spec = read_tokenizer_json(path / "tokenizer.json")
        spec.pad_token = spec.pad_token or _name(config, "pad_token", spec.vocab)
        if config.get("tokenizer_class") not in GENERIC_CLASSES:
            _read_cleaning(config, spec)
    elif (path / "vocab.txt").exists():
        spec = _from_vocab_txt(path / "vocab.txt", config)
    elif (path / "vocab.json").exists() and (path / "merges.txt").exists():
        spec = _from_vocab_and_merges(path / "vocab.json", path / "merges.txt", config)
    else:
        raise InputError(f"{path} holds no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt")
    return _build(spec)


def _build(spec: TokenizerSpec) -> BPETokenizer | WordPieceTokenizer:
    return BPETokenizer(spec) if spec.model == "BPE" else WordPieceTokenizer(spec)


def _name(config: dict[str, Any], role: str, vocab: dict[str, int]) -> str | None:
    """The token that the configuration names for a role ("cls_token"), either as a string or as {"content": ...}."""
    value = config.get(role)
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content in vocab else None


def _specials(vocab: dict[str, int], config: dict[str, Any]) -> list[SpecialToken]:
    named = [_name(config, role, vocab) for role in config if role.endswith("_token")]
    found = {vocab[token]: token for token in (*named, *SPECIAL_NAMES) if token is not None and token in vocab}
    # A mask stands for a word, so the space before it belongs to it where words carry their space.
    return [SpecialToken(token, id, lstrip=token == "<mask>") for id, token in sorted(found.items())]


def _around(vocab: dict[str, int], config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a spec that say which special tokens there are and which go around a text."""
    opening = _name(config, "cls_token", vocab) or next((name for name in CLS_NAMES if name in vocab), None)
    closing = _name(config, "sep_token", vocab) or next((name for name in SEP_NAMES if name in vocab), None)
    return {
        "special_tokens": _specials(vocab, config),
        "prefix": [opening] if opening else [],
        "suffix": [closing] if closing else [],
        "pad_token": _name(config, "pad_token", vocab),
    }


def _from_vocab_txt(path: Path, config: dict[str, Any]) -> TokenizerSpec:
    """One token a line; its id is the number of the line."""
    vocab: dict[str, int] = {}
    for line, token in enumerate(read_text(path).removesuffix("\n").split("\n")):
        if vocab.setdefault(token, line) != line:
            raise InputError(f"{path}: line {line + 1} repeats the token {token!r} of line {vocab[token] + 1}")
    unknown = _name(config, "unk_token", vocab) or "[UNK]"
    spec = TokenizerSpec("WordPiece", check_vocab(vocab, str(path)), **_around(vocab, config), unk_token=unknown)
    _read_cleaning(config, spec)
    return spec


def _read_cleaning(config: dict[str, Any], spec: TokenizerSpec) -> None:
    spec.lowercase = bool(config.get("do_lower_case", spec.lowercase))
    spec.split_chinese = bool(config.get("tokenize_chinese_chars", spec.split_chinese))
    if "strip_accents" in config or "do_lower_case" in config:  # null: accents go when capitals go
        accents = config.get("strip_accents")
        spec.strip_accents = spec.lowercase if accents is None else bool(accents)


def _from_vocab_and_merges(vocab_path: Path, merges_path: Path, config: dict[str, Any]) -> TokenizerSpec:
    """vocab.json is {token: id}; merges.txt is one "left right" a line after a line that begins with #version."""
    vocab = check_vocab(read_json(vocab_path), str(vocab_path))
    lines = read_text(merges_path).split("\n")
    if lines and lines[0].startswith("#version"):
        del lines[0]
    around = _around(vocab, config)
    add_prefix_space = bool(config.get("add_prefix_space", False))
    return TokenizerSpec(
        "BPE",
        vocab,
        **around,
        merges=check_merges([line for line in lines if line], str(merges_path)),
        add_prefix_space=add_prefix_space,
        trim_offsets=bool(around["prefix"]),  # RoBERTa's processor trims, GPT-2's does not
        keep_first_space=add_prefix_space,
    )
