"""Which vectors are near which? Cosine similarity, and exact search in blocks, which bound the memory it needs."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from minitx.errors import InputError

LEAST_LENGTH = 1e-12  # shorter vectors stay shorter than 1, as in torch: their squares are nothing but rounding


def normalized(vectors: np.ndarray) -> np.ndarray:
    """(N, D) or (D,) with rows of length 1; a row of zeros stays as it is."""
    lengths = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))[..., None]
    return vectors / np.maximum(lengths, max(LEAST_LENGTH, np.finfo(vectors.dtype).tiny))


def dot_score(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """a (N, D) or (D,), b (M, D) or (D,) -> dot products (N, M). sentence-transformers: `util.dot_score`.

    `InputError` for vectors of different widths.
    """
    rows, columns = _comparable(a, b)
    return rows @ columns.T


def _comparable(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as (N, D)."""
    a, b = np.atleast_2d(floats(a)), np.atleast_2d(floats(b))
    if a.shape[-1] != b.shape[-1]:
        raise InputError(f"vectors of {a.shape[-1]} and of {b.shape[-1]} numbers cannot be compared")
    return a, b


def cos_sim(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """a (N, D) or (D,), b (M, D) or (D,) -> cosines (N, M); 0 beside a vector of zeros.

    sentence-transformers: `util.cos_sim`.
    """
    return dot_score(normalized(floats(a)), normalized(floats(b)))


def _by_rows(distance: str, a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """a (N, D) or (D,), b (M, D) or (D,) -> (N, M) of one of `PAIRWISE`."""
    rows, b = _comparable(a, b)
    return np.array([PAIRWISE[distance](row, b) for row in rows], rows.dtype).reshape(len(rows), len(b))


Score = Callable[[ArrayLike, ArrayLike], np.ndarray]
SIMILARITIES: dict[str, Score] = {"cosine": cos_sim, "dot": dot_score}
SIMILARITIES |= {name: partial(_by_rows, name) for name in ("euclidean", "manhattan")}  # distances, times -1
PAIRWISE: dict[str, Score] = {  # of each row with the one beside it, (N, D) and (N, D) -> (N,)
    "cosine": lambda a, b: (normalized(floats(a)) * normalized(floats(b))).sum(axis=-1),
    "dot": lambda a, b: (floats(a) * floats(b)).sum(axis=-1),
    "euclidean": lambda a, b: -np.sqrt(np.square(floats(a) - floats(b)).sum(axis=-1)),
    "manhattan": lambda a, b: -np.abs(floats(a) - floats(b)).sum(axis=-1),
}


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 50_000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[list[dict[str, int | float]]]:
    """For each query the `top_k` nearest of the corpus, best first, as {"corpus_id", "score"}.

    Args:
        query_embeddings: (N, D), or (D,) for one query.
        corpus_embeddings: (M, D); may be a memory map, `np.load(file, mmap_mode="r")`.
        query_chunk_size, corpus_chunk_size: rows taken at once, which bound the memory that is needed.
        top_k: how many; fewer come back from a smaller corpus.
        score_function: `cos_sim`, `dot_score`, or another that gives (N, M).

    Exact: every pair is scored, in float32 or float64 (float16 is made float32). Of equal scores, the one that stands
    first in the corpus comes first. sentence-transformers: `util.semantic_search`.

    Raises:
        InputError: the widths differ, a size or `top_k` is below 1, or a score is NaN, because a row holds NaN or
            infinity: it would have no place in the order.
    """
    queries, corpus = np.atleast_2d(floats(query_embeddings)), np.asarray(corpus_embeddings)
    if queries.ndim != 2 or corpus.ndim != 2 or queries.shape[1] != corpus.shape[1]:
        raise InputError(f"queries {queries.shape} and corpus {corpus.shape} must be (N, D) and (M, D)")
    if min(query_chunk_size, corpus_chunk_size, top_k) < 1:
        raise InputError("query_chunk_size, corpus_chunk_size and top_k must be at least 1")
    results: list[list[dict[str, int | float]]] = []
    for start in range(0, len(queries), query_chunk_size):
        chunk = queries[start : start + query_chunk_size]
        scores = np.empty((len(chunk), 0), chunk.dtype)
        ids = np.empty((len(chunk), 0), np.int64)
        for first in range(0, len(corpus), corpus_chunk_size):
            rows = floats(corpus[first : first + corpus_chunk_size])
            with np.errstate(invalid="ignore"):  # what is invalid becomes NaN, and is named below
                block = np.asarray(score_function(chunk, rows))
            if np.isnan(block.min()):  # one pass over the scores, which costs little beside making them
                raise InputError(_what_is_not_finite({"query": (chunk, start), "corpus": (rows, first)}))
            near = _largest(block, top_k)
            scores = np.concatenate([scores, np.take_along_axis(block, near, axis=1)], axis=1)
            ids = np.concatenate([ids, near + first], axis=1)
            best = _largest(scores, top_k)
            scores, ids = np.take_along_axis(scores, best, axis=1), np.take_along_axis(ids, best, axis=1)
        results += [
            [{"corpus_id": int(id), "score": float(score)} for id, score in zip(*row, strict=True)]
            for row in zip(ids, scores, strict=True)
        ]
    return results


def floats(vectors: ArrayLike) -> np.ndarray:
    """An array of float32 or float64; `InputError` for what holds no numbers."""
    rows = np.asarray(vectors)
    if rows.dtype.kind not in "fiub":
        found = "texts" if rows.dtype.kind == "U" else rows.dtype.name
        raise InputError(f"expected vectors, not {found} {vectors!r:.60}: encode texts first")
    return rows.astype(np.result_type(rows.dtype, np.float32), copy=False)


def _what_is_not_finite(blocks: dict[str, tuple[np.ndarray, int]]) -> str:
    """A line that names the first row with NaN or infinity; a block comes with the number of its first row."""
    for name, (rows, first) in blocks.items():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            return f"{name}_embeddings: row {first + bad[0]} holds NaN or infinity; accepted are finite numbers"
    return "score_function gives NaN for finite vectors"


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The columns of the `count` largest of each row (N, M), in order -> (N, count); of equals the first."""
    count = min(count, scores.shape[1])
    bounds = np.partition(scores, -count, axis=1)[:, -count]  # linear in M, which sorting all of them is not
    result = np.empty((len(scores), count), np.int64)
    for row, bound, best in zip(scores, bounds, result, strict=True):
        columns = np.flatnonzero(row >= bound)
        best[:] = columns[np.argsort(-row[columns], kind="stable")[:count]]
    return result
