"""What is fuzzed: for each reader a small valid thing, and the function that reads it and uses it once.

To add a reader, write two functions and put a `Reader` of them into the `READERS` of a module that
`benchmarks.fuzz.registry` lists:

    def make(directory):            # write valid files into an empty directory, small ones: an input should take ~1 ms;
        write_json(directory / "x.json", {"a": 1})
        return {"x.json": []}       # name the files to be damaged, each with further valid contents if there are any

    def read(path):                 # read the damaged file as a user would, and use once what was read
        use(read_x(path))

    READERS = [Reader("x", make, read)]

Mutators go by the suffix of the file: see `benchmarks.fuzz_mutate.STRUCTURED`. Success and `InputError` with one
printable line are what a reader may do; a warning, any other exception, five seconds, too much memory or the end of the
process is a finding.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import safetensors.numpy

from benchmarks.fuzz_mutate import mutate
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.text.bpe import BPETokenizer
from minitx.text.load import load_tokenizer
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import SpecialToken
from minitx.text.truncation import TruncationWarning
from minitx.text.wordpiece import WordPieceTokenizer
from minitx.writing import write_json

TEXT = "Unaffable! It's a  great app\n[SEP] é漢"


@dataclass(frozen=True)
class Reader:
    """One kind of file."""

    name: str
    make: Callable[[Path], dict[str, list[bytes]]]  # see above
    read: Callable[[Path], object]


class Corpus:
    """The valid files of a reader in a directory, and mutants of them."""

    def __init__(self, reader: Reader, directory: Path) -> None:
        self.reader, self.directory = reader, directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.valid = {}
        for name, others in reader.make(directory).items():
            self.valid[name] = [(directory / name).read_bytes(), *others]
        self.names = list(self.valid)

    def mutant(self, seed: str) -> tuple[str, bytes]:
        """The file to damage and its new content; the same for the same `seed`."""
        rng = Random(seed)
        name = rng.choice(self.names)
        return name, self.mutated(rng, name, rng.choice(self.valid[name]))

    def mutated(self, rng: Random, name: str, content: bytes) -> bytes:
        return mutate(rng, Path(name).suffix, content, self.valid[name])

    def attempt(self, name: str, content: bytes) -> bool:
        """Is it accepted? False for an `InputError` in one printable line; anything else is raised."""
        path = self.directory / name
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", TruncationWarning)
            try:
                self.reader.read(path)
            except InputError as error:
                if not str(error).isprintable():
                    raise AssertionError(f"not one printable line: {error!r:.2000}") from error
                return False
            finally:
                path.write_bytes(self.valid[name][0])
        return True


# -- model directories -------------------------------------------------------------------------------------------

SIZES = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 12, "max_length": 16}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "##a", "!", "it", "'", "s", "a", "great", "app"]


@cache
def _wordpiece() -> WordPieceTokenizer:
    vocab = {token: id for id, token in enumerate(PIECES)}
    specials = [SpecialToken(token, id) for id, token in enumerate(PIECES[:4])]
    return WordPieceTokenizer(TokenizerSpec("WordPiece", vocab, specials, ["[CLS]"], ["[SEP]"]))


@cache
def _bpe() -> BPETokenizer:
    names = ("<s>", "<pad>", "</s>", "<mask>")
    return BPETokenizer.train(["great greater app it's"] * 3, vocab_size=268, special_tokens=names)


def write_model(directory: Path, **settings: object) -> None:
    """A model directory with random weights; `settings` of EncoderConfig."""
    tokenizer = _wordpiece()
    config = EncoderConfig(tokenizer.vocab_size, **{**SIZES, **settings})
    SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0)).save_pretrained(directory)


def use_model(directory: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(directory)
    vector = encoder.encode(TEXT)
    assert vector.shape == (encoder.config.hidden_size,)
    assert np.isfinite(vector).all(), "a vector that is not finite"


def _make_weights(directory: Path) -> dict[str, list[bytes]]:
    """In float32, in float16, in bfloat16, by older names, and with a tied tensor under its other name."""
    write_model(directory / "bert")
    weights = safetensors.numpy.load_file(directory / "bert" / "model.safetensors")
    name, kept, save = "embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", safetensors.numpy.save
    half = save({name: array.astype(np.float16) for name, array in weights.items()})
    header = half[8 : 8 + int.from_bytes(half[:8], "little")]
    brain = header.replace(b'"F16"', b'"BF16"')
    old = {f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): array for name, array in weights.items()}
    tied = {kept if key == name else key: array for key, array in weights.items()}
    others = [half, len(brain).to_bytes(8, "little") + brain + half[8 + len(header) :], save(old)]
    return {"bert/model.safetensors": [*others, save(tied, {name: kept})]}


def _make_configs(directory: Path) -> dict[str, list[bytes]]:
    """BERT with its class alone and RoBERTa-PreLayerNorm."""
    write_model(directory / "bert")
    write_model(directory / "prenorm", norm_first=True, activation="relu", pooling="cls")
    old = (directory / "bert" / "config.json").read_bytes().replace(b'"model_type": "bert",', b"")
    return {"bert/config.json": [old], "prenorm/config.json": []}


def _make_modules(directory: Path) -> dict[str, list[bytes]]:
    write_model(directory / "m", normalize=True)
    others = {"sentence_bert_config.json": [], "config_sentence_transformers.json": []}
    new = b'{"embedding_dimension": 8, "pooling_mode": "mean"}'
    return {f"m/{name}": x for name, x in {"modules.json": [], "1_Pooling/config.json": [new], **others}.items()}


def use_tokenizer(path: Path) -> None:
    """All that can be done with a tokenizer, once."""
    tokenizer = load_tokenizer(path)
    ids = tokenizer.encode(TEXT, allow_special=True)
    assert tokenizer.encode_with_offsets(TEXT, allow_special=True).ids == ids
    tokenizer.decode(ids)
    tokenizer.decode(ids, skip_special_tokens=False)
    for id in sorted(tokenizer.get_vocab().values())[-20:]:
        tokenizer.decode([id])
    tokenizer.encode_batch([TEXT, ""], max_length=8)
    assert all(line.isprintable() for line in tokenizer.explain(TEXT)), "explain does not print"
    for role in ("pad_id", "cls_id", "sep_id"):
        with suppress(InputError):
            getattr(tokenizer, role)


def _make_tokenizers(directory: Path) -> dict[str, list[bytes]]:
    for name, tokenizer in (("bpe", _bpe()), ("wordpiece", _wordpiece())):
        (directory / name).mkdir()
        tokenizer.save(directory / name / "tokenizer.json")
    trimmed = replace(_bpe().spec, trim_offsets=True, keep_first_space=True, add_prefix_space=True)
    BPETokenizer(trimmed).save(directory / "trimmed.json")
    pair = '"post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}'
    data = json.loads((directory / "wordpiece" / "tokenizer.json").read_text("utf-8"))
    old = json.dumps(data | json.loads(f"{{{pair}}}")).encode()
    return {"bpe/tokenizer.json": [(directory / "trimmed.json").read_bytes()], "wordpiece/tokenizer.json": [old]}


def _make_vocabularies(directory: Path) -> dict[str, list[bytes]]:
    (directory / "w").mkdir()
    (directory / "w" / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (directory / "b").mkdir()
    write_json(directory / "b" / "vocab.json", _bpe().get_vocab())
    merges = ["#version: 0.2", *(f"{left} {right}" for left, right in _bpe().spec.merges)]
    (directory / "b" / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    return {"w/vocab.txt": [], "b/vocab.json": [], "b/merges.txt": []}


def _make_tokenizer_configs(directory: Path) -> dict[str, list[bytes]]:
    _make_vocabularies(directory)
    _make_tokenizers(directory)
    bert = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "model_max_length": 16}
    bert |= {"cls_token": "[CLS]", "sep_token": {"content": "[SEP]", "lstrip": False}, "unk_token": "[UNK]"}
    bert |= {"pad_token": "[PAD]", "tokenizer_class": "BertTokenizer"}
    gpt = {"add_prefix_space": True, "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "a"}
    for folder, content in (("w", bert), ("b", gpt), ("wordpiece", bert)):
        write_json(directory / folder / "tokenizer_config.json", content)
    return {f"{folder}/tokenizer_config.json": [] for folder in ("w", "b", "wordpiece")}


READERS = [
    Reader("model.safetensors", _make_weights, lambda path: use_model(path.parent)),
    Reader("config.json", _make_configs, lambda path: use_model(path.parent)),
    Reader("modules.json", _make_modules, lambda path: use_model(path.parents[path.parent.name == "1_Pooling"])),
    Reader("tokenizer.json", _make_tokenizers, use_tokenizer),
    Reader("vocab.txt", _make_vocabularies, lambda path: use_tokenizer(path.parent)),
    Reader("tokenizer_config.json", _make_tokenizer_configs, lambda path: use_tokenizer(path.parent)),
]
