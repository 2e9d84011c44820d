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

import warnings
from collections.abc import Callable
from dataclasses import dataclass
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
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import SpecialToken
from minitx.text.truncation import TruncationWarning
from minitx.text.wordpiece import WordPieceTokenizer

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
        directory.mkdir(parents=True, exist_ok=True)
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


def _wordpiece() -> WordPieceTokenizer:
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "un",
        "##aff",
        "##able",
        "##a",
        "!",
        "it",
        "'",
        "s",
        "a",
        "great",
        "app",
    ]
    vocab = {token: id for id, token in enumerate(tokens)}
    specials = [SpecialToken(token, id) for id, token in enumerate(tokens[:4])]
    return WordPieceTokenizer(TokenizerSpec("WordPiece", vocab, specials, ["[CLS]"], ["[SEP]"]))


@cache
def _bpe() -> BPETokenizer:
    names = ("<s>", "<pad>", "</s>", "<mask>")
    return BPETokenizer.train(["great greater app it's"] * 3, vocab_size=268, special_tokens=names)


def _encoder(**settings: object) -> SentenceEncoder:
    tokenizer = _wordpiece()
    config = EncoderConfig(tokenizer.vocab_size, **{**SIZES, **settings})
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))


def _safetensors(weights: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    return safetensors.numpy.save(weights, metadata)


def make_model(directory: Path) -> dict[str, list[bytes]]:
    _encoder().save_pretrained(directory / "bert")
    weights = safetensors.numpy.load_file(directory / "bert" / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    half = {name: array.astype(np.float16) for name, array in weights.items()}
    old = {f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): array for name, array in weights.items()}
    tied = {"decoder.weight" if key == name else key: array for key, array in weights.items()}
    brain = _safetensors(half).replace(b'"F16"', b'"BF16"')
    header = brain[8 : 8 + int.from_bytes(brain[:8], "little")]
    brain = len(header).to_bytes(8, "little") + brain[8:]
    contents = [_safetensors(half), _safetensors(old), _safetensors(tied, {name: "decoder.weight"}), brain]
    return {"bert/model.safetensors": contents}


def use_model(directory: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(directory)
    vector = encoder.encode(TEXT)
    assert vector.shape == (encoder.config.hidden_size,)
    assert np.isfinite(vector).all(), "a vector that is not finite"


READERS = [
    Reader("model.safetensors", make_model, lambda path: use_model(path.parent)),
]
