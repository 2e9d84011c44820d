"""What sentence-transformers has in `util`, under the names and with the results there.

Scores come as a `TensorLike`, an array that also does what programs there ask of a tensor.
"""

import sys
import warnings
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from minitx.errors import InputError
from minitx.models.search import PAIRWISE, SIMILARITIES, Score, floats, normalized, semantic_search as semantic_search
from minitx.system import Bar

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FEW = 100  # vectors, whose ranges say little about those to come


class SimilarityFunction(StrEnum):
    """Names of similarities, as `similarity_fn_name` takes them."""

    COSINE = "cosine"
    DOT_PRODUCT = DOT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"


def check_device(device: Any) -> None:
    """`InputError` unless it is the CPU, by any of its names, several times, or None."""
    for one in device if isinstance(device, list) else [device]:
        if one is not None and str(one).partition(":")[0] != "cpu":
            raise InputError(f"device {str(one)!r}: minitx computes on the CPU; leave device out, or say 'cpu'")


class TensorLike(np.ndarray):
    """A NumPy array that prints as torch's tensor does, whose elements are 0-d, and which functions of torch take.

    `array.view(TensorLike)` makes one of any array. Dtypes other than float32, int64 and bool are not printed.
    """

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(super().__getitem__(key)).view(TensorLike)

    def __iter__(self) -> Any:
        return (self[row] for row in range(len(self)))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch's `function` of tensors that share the arrays' memory; torch calls this."""

        def tensor(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return type(x)(map(tensor, x))
            return sys.modules["torch"].from_numpy(x.numpy()) if isinstance(x, cls) else x

        return function(*tensor(args), **{name: tensor(value) for name, value in (kwargs or {}).items()})

    def numpy(self) -> np.ndarray:
        """The plain array, not a copy."""
        return self.view(np.ndarray)

    def to(self, device: Any = None) -> Self:
        """Itself, which is on the CPU and has no graph; `InputError` for another device."""
        check_device(device)
        return self

    cpu = detach = to

    def topk(self, k: int, dim: int = -1) -> tuple["TensorLike", "TensorLike"]:
        """The k largest along an axis, in their order, and where they are; of equals the first."""
        indices = np.argsort(-self.astype(float), axis=dim, kind="stable").take(np.arange(k), axis=dim)
        return np.take_along_axis(self, indices, dim).view(TensorLike), indices.view(TensorLike)

    def __repr__(self) -> str:
        x = self.numpy()
        size = np.abs(x[x != 0], dtype=float)
        far = size.size and (size.max() > 1000 * size.min() or size.max() > 1e8 or size.min() < 1e-4)
        form = "{:.4e}" if far else "{:.0f}." if (size == np.round(size)).all() else "{:.4f}"
        width = max([len(form.format(number)) for number in x[x != 0].tolist()], default=0)
        how: Any = {"float_kind": lambda number: form.format(number).rjust(width)}
        shown = np.array2string(x, 79 + max(1, x.ndim), separator=", ", prefix="tensor(", formatter=how)
        return f"tensor({shown})"

    __str__ = __repr__


def _tensorlike(score: Score) -> Any:
    return lambda a, b: np.asarray(score(a, b)).view(TensorLike)


cos_sim, dot_score, euclidean_sim, manhattan_sim = map(_tensorlike, SIMILARITIES.values())
_pairwise = map(_tensorlike, PAIRWISE.values())
pairwise_cos_sim, pairwise_dot_score, pairwise_euclidean_sim, pairwise_manhattan_sim = _pairwise
pytorch_cos_sim = cos_sim  # an old name


def normalize_embeddings(embeddings: np.ndarray) -> TensorLike:
    """(N, D) or (D,) with rows of length 1."""
    return normalized(embeddings).view(TensorLike)


def truncate_embeddings(embeddings: np.ndarray, truncate_dim: int | None) -> np.ndarray:
    """The first columns of (N, D) or (D,)."""
    return embeddings[..., :truncate_dim]


def quantize_embeddings(
    embeddings: ArrayLike, precision: str, ranges: ArrayLike | None = None, calibration_embeddings: Any = None
) -> np.ndarray:
    """(N, D) floats as `precision` says: (N, D) bytes, or (N, D / 8) with a bit for each number, which is its sign.

    Args:
        embeddings: (N, D); or (D,) with ranges or calibration_embeddings, or to bits.
        precision: "int8" and "uint8" divide each column's range into 255 steps, -128 to 127 and 0 to 255; "binary" and
            "ubinary" pack eight signs into an int8 or uint8.
        ranges: (2, D), the least and the largest of each column; by default those of `calibration_embeddings` (M, D),
            or of the vectors themselves, with a warning if these are fewer than 100.

    `InputError` if the precision is unknown, the vectors are bytes already, or there is a single one and no range. The
    bits are those of sentence-transformers' `quantize_embeddings`.
    """
    vectors = np.asarray(embeddings)
    if precision not in PRECISIONS or vectors.dtype.kind != "f":
        raise InputError(f"{precision!r} of {vectors.dtype}: accepted are {', '.join(PRECISIONS)}, of floats")
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision.endswith("binary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 128).view(np.int8)
    if ranges is None:
        known = np.atleast_2d(vectors if calibration_embeddings is None else calibration_embeddings)
        if calibration_embeddings is None and len(known) == 1:
            raise InputError(f"{precision}: one vector has no range; give ranges or calibration_embeddings")
        if calibration_embeddings is None and len(known) < FEW:
            warnings.warn(f"{precision}: ranges of only {len(known)} vectors; give those of more", stacklevel=3)
        ranges = [known.min(axis=0, initial=np.inf), known.max(axis=0, initial=-np.inf)]
    start, end = np.asarray(ranges, np.float32)
    step = (end - start) / 255
    levels = np.clip(np.floor((vectors - start) / np.where(step == 0, 1, step)), 0, 255)
    return levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)


def paraphrase_mining(
    model: Any,
    sentences: list[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    *mining: Any,
    **options: Any,
) -> list[list[float | int]]:
    """`paraphrase_mining_embeddings` of the vectors of `sentences`.

    `truncate_dim`, `prompt_name` and `prompt` are arguments of `encode`, the others of `paraphrase_mining_embeddings`.
    """
    own = {name: options.pop(name, None) for name in ("truncate_dim", "prompt_name", "prompt")}
    vectors = model.encode(sentences, batch_size=batch_size, show_progress_bar=show_progress_bar, **own)
    return paraphrase_mining_embeddings(vectors, *mining, **options)


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[list[float | int]]:
    """Pairs [score, i, j] of vectors (N, D), the highest score first, and i < j; of equal scores in the order of i, j.

    Args:
        embeddings: (N, D).
        query_chunk_size, corpus_chunk_size: rows compared at once, which bound the memory that is needed.
        max_pairs: no more are returned, nor kept meanwhile.
        top_k: a pair counts if one of the two is among so many nearest of the other.
        score_function: the order of its two arguments must not matter.

    `InputError` as of `semantic_search`.
    """
    vectors, pairs = np.asarray(embeddings), dict[tuple[int, int], float]()
    for start in range(0, len(vectors), query_chunk_size):
        chunk = vectors[start : start + query_chunk_size]
        hits = semantic_search(chunk, vectors, 100, corpus_chunk_size, top_k + 1, score_function)
        for i, row in enumerate(hits, start):
            others = [(int(hit["corpus_id"]), hit["score"]) for hit in row if hit["corpus_id"] != i]
            for j, score in others[:top_k]:
                pairs.setdefault((min(i, j), max(i, j)), score)
        pairs = dict(sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:max_pairs])
    return [[score, i, j] for (i, j), score in pairs.items()]


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Groups of vectors (N, D) whose cosine with a central one is at least `threshold`, the largest group first.

    Each is a list of rows, first the centre, then by similarity to it. No row is in two groups, none has fewer than
    `min_community_size` rows, and most rows may be in none. `batch_size` rows are compared at once. `InputError` for
    one of these below 1.
    """
    if min(min_community_size, batch_size) < 1:
        raise InputError("min_community_size and batch_size must be at least 1")
    unit, found = normalized(np.atleast_2d(floats(embeddings))), []
    for start in Bar(range(0, len(unit), batch_size), disable=not show_progress_bar):
        scores = unit[start : start + batch_size] @ unit.T
        for row in np.flatnonzero((scores >= threshold).sum(axis=1) >= min_community_size):
            near = np.flatnonzero(scores[row] >= threshold)
            found.append((start + int(row), near[np.argsort(-scores[row, near], kind="stable")]))
    groups, taken = [], np.zeros(len(unit), bool)
    for centre, group in sorted(found, key=lambda one: -len(one[1])):
        free = group[~taken[group]]
        if not taken[centre] and len(free) >= min_community_size:
            groups.append([centre, *free[free != centre].tolist()])
            taken[groups[-1]] = True
    return sorted(groups, key=len, reverse=True)
