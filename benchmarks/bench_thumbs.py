"""Would a regression head pay?  `python -m benchmarks.bench_thumbs CSV` predicts ln(1 + thumbs) in two ways.

The same words (TF-IDF of words and pairs of words) go into ridge regression on ln(1 + thumbs), and into logistic
regression on classes of thumbs, whose probabilities, times the mean of ln(1 + thumbs) that each class has among the
training rows, are a number as well: what minitx's classes can say. Beside them the length of the text alone. Strength
of regularisation and degree of the polynomial are chosen on validation rows, by R². Leak-free splits, one for each
seed; R² and Spearman's rank correlation on test rows, mean and standard deviation, and paired differences from ridge
with intervals for test rows that overlap (Nadeau & Bengio 2003).
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from tqdm import tqdm

from minitx.data.reviews import ENGAGEMENT, REVIEW_RULES, LabelRule, read_reviews
from minitx.data.split import split
from minitx.evaluation.statistics import mean_interval

OVERLAP = 0.2 / 0.8  # test rows are a fifth, see `evaluation.statistics`
FINER = (0, 1, *ENGAGEMENT.upper, 40, 150)  # upper bounds of classes of thumbs
RIDGE, C, DEGREES = (0.3, 1.0, 3.0, 10.0, 30.0), (0.3, 1.0, 3.0, 10.0), (1, 2, 3, 4)
RIVAL = "ridge regression"


def r2(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 - mean (y - predicted)² / variance of y."""
    return float(1 - ((y - predicted) ** 2).mean() / y.var())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()

    counts = pd.read_csv(arguments.csv, usecols=["thumbsUpCount"])["thumbsUpCount"].dropna().astype(int)
    values = np.unique(counts)  # a class for each, so that the split carries the numbers themselves
    thumbs = LabelRule("thumbs", "thumbsUpCount", tuple(map(str, values)), tuple(values[:-1]))
    data, _ = read_reviews(arguments.csv, (*REVIEW_RULES, thumbs))
    scores: dict[str, list[tuple[float, float]]] = {}
    for seed in tqdm(range(arguments.seeds), unit=" seeds"):
        parts = split(data, seed=seed)
        number = [values[part.labels["thumbs"]] for part in parts]
        y = [np.log1p(n) for n in number]
        for name, predicted in contenders(parts, number, y).items():
            scores.setdefault(name, []).append((r2(y[2], predicted), float(spearmanr(y[2], predicted).statistic)))
    print(f"{'':28}{'R²':>16}{'Spearman':>18}   R² and Spearman less ridge's")
    for name, rows in scores.items():
        figures, less = np.array(rows), np.subtract(rows, scores[RIVAL])
        told = zip(figures.mean(0), figures.std(0), strict=True)
        beside = [mean_interval(column, OVERLAP) for column in less.T] if name != RIVAL and len(rows) > 1 else []
        print(
            f"{name:28}" + "".join(f"{mean:>10.3f} ± {std:.3f}" for mean, std in told),
            *(f"  {d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})" for d in beside),
        )


def contenders(parts: Any, number: list[np.ndarray], y: list[np.ndarray]) -> Mapping[str, np.ndarray]:
    """What each predicts for the test rows (N,); `number` and `y` are thumbs and ln(1 + thumbs) of each part."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(parts.train.texts)
    x = [vectorizer.transform(part.texts) for part in parts]
    length = [np.log1p([len(text.split()) for text in part.texts]) for part in parts]

    def by_ridge(alpha: float) -> Callable[[int], np.ndarray]:
        model = Ridge(alpha).fit(x[0], y[0])
        return lambda part: model.predict(x[part])

    def by_classes(upper: tuple[int, ...], c: float) -> Callable[[int], np.ndarray]:
        classes = np.searchsorted(upper, number[0])
        model = LogisticRegression(C=c, max_iter=1000).fit(x[0], classes)
        means = np.array([y[0][classes == k].mean() for k in model.classes_])
        return lambda part: model.predict_proba(x[part]) @ means

    def by_length(degree: int) -> Callable[[int], np.ndarray]:
        polynomial = np.polynomial.Polynomial.fit(length[0], y[0], degree)
        return lambda part: polynomial(length[part])

    tried = {
        RIVAL: [by_ridge(alpha) for alpha in RIDGE],
        f"{len(ENGAGEMENT.classes)} classes (engagement)": [by_classes(ENGAGEMENT.upper, c) for c in C],
        f"{len(FINER) + 1} classes": [by_classes(FINER, c) for c in C],
        "length of the text alone": [by_length(degree) for degree in DEGREES],
    }
    best = {name: max(found, key=lambda predict: r2(y[1], predict(1))) for name, found in tried.items()}
    return {name: predict(2) for name, predict in best.items()}


if __name__ == "__main__":
    main()
