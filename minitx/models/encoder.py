"""SentenceEncoder: token ids -> one vector per sentence."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
from numpy.random import Generator

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError, expect
from minitx.models.config import EncoderConfig
from minitx.models.encoding import run_batches
from minitx.models.habits import NEEDED, EncoderHabits
from minitx.models.hub import find_directory
from minitx.models.pretrained import Unwritten, Usage, load_weights, read_directory, write_directory
from minitx.nn.layers import Dropout, Embedding, LayerNorm
from minitx.nn.modernbert import modern_blocks
from minitx.nn.module import Module
from minitx.nn.pooling import Normalize
from minitx.nn.position import LearnedPosition, SinusoidalPosition
from minitx.nn.rare import Dense, new_pooling
from minitx.nn.relative import RelativePositionBias
from minitx.nn.transformer import TransformerBlock, TransformerEncoder
from minitx.text.tokenizer import Tokenizer
from minitx.text.truncation import warn_of_cut
from minitx.writing import new_directory


class SentenceEncoder(Usage, EncoderHabits):
    """Token and position embeddings, LayerNorm, transformer blocks, pooling: ids (B, T) -> vectors (B, D).

    Args:
        config: sizes and choices.
        tokenizer: what turns text into ids, for `encode()`; not needed for `forward()`.
        rng: draws the weights and, in training, the dropout masks.

    Raises:
        InputError: `config` is none, or the name of a model, which `from_pretrained` reads; there is no `rng`.

    Reimers & Gurevych 2019, "Sentence-BERT". Shaped like BERT (LayerNorm after the embeddings, post-norm blocks)
    unless `norm_first`. sentence-transformers: `SentenceTransformer`.
    """

    def __init__(self, config: EncoderConfig, tokenizer: Tokenizer | None = None, *, rng: Generator = NEEDED) -> None:
        super().__init__(self.checked(config, tokenizer, rng).max_length)
        self.config, self.tokenizer, c = config, tokenizer, config
        D, learned, shape = c.hidden_size, c.positions == "learned", (c.max_length, c.hidden_size)
        # 0.02 as in BERT
        self.embedding = Embedding(c.vocab_size, D, 0.02 if learned else D**-0.5, sparse=True, rng=rng)
        self.position: Module | None = LearnedPosition(*shape, rng=rng) if learned else SinusoidalPosition(*shape)
        self.relative_position = RelativePositionBias(c.relative_buckets, c.num_heads) if c.relative_buckets else None
        self.norm = LayerNorm(D, c.layer_norm_eps, not c.rotary)
        self.dropout = Dropout(c.dropout, rng=rng)
        last = LayerNorm(D, c.layer_norm_eps, not c.rotary) if c.norm_first else None
        sizes = (D, c.num_heads, c.intermediate_size, c.activation, c.dropout)
        if c.rotary:
            self.position, blocks = None, modern_blocks(c.rotary, *sizes, c.layer_norm_eps, rng=rng)
        else:
            blocks = [TransformerBlock(*sizes, c.norm_first, c.layer_norm_eps, rng=rng) for _ in range(c.num_layers)]
        self.transformer = TransformerEncoder(blocks, last)
        self.pooling = new_pooling(c.pooling)
        self.dense = [Dense(layer, rng=rng) for layer in c.dense]
        self.normalize = Normalize() if c.normalize else None

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str], *, rng: Generator | None = None) -> Self:
        """The encoder of a model directory, in eval mode, with its tokenizer.

        Reads sentence-transformers' layouts, old and new, and plain transformers directories: BERT (MiniLM is one),
        DistilBERT, RoBERTa, XLM-RoBERTa, MPNet, RoBERTa-PreLayerNorm, ELECTRA, ModernBERT; float32, float16 or bfloat16
        weights, which become float32.

        Args:
            path: the directory; or a model's name, "all-MiniLM-L6-v2", which is looked for in the local Hugging Face
                cache and downloaded if the extra `hub` is installed.
            rng: draws dropout masks, should you train it.

        Raises:
            InputError: a file is missing or damaged, files disagree, or one asks for what is not implemented.

        sentence-transformers: `SentenceTransformer(path)`.
        """
        source = read_directory(find_directory(path))
        encoder = cls(source.config, source.tokenizer, rng=Unwritten((rng or np.random.default_rng(0)).bit_generator))
        load_weights(encoder, source)
        vars(encoder).update(vars(source.usage))
        encoder.eval()
        return encoder

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T) integers, attention_mask (B, T) with True = a real token -> sentence vectors (B, D).

        `InputError` for more tokens than there are positions.
        """
        return self.pool(self.token_embeddings(ids, attention_mask), attention_mask)

    def token_embeddings(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T), attention_mask (B, T) -> the last block's vector of each token (B, T, D), before pooling.

        transformers: `last_hidden_state`.
        """
        return self.contextual(self.embedding(ids), attention_mask)

    def contextual(self, x: Tensor, attention_mask: np.ndarray) -> Tensor:
        """Vectors of tokens by themselves (B, T, D) -> what they become beside each other (B, T, D)."""
        T = x.shape[1]
        if self.config.max_length < T:
            raise InputError(f"{T} tokens are more than this encoder's {self.config.max_length} positions")
        x = self.dropout(self.norm(x if self.position is None else self.position(x)))
        bias = None if self.relative_position is None else self.relative_position(T)  # (H, T, T)
        return self.transformer(x, attention_mask, bias)

    def pool(self, x: Tensor, attention_mask: np.ndarray) -> Tensor:
        """Vectors of tokens (B, T, D) -> one of each sentence (B, D), or as wide as `config.width` says."""
        x = self.pooling(x, attention_mask)
        for layer in self.dense:
            x = layer(x)
        return x if self.normalize is None else self.normalize(x)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, cut to `max_seq_length` with one warning; `InputError` without a tokenizer."""
        sequences, cut = self.tokenize_and_cut(texts)
        warn_of_cut(cut, len(sequences), self.max_seq_length)
        return sequences

    def tokenize_and_cut(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """As `tokenize`, but returns the number of texts that were cut instead of warning."""
        if self.tokenizer is None:
            raise InputError("this encoder has no tokenizer: give it one, SentenceEncoder(config, tokenizer=...)")
        return self.tokenizer.encode_and_cut(texts, self.max_seq_length)

    def encode_ids(
        self, sequences: Sequence[Sequence[int]], batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> np.ndarray:
        """`encode` for N lists of ids: (N, D); one without a token gives zeros."""
        vectors = np.zeros((len(sequences), self.config.width), self.embedding.weight.dtype)

        def keep(rows: np.ndarray, ids: np.ndarray, attention_mask: np.ndarray) -> None:
            vectors[rows] = self(ids, attention_mask).data

        run_batches(sequences, batch_size, self.config.pad_id, keep, show_progress_bar)
        return vectors

    def save_pretrained(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a directory that sentence-transformers and transformers load, and `from_pretrained`; same vectors.

        As BERT; as RoBERTa-PreLayerNorm if `norm_first`, as MPNet with a relative position bias, as ModernBERT with
        rotary positions. Nothing is written unless all of it can be.

        Raises:
            InputError: `path` exists (with `overwrite`, and is no model directory), there is no tokenizer to write,
                or no architecture of the ecosystem can hold the encoder.

        sentence-transformers: `SentenceTransformer.save_pretrained`.
        """
        with new_directory(Path(path), overwrite) as directory:
            self.write_files(directory)

    def write_files(self, directory: Path) -> None:
        """The files of `save_pretrained`, into a directory that exists."""
        tokenizer = expect(self.tokenizer, Tokenizer, "a tokenizer, with which an encoder is saved")
        write_directory(directory, self, self.dense, self.config, tokenizer, self)
