"""SentenceEncoder: token ids -> one vector per sentence."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from tqdm import tqdm

from minitx.autograd.engine import no_grad
from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.pretrained import Unwritten, load_weights, read_directory
from minitx.nn.layers import Dropout, Embedding, LayerNorm
from minitx.nn.module import Module
from minitx.nn.pooling import Normalize, Pooling
from minitx.nn.position import LearnedPosition, RelativePositionBias, SinusoidalPosition
from minitx.nn.transformer import TransformerEncoder


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
        self.max_seq_length = c.max_length  # tokens a text is cut to; may be set to less
        self.position: SinusoidalPosition | LearnedPosition
        if c.positions == "sinusoidal":
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=c.hidden_size**-0.5, rng=rng)
            self.position = SinusoidalPosition(c.max_length, c.hidden_size)
        else:
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=0.02, rng=rng)  # as BERT does
            self.position = LearnedPosition(c.max_length, c.hidden_size, rng=rng)
        self.relative_position = RelativePositionBias(c.relative_buckets, c.num_heads) if c.relative_buckets else None
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

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str], *, rng: np.random.Generator | None = None) -> Self:
        """The encoder of a model directory, in eval mode, with its tokenizer.

        Reads sentence-transformers' layouts, old and new, and plain transformers directories: BERT (MiniLM is one),
        DistilBERT, RoBERTa, MPNet, RoBERTa-PreLayerNorm; float32, float16 or bfloat16 weights, which become float32.

        Args:
            path: the directory.
            rng: draws dropout masks, should you train it.

        Raises:
            InputError: a file is missing or damaged, files disagree, or one asks for what is not implemented.

        sentence-transformers: `SentenceTransformer(path)`.
        """
        source = read_directory(Path(path))
        encoder = cls(source.config, source.tokenizer, rng=Unwritten((rng or np.random.default_rng(0)).bit_generator))
        load_weights(encoder, source)
        encoder.max_seq_length = source.max_seq_length
        encoder.eval()
        return encoder

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T) integers, attention_mask (B, T) with True = a real token -> sentence vectors (B, D).

        `InputError` for more tokens than there are positions.
        """
        x = self.pooling(self.token_embeddings(ids, attention_mask), attention_mask)  # (B, D)
        return x if self.normalize is None else self.normalize(x)

    def token_embeddings(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T), attention_mask (B, T) -> the last block's vector of each token (B, T, D), before pooling.

        transformers: `last_hidden_state`.
        """
        if ids.shape[1] > self.config.max_length:
            raise InputError(f"{ids.shape[1]} tokens are more than this encoder's {self.config.max_length} positions")
        bias = None if self.relative_position is None else self.relative_position(ids.shape[1])  # (H, T, T)
        x = self.embedding(ids)  # (B, T, D)
        x = self.dropout(self.norm(self.position(x)))
        return self.transformer(x, attention_mask, bias)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, cut to `max_seq_length` with one warning; `InputError` without a tokenizer."""
        if self.tokenizer is None:
            raise InputError("this encoder has no tokenizer: give it one, SentenceEncoder(config, tokenizer=...)")
        return self.tokenizer.encode_batch(texts, max_length=self.max_seq_length)

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
