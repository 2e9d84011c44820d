"""What sentence-transformers has in `util`, under the names and with the results there.

Scores come as a `TensorLike`, an array that also does what programs there ask of a tensor.
"""

from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitx.errors import InputError
from minitx.models.quantization import quantize_embeddings as quantize_embeddings
from minitx.models.search import PAIRWISE, SIMILARITIES, Score, floats, normalized, semantic_search as semantic_search
from minitx.models.tensor_like import TensorLike
from minitx.system import Bar


class SimilarityFunction(StrEnum):
    """Names of similarities, as `similarity_fn_name` takes them."""

    COSINE = "cosine"
    DOT_PRODUCT = DOT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"

    @classmethod
    def possible_values(cls) -> list[str]:
        """All of them."""
        return [one.value for one in cls]


def _tensorlike(score: Score) -> Any:
    return partial(_scored, score)  # which can be pickled, and so sent to a process


def _scored(score: Score, a: ArrayLike, b: ArrayLike) -> TensorLike:
    return np.asarray(score(a, b)).view(TensorLike)


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
