"""`encode`, and what else a user of sentence-transformers would type: methods of `SentenceEncoder`.

Reading `encoder.py` does not need them. Names, order of arguments and results are those of sentence-transformers 6.
"""

# mypy: disable-error-code="attr-defined"
# `self` is a `SentenceEncoder`, which is made of this class and so not known here.

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitx.errors import InputError, expect, suggestion
from minitx.models.config import EncoderConfig
from minitx.models.encoding import run_batches
from minitx.models.quantization import PRECISIONS, quantize_embeddings
from minitx.models.search import PAIRWISE, SIMILARITIES, Score, normalized
from minitx.models.tensor_like import TensorLike, check_device
from minitx.nn.module import Module
from minitx.text.tokenizer import Tokenizer, check_list
from minitx.text.truncation import warn_of_cut

NEEDED: Any = None  # an argument that cannot be left out, of what names better what else is missing
OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")


class EncoderHabits(Module):
    """The methods, mixed into `SentenceEncoder`, which `self` is."""

    device = "cpu"  # the only one there is

    @staticmethod
    def checked(config: EncoderConfig, tokenizer: Tokenizer | None, rng: np.random.Generator) -> EncoderConfig:
        """The config; `InputError` for what no encoder is made of."""
        expect(config, EncoderConfig, "an EncoderConfig (a model is read by from_pretrained(name))")
        expect(rng, np.random.Generator, "np.random.default_rng(0) as rng")
        if isinstance(tokenizer, Tokenizer) and tokenizer.vocab_size > config.vocab_size:
            sizes = f"{tokenizer.vocab_size:,} tokens, and vocab_size is {config.vocab_size:,}"
            raise InputError(f"the tokenizer has {sizes}: some would have no vector")
        return config

    def encode(
        self,
        sentences: str | Sequence[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        *,
        inputs: str | Sequence[str] | None = None,
    ) -> Any:
        """Vectors of sentences: a string gives (D,), a list of N gives (N, D), in its order. float32.

        Dropout is off, whatever mode the encoder is in, and nothing is written to it: any number of threads may share
        one encoder.

        Args:
            sentences, inputs: texts, under the old name and the new; longer ones than `max_seq_length` tokens are cut,
                with one warning.
            prompt_name: of `prompts`, by default `default_prompt_name`.
            prompt: what to put in front of each text, whatever the name.
            batch_size: the most sentences that go through the model together, sorted by length; see `encoding`.
            show_progress_bar: by default on a terminal, for what takes longer than a second.
            output_value: "token_embeddings" gives the vectors before pooling: (T, D) for a string, a list of them for
                a list.
            precision: "int8", "uint8", "binary" or "ubinary": see `quantize_embeddings`.
            convert_to_numpy: False gives a list of vectors.
            convert_to_tensor: True gives a `TensorLike`, an array that prints and unpacks as a tensor.
            device: "cpu", or nothing.
            normalize_embeddings: scale sentence vectors to length 1, after cutting.
            truncate_dim: keep only the first so many columns (Kusupati et al. 2022, "Matryoshka").

        Raises:
            InputError: there is no tokenizer, something is no string, or an argument cannot be used.

        sentence-transformers: `SentenceTransformer.encode`.
        """
        if sentences is not None and inputs is not None:
            raise InputError("encode: sentences and inputs are two names of the same argument: give one")
        sentences = inputs if sentences is None else sentences
        if sentences is None:
            raise InputError("encode takes a str or a list of str, not None")
        if not isinstance(sentences, str):
            check_list(sentences)
        for name, value, known in (("output_value", output_value, OUTPUT_VALUES), ("precision", precision, PRECISIONS)):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}: choose from {', '.join(known)}")
        check_device(device)
        if output_value == "token_embeddings" and (truncate_dim or normalize_embeddings or precision != "float32"):
            raise InputError("truncate_dim, normalize_embeddings and precision are for sentence vectors alone")
        most = self.config.width
        if batch_size < 1 or not 1 <= (most if truncate_dim is None else truncate_dim) <= most:
            wanted = f"batch_size must be at least 1 and truncate_dim from 1 to {most}"
            raise InputError(f"{wanted}, not {batch_size} and {truncate_dim}")
        before = self.prompt_of(prompt_name, prompt)
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        texts = [before + text if isinstance(text, str) else text for text in texts]  # the tokenizer refuses others
        sequences, cut = self.tokenize_and_cut(texts)
        warn_of_cut(cut, len(sequences), self.max_seq_length)
        if output_value == "token_embeddings":
            vectors = self._token_vectors(sequences, batch_size, show_progress_bar)
            vectors = [v.view(TensorLike) for v in vectors] if convert_to_tensor else vectors
        else:
            vectors = self.encode_ids(sequences, batch_size, show_progress_bar)[:, : truncate_dim or self.truncate_dim]
            vectors = normalized(vectors) if normalize_embeddings else vectors
            vectors = vectors if precision == "float32" else quantize_embeddings(vectors, precision)
            vectors = vectors if convert_to_numpy and not convert_to_tensor else vectors.view(TensorLike)
            vectors = vectors if convert_to_numpy or convert_to_tensor else list(vectors)
        return vectors[0] if isinstance(sentences, str) else vectors

    def prompt_of(self, name: str | None = None, prompt: str | None = None) -> str:
        """What `encode` puts in front of each text, given a name of one, or the prompt itself, or neither."""
        for value in (name, prompt):
            if not isinstance(value, str | None):
                raise InputError(f"prompt_name and prompt are texts, not {value!r}; say batch_size={value!r} by name")
        if prompt is not None and name is not None:
            warnings.warn("a prompt and a prompt_name were given: the name is ignored", stacklevel=3)
        known = {"query": "", "document": ""} | self.prompts
        name = self.default_prompt_name if name is None else name
        if prompt is None and name is not None and name not in known:
            raise InputError(f"there is no prompt {name!r}; {suggestion(name, list(known))}")
        prompt = prompt if prompt is not None else "" if name is None else known[name]
        if prompt and self.tokenizer and not self.tokenizer.allow_special:  # where sentence-transformers has the token
            for token in self.tokenizer.spec.special_tokens:
                if token.content in prompt:
                    how = "encoder.tokenizer.allow_special = True makes it one, in texts as well"
                    raise InputError(f"the prompt {prompt!r:.60} spells the special token {token.content!r:.30}; {how}")
        return prompt

    def of_role(self, role: str) -> str | None:
        """The name of the prompt for a role, "query" or "document"; None, for the default one, if there is none."""
        return role if self.prompts.get(role) else None

    def _token_vectors(self, sequences: Sequence[Sequence[int]], batch_size: int, bar: bool | None) -> Any:
        """The vectors of each sequence's tokens (T, D), before pooling."""
        empty = np.empty((0, self.config.hidden_size), self.embedding.weight.dtype)
        tokens: list[np.ndarray] = [empty] * len(sequences)

        def keep(rows: np.ndarray, ids: np.ndarray, attention_mask: np.ndarray) -> None:
            states = self.token_embeddings(ids, attention_mask).data
            for row, of_tokens, real in zip(rows, states, attention_mask, strict=True):
                tokens[row] = of_tokens[real]

        run_batches(sequences, batch_size, self.config.pad_id, keep, bar)
        return tokens

    def encode_query(
        self, sentences: Any = None, prompt_name: Any = None, prompt: Any = None, *a: Any, **k: Any
    ) -> Any:
        """`encode` with the prompt called "query" if there is one, unless another is named."""
        return self.encode(sentences, "query" if prompt_name is prompt is None else prompt_name, prompt, *a, **k)

    def encode_document(
        self, sentences: Any = None, prompt_name: Any = None, prompt: Any = None, *a: Any, **k: Any
    ) -> Any:
        """Likewise with the prompt called "document". One called "passage" has to be named, as there."""
        return self.encode(sentences, "document" if prompt_name is prompt is None else prompt_name, prompt, *a, **k)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> np.ndarray:
        """How alike are the vectors (N, D) and (M, D)? Cosines (N, M), or what the model's directory asks for.

        sentence-transformers: `SentenceTransformer.similarity`.
        """
        return self._chosen(SIMILARITIES)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> np.ndarray:
        """How alike is each of (N, D) to the one beside it? (N,)."""
        return self._chosen(PAIRWISE)(embeddings1, embeddings2)

    def _chosen(self, known: dict[str, Score]) -> Score:
        if (name := self.similarity_fn_name) not in known:
            raise InputError(f"unknown similarity_fn_name {name!r}: choose from {', '.join(known)}")
        return known[name]

    def get_embedding_dimension(self) -> int:
        """Columns of what `encode` gives."""
        return min(self.config.width, self.truncate_dim or self.config.width)

    get_sentence_embedding_dimension = get_embedding_dimension  # its name until version 5

    def get_max_seq_length(self) -> int:
        """Tokens that a text is cut to; an attribute, and may be set."""
        return self.max_seq_length
