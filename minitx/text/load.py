"""Which tokenizer does this directory hold? tokenizer.json, or the older vocab.txt, or vocab.json with merges.txt."""

from os import PathLike
from os.path import isdir, lexists
from pathlib import Path
from typing import Any

from minitx.errors import InputError
from minitx.system import MOST_BYTES, Fields, brief, check_file, read_fields, read_text
from minitx.text.bpe import BPETokenizer
from minitx.text.spec import TokenizerSpec, check_merges, check_vocab
from minitx.text.specials import CLS_NAMES, PAD_NAMES, SEP_NAMES, SpecialToken
from minitx.text.tokenizer_json import read_tokenizer_json
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
    if not isdir(path):
        spec = read_tokenizer_json(path)
    else:
        config = read_fields(path / "tokenizer_config.json", optional=True)
        if lexists(path / "tokenizer.json"):  # a broken link is refused, not passed over
            spec = read_tokenizer_json(path / "tokenizer.json")
            spec.pad_token = spec.pad_token or _name(config, "pad_token", spec.vocab)
            if config.data.get("tokenizer_class") not in GENERIC_CLASSES:
                _read_cleaning(config, spec)
        elif lexists(path / "vocab.txt"):
            spec = _from_vocab_txt(path / "vocab.txt", config)
        elif lexists(path / "vocab.json") and lexists(path / "merges.txt"):
            spec = _from_vocab_and_merges(path / "vocab.json", path / "merges.txt", config)
        else:
            raise InputError(f"{path} holds no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt")
    return BPETokenizer(spec) if spec.model == "BPE" else WordPieceTokenizer(spec)


def _name(config: Fields, role: str, vocab: dict[str, int]) -> str | None:
    """The token that the configuration names for a role ("cls_token"), either as a string or as {"content": ...}."""
    value = config.data.get(role)
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content in vocab else None


def _specials(vocab: dict[str, int], config: Fields) -> dict[str, Any]:
    """The fields of a spec that say which special tokens there are and which go around a text."""
    named = [_name(config, role, vocab) for role in config.data if role.endswith("_token")]
    found = {vocab[token]: token for token in (*named, *SPECIAL_NAMES) if token in vocab}
    opening = _name(config, "cls_token", vocab) or next((name for name in CLS_NAMES if name in vocab), None)
    closing = _name(config, "sep_token", vocab) or next((name for name in SEP_NAMES if name in vocab), None)
    return {
        # A mask stands for a word, so the space before it belongs to it where words carry their space.
        "special_tokens": [SpecialToken(token, id, lstrip=token == "<mask>") for id, token in sorted(found.items())],
        "prefix": [opening] if opening else [],
        "suffix": [closing] if closing else [],
        "pad_token": _name(config, "pad_token", vocab),
    }


def _from_vocab_txt(path: Path, config: Fields) -> TokenizerSpec:
    """One token a line; its id is the number of the line."""
    vocab: dict[str, int] = {}
    check_file(path, MOST_BYTES)
    for line, token in enumerate(read_text(path).removesuffix("\n").split("\n")):
        if vocab.setdefault(token, line) != line:
            raise InputError(f"{path}: line {line + 1} repeats the token {brief(token)} of line {vocab[token] + 1}")
    unknown = _name(config, "unk_token", vocab) or "[UNK]"
    specials = _specials(check_vocab(vocab, str(path)), config)
    spec = TokenizerSpec("WordPiece", vocab, **specials, unk_token=unknown, source=str(path))
    _read_cleaning(config, spec)
    return spec


def _read_cleaning(config: Fields, spec: TokenizerSpec) -> None:
    spec.lowercase = config.get("do_lower_case", bool, spec.lowercase)
    spec.split_chinese = config.get("tokenize_chinese_chars", bool, spec.split_chinese)
    if "strip_accents" in config.data or "do_lower_case" in config.data:  # null: accents go when capitals go
        spec.strip_accents = config.get("strip_accents", bool, spec.lowercase)


def _from_vocab_and_merges(vocab_path: Path, merges_path: Path, config: Fields) -> TokenizerSpec:
    """vocab.json is {token: id}; merges.txt is one "left right" a line after a line that begins with #version."""
    vocab = check_vocab(read_fields(vocab_path).data, str(vocab_path))
    check_file(merges_path, MOST_BYTES)
    lines = read_text(merges_path).split("\n")
    if lines[0].startswith("#version"):
        del lines[0]
    specials = _specials(vocab, config)
    add_prefix_space = config.get("add_prefix_space", bool, False)
    return TokenizerSpec(
        "BPE",
        vocab,
        **specials,
        merges=check_merges([line for line in lines if line], str(merges_path)),
        add_prefix_space=add_prefix_space,
        trim_offsets=bool(specials["prefix"]),  # RoBERTa's processor trims, GPT-2's does not
        keep_first_space=add_prefix_space,
        source=str(vocab_path.parent),
    )
