"""How good are sentence vectors? Do similar texts have a high cosine, and is what was looked for found?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from minitx.errors import InputError
from minitx.models.search import cos_sim, semantic_search


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of the ranks of x (N,) and y (N,), from -1 to 1: does one rise whenever the other does?

    Equal values share the mean of their ranks. NaN where all values of one are equal or one is NaN. scipy:
    `stats.spearmanr`.
    """
    if len(x) != len(y) or len(x) < 2:
        raise InputError(f"a correlation needs two values at least on both sides, not {len(x)} and {len(y)}")
    return float(pd.Series(x).rank().corr(pd.Series(y).rank(), min_periods=len(x)))  # pandas would leave NaN out


def similarity_correlation(a: np.ndarray, b: np.ndarray, scores: np.ndarray) -> float:
    """Spearman correlation of the cosines of pairs, a (N, D) and b (N, D), with how similar people found them (N,).

    sentence-transformers: `EmbeddingSimilarityEvaluator`, `spearman_cosine`.
    """
    return spearman(np.array([cos_sim(u, v)[0, 0] for u, v in zip(a, b, strict=True)]), scores)


@dataclass(frozen=True)
class Retrieval:
    """Means over queries."""

    accuracy: dict[int, float]  # k -> share of queries with something relevant among the first k
    recall: dict[int, float]  # k -> share of what is relevant that is among the first k
    mrr: float  # 1 / rank of the first relevant text, 0 beyond the largest k
    chance: dict[int, float]  # k -> what `accuracy` would be in random order: to be read beside it

    def __str__(self) -> str:
        lines = [f"{'k':>4}  accuracy@k  (by chance)  recall@k"]
        for k in self.recall:
            lines.append(f"{k:4d}  {self.accuracy[k]:10.3f}  ({self.chance[k]:9.3f})  {self.recall[k]:8.3f}")
        return "\n".join([*lines, f"MRR@{max(self.recall)}  {self.mrr:.3f}"])


def evaluate_retrieval(
    queries: np.ndarray, corpus: np.ndarray, relevant: Sequence[Collection[int]], ks: Sequence[int] = (1, 5, 10)
) -> Retrieval:
    """Search with queries (N, D) in corpus (M, D); `relevant[i]` are the rows of the corpus that query i looks for.

    sentence-transformers: `InformationRetrievalEvaluator` with cosine scores.

    Raises:
        InputError: not one set of relevant rows for each query, or a set is empty or names a row that is not there.
    """
    if len(relevant) != len(queries) or not len(queries):
        raise InputError(f"{len(relevant)} sets of relevant rows for {len(queries)} queries")
    wanted = [set(rows) for rows in relevant]
    if not all(rows and rows <= set(range(len(corpus))) for rows in wanted):
        raise InputError(f"every query needs relevant rows, from 0 to {len(corpus) - 1}")
    hits = semantic_search(queries, corpus, top_k=max(ks))
    found = [[hit["corpus_id"] in rows for hit in row] for row, rows in zip(hits, wanted, strict=True)]
    first = [row.index(True) + 1 if any(row) else np.inf for row in found]
    misses = [np.cumprod([(len(corpus) - len(r) - i) / (len(corpus) - i) for i in range(len(corpus))]) for r in wanted]
    return Retrieval(
        {k: float(np.mean([rank <= k for rank in first])) for k in ks},
        {k: float(np.mean([sum(row[:k]) / len(rows) for row, rows in zip(found, wanted, strict=True)])) for k in ks},
        float(np.mean([1 / rank for rank in first])),
        {k: float(np.mean([1 - row[min(k, len(corpus)) - 1] for row in misses])) for k in ks},
    )
