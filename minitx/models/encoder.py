"""SentenceEncoder: token ids -> one vector per sentence."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitx.autograd.tensor import Tensor, cat
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoding import run_batches
from minitx.models.hub import find_directory
from minitx.models.pretrained import Unwritten, check_size, load_weights, read_directory, write_directory
from minitx.models.search import SIMILARITIES, normalized
from minitx.nn.layers import Dropout, Embedding, LayerNorm
from minitx.nn.module import Module
from minitx.nn.pooling import Normalize, Pooling
from minitx.nn.position import LearnedPosition, RelativePositionBias, SinusoidalPosition
from minitx.nn.transformer import TransformerEncoder
from minitx.system import new_directory
from minitx.text.bpe import BPETokenizer
from minitx.text.tokenizer import Tokenizer
from minitx.text.wordpiece import WordPieceTokenizer

OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")


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
        self.similarity_fn_name = "cosine"
        self.position: SinusoidalPosition | LearnedPosition
        if c.positions == "sinusoidal":
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=c.hidden_size**-0.5, sparse=True, rng=rng)
            self.position = SinusoidalPosition(c.max_length, c.hidden_size)
        else:
            self.embedding = Embedding(c.vocab_size, c.hidden_size, std=0.02, sparse=True, rng=rng)  # as BERT does
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
            path: the directory; or a model's name, "all-MiniLM-L6-v2", which is looked for in the local Hugging Face
                cache and downloaded if the extra `hub` is installed.
            rng: draws dropout masks, should you train it.

        Raises:
            InputError: a file is missing or damaged, files disagree, or one asks for what is not implemented.

        sentence-transformers: `SentenceTransformer(path)`.
        """
        source = read_directory(find_directory(path))
        check_size(source)
        encoder = cls(source.config, source.tokenizer, rng=Unwritten((rng or np.random.default_rng(0)).bit_generator))
        load_weights(encoder, source)
        encoder.max_seq_length, encoder.similarity_fn_name = source.max_seq_length, source.similarity
        encoder.eval()
        return encoder

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T) integers, attention_mask (B, T) with True = a real token -> sentence vectors (B, D).

        `InputError` for more tokens than there are positions.
        """
        return self._pool(self.token_embeddings(ids, attention_mask), attention_mask)

    def _pool(self, x: Tensor, attention_mask: np.ndarray) -> Tensor:
        x = self.pooling(x, attention_mask)  # (B, D)
        return x if self.normalize is None else self.normalize(x)

    def token_embeddings(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
        """ids (B, T), attention_mask (B, T) -> the last block's vector of each token (B, T, D), before pooling.

        transformers: `last_hidden_state`.
        """
        x = self._embed(ids)
        return self.transformer(x, attention_mask, self._bias(ids.shape[1]))

    def packed_token_embeddings(self, batches: Sequence[np.ndarray]) -> list[Tensor]:
        """Batches of ids (B, T), each of another B and T but none padded -> `token_embeddings` of each, (B, T, D).

        All their tokens go through the blocks together; see `MultiHeadAttention`.
        """
        D, shapes = self.config.hidden_size, [ids.shape for ids in batches]
        x = cat([self._embed(ids).reshape(1, -1, D) for ids in batches], dim=1)  # (1, N, D)
        x = self.transformer(x, None, self._bias(max(T for _, T in shapes)), shapes)
        ends = np.cumsum([B * T for B, T in shapes])
        return [x[0, end - B * T : end].reshape(B, T, D) for end, (B, T) in zip(ends, shapes, strict=True)]

    def _embed(self, ids: np.ndarray) -> Tensor:
        if ids.shape[1] > self.config.max_length:
            raise InputError(f"{ids.shape[1]} tokens are more than this encoder's {self.config.max_length} positions")
        return self.dropout(self.norm(self.position(self.embedding(ids))))  # (B, T, D)

    def _bias(self, length: int) -> Tensor | None:
        return None if self.relative_position is None else self.relative_position(length)  # (H, T, T)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, cut to `max_seq_length` with one warning; `InputError` without a tokenizer."""
        if self.tokenizer is None:
            raise InputError("this encoder has no tokenizer: give it one, SentenceEncoder(config, tokenizer=...)")
        return self.tokenizer.encode_batch(texts, max_length=self.max_seq_length)

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Vectors of sentences: a string gives (D,), a list of N gives (N, D), in its order. float32.

        Args:
            sentences: texts; longer ones than `max_seq_length` tokens are cut, with one warning.
            batch_size: the most sentences that are a batch. Only sentences of equal length are, so that nothing is
                padded and no sentence's vector depends on its neighbours; see `encoding`.
            show_progress_bar: by default on a terminal, for what takes longer than a second.
            output_value: "token_embeddings" gives the vectors before pooling: (T, D) for a string, a list of them for
                a list.
            normalize_embeddings: scale sentence vectors to length 1, after cutting.
            truncate_dim: keep only the first so many columns (Kusupati et al. 2022, "Matryoshka").

        Raises:
            InputError: there is no tokenizer, something is no string, or an argument cannot be used.

        sentence-transformers: `SentenceTransformer.encode`.
        """
        if output_value not in OUTPUT_VALUES:
            raise InputError(f"unknown output_value {output_value!r}: choose from {', '.join(OUTPUT_VALUES)}")
        if batch_size < 1 or not 1 <= (truncate_dim or 1) <= self.config.hidden_size:
            raise InputError(
                f"batch_size must be at least 1 and truncate_dim from 1 to {self.config.hidden_size}, "
                f"not {batch_size} and {truncate_dim}"
            )
        if isinstance(sentences, str):
            options = (batch_size, show_progress_bar, output_value, normalize_embeddings, truncate_dim)
            return self.encode([sentences], *options)[0]
        sequences, width = self.tokenize(sentences), truncate_dim or self.config.hidden_size
        if output_value == "sentence_embedding":
            vectors = self.encode_ids(sequences, batch_size, show_progress_bar)[:, :width]
            return normalized(vectors) if normalize_embeddings else vectors
        tokens: list[np.ndarray] = [np.empty((0, width), self.embedding.weight.dtype)] * len(sequences)

        def keep(rows: np.ndarray, states: Tensor) -> None:
            for row, of_tokens in zip(rows, states.data[:, :, :width], strict=True):
                tokens[row] = of_tokens.copy()

        self._run(sequences, batch_size, show_progress_bar, keep)
        return tokens

    def encode_ids(
        self, sequences: Sequence[Sequence[int]], batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> np.ndarray:
        """`encode` for N lists of ids: (N, D), in eval mode; one without a token gives zeros."""
        vectors = np.zeros((len(sequences), self.config.hidden_size), self.embedding.weight.dtype)

        def keep(rows: np.ndarray, states: Tensor) -> None:
            vectors[rows] = self._pool(states, np.ones(states.shape[:2], bool)).data

        self._run(sequences, batch_size, show_progress_bar, keep)
        return vectors

    def _run(
        self,
        sequences: Sequence[Sequence[int]],
        batch_size: int,
        show_progress_bar: bool | None,
        keep: Callable[[np.ndarray, Tensor], None],
    ) -> None:
        """Call `keep(rows, states)` with the rows (B,) and last hidden states (B, T, D) of every batch."""

        def work(rows: list[np.ndarray], ids: list[np.ndarray]) -> None:
            for batch, states in zip(rows, self.packed_token_embeddings(ids), strict=True):
                keep(batch, states)

        training = self.training
        self.eval()
        try:
            run_batches(sequences, batch_size, work, show_progress_bar)
        finally:
            self.train(training)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How alike are the vectors a (N, D) and b (M, D)? Cosines (N, M), or what the model's directory asks for.

        sentence-transformers: `SentenceTransformer.similarity`.
        """
        return SIMILARITIES[self.similarity_fn_name](a, b)

    def save_pretrained(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a directory that sentence-transformers and transformers load, and `from_pretrained`; same vectors.

        As BERT; as RoBERTa-PreLayerNorm if `norm_first`, as MPNet with a relative position bias. Nothing is written
        unless all of it can be.

        Raises:
            InputError: `path` exists (with `overwrite`, and is no model directory), there is no tokenizer to write,
                or no architecture of the ecosystem can hold the encoder.

        sentence-transformers: `SentenceTransformer.save_pretrained`.
        """
        with new_directory(Path(path), overwrite) as directory:
            self.write_files(directory)

    def write_files(self, directory: Path) -> None:
        """The files of `save_pretrained`, into a directory that exists."""
        if not isinstance(self.tokenizer, BPETokenizer | WordPieceTokenizer):
            raise InputError("an encoder is saved with its tokenizer, a BPETokenizer or a WordPieceTokenizer")
        write_directory(directory, self, self.config, self.tokenizer, self.max_seq_length, self.similarity_fn_name)
