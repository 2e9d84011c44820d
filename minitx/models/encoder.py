"""SentenceEncoder: token ids -> one vector per sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tqdm import tqdm

from minitx.autograd.engine import no_grad
from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.errors import InputError
from minitx.nn.layers import Dropout, Embedding, LayerNorm
from minitx.nn.module import Module
from minitx.nn.pooling import POOLING_MODES, Normalize, Pooling
from minitx.nn.position import LearnedPosition, SinusoidalPosition
from minitx.nn.transformer import ACTIVATIONS, TransformerEncoder

POSITIONS = ("sinusoidal", "learned")


class Tokenizer(Protocol):
    """What an encoder asks of a tokenizer; `text.bpe.BPETokenizer` is one."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""

    @property
    def pad_id(self) -> int:
        """The id that fills short rows."""

    def encode_batch(self, texts: Sequence[str], *, max_length: int | None = None) -> list[list[int]]:
        """Ids of each text, special tokens included, cut to `max_length`."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and choices of a SentenceEncoder; `InputError` for a size below 1 or an unknown choice.

    The defaults suit a few thousand reviews and random weights.
    """

    vocab_size: int  # V
    pad_id: int = 0  # fills short rows of a batch; the mask hides it
    hidden_size: int = 128  # D
    num_layers: int = 2
    num_heads: int = 4  # H, a divisor of D
    intermediate_size: int = 512  # F, width inside the feed-forward networks
    max_length: int = 128  # tokens; longer texts are cut
    activation: str = "gelu"  # or "relu"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    norm_first: bool = False  # pre-norm blocks
    positions: str = "sinusoidal"  # or "learned"
    pooling: str = "mean"  # or "cls", "max"
    normalize: bool = False  # scale sentence vectors to length 1

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_length"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1), not {self.dropout}")
        if self.hidden_size % self.num_heads:
            raise InputError(
                f"num_heads must divide hidden_size: {self.hidden_size} is no multiple of {self.num_heads}"
            )
        choices = {"positions": POSITIONS, "pooling": POOLING_MODES, "activation": tuple(ACTIVATIONS)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(f"unknown {name} {getattr(self, name)!r}: choose from {', '.join(known)}")


class SentenceEncoder(Module):
    """Token and position embeddings, LayerNorm, transformer blocks, pooling: ids (B, T) -> vectors (B, D).

    Args:
        config: sizes and choices.
        tokenizer: what turns text into ids, for `encode()`; not needed for `forward()`.
        rng: draws the weights and, in training, the dropout masks.

    Reimers & Gurevych 2019, "Sentence-BERT". Shaped like BERT (LayerNorm after the embeddings, post-norm blocks)
    unless `norm_first`. sentence-transformers: `SentenceTransformer`.
    """

    def __init__(self, config: EncoderConfig, tokenizer: Tokenizer | None = None, *, rng: np.random.Generator) -> None:
        c = config
        self.config, self.tokenizer = config, tokenizer
        self.position: SinusoidalPosition | LearnedPosition
        if c.positions == "sinusoidal":
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=c.hidden_size**-0.5, sparse=True, rng=rng)
            self.position = SinusoidalPosition(c.max_length, c.hidden_size)
        else:
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=0.02, sparse=True, rng=rng)  # as BERT does
            self.position = LearnedPosition(c.max_length, c.hidden_size, rng=rng)
        self.norm = LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.dropout = Dropout(c.dropout, rng=rng)
        self.transformer = TransformerEncoder(
            c.num_layers,
            c.hidden_size,
            c.num_heads,
            c.intermediate_size,
            c.activation,
            c.dropout,
            c.norm_first,
            c.layer_norm_eps,
            rng=rng,
        )
        self.pooling = Pooling(c.pooling)
        self.normalize = Normalize() if c.normalize else None

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T) integers, attention_mask (B, T) with True = a real token -> sentence vectors (B, D).

        `InputError` for more tokens than there are positions.
        """
        if ids.shape[1] > self.config.max_length:
            raise InputError(f"{ids.shape[1]} tokens are more than this encoder's {self.config.max_length} positions")
        x = self.embedding(ids)  # (B, T, D)
        x = self.dropout(self.norm(self.position(x)))
        x = self.transformer(x, attention_mask)
        x = self.pooling(x, attention_mask)  # (B, D)
        return x if self.normalize is None else self.normalize(x)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, cut to `max_length` with one warning; `InputError` without a tokenizer."""
        if self.tokenizer is None:
            raise InputError("this encoder has no tokenizer: give it one, SentenceEncoder(config, tokenizer=...)")
        return self.tokenizer.encode_batch(texts, max_length=self.config.max_length)

    def encode(
        self, sentences: str | Sequence[str], batch_size: int = 32, show_progress_bar: bool = False
    ) -> np.ndarray:
        """Vectors of sentences: a string gives (D,), a list of N gives (N, D), in its order. float32.

        Sorted by length inside, so that little is padded; longer texts than `max_length` are cut, with one
        warning. sentence-transformers: `SentenceTransformer.encode`.
        """
        if isinstance(sentences, str):
            return self.encode([sentences])[0]
        sequences = self.tokenize(sentences)
        vectors = np.empty((len(sentences), self.config.hidden_size), self.embedding.weight.dtype)
        batches = length_batches(sequences, {}, batch_size=batch_size, pad_id=self.config.pad_id)
        training = self.training
        self.eval()
        with no_grad(), tqdm(total=len(sentences), unit=" texts", disable=not show_progress_bar) as bar:
            for batch in batches:
                vectors[batch.rows] = self(batch.ids, batch.attention_mask).data
                bar.update(len(batch))
        self.train(training)
        return vectors
