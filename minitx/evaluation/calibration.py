"""Does a model that says 80 % have it right in 80 of 100 cases, and does it rank the rows of a class first?

The functions take targets and probabilities of labelled rows only; without rows every figure is NaN.
"""

import numpy as np

BINS = 15  # of equal width, as in Guo et al. 2017


def reliability(target: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows, mean confidence and accuracy of each bin of confidence that holds rows: (bins, 3), ascending.

    Confidence is the largest probability of a row: `target` (N,) class numbers, `probabilities` (N, C). Guo et al.
    2017, "On Calibration of Modern Neural Networks", section 2.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    bin = np.minimum((np.nan_to_num(confidence) * BINS).astype(np.int64), BINS - 1)
    rows, sums, hits = (np.bincount(bin, weights, minlength=BINS) for weights in (None, confidence, right))
    filled = rows > 0
    return np.stack([rows, sums, hits], axis=1)[filled] / np.stack([np.ones(BINS), rows, rows], axis=1)[filled]


def expected_calibration_error(target: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the rows of |accuracy - confidence| of their bin: Guo et al. 2017, equation 3; from 0 to 1.

    `target` (N,), `probabilities` (N, C). torchmetrics: `MulticlassCalibrationError(num_classes, n_bins=15)`.
    """
    rows, confidence, accuracy = reliability(target, probabilities).T
    return float(np.average(np.abs(accuracy - confidence), weights=rows)) if len(rows) else np.nan


def error_by_luck(probabilities: np.ndarray) -> float:
    """The mean `expected_calibration_error` of exactly right probabilities (N, C): of labels that are drawn by them.

    The share that is right of a bin's n rows, with confidences c, then has the variance v = mean c (1 - c) / n, and the
    mean distance of a normal distribution from its middle is √(2 v / π).
    """
    c = np.minimum(probabilities.max(axis=1).astype(np.float64), 1)
    bin, n = np.minimum((np.nan_to_num(c) * BINS).astype(np.int64), BINS - 1), max(1, len(c))
    return float(np.sqrt(2 / np.pi * np.bincount(bin, c * (1 - c))).sum() / n) if len(c) else np.nan


def brier_score(target: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the rows of sum_c (p_c - [c is right])², from 0 to 2. Brier 1950.

    `target` (N,), `probabilities` (N, C). scikit-learn: `brier_score_loss(target, probabilities)`, from version 1.7.
    """
    wrong = probabilities - np.eye(probabilities.shape[1])[target]
    return float((wrong**2).sum(axis=1).mean()) if len(target) else np.nan


def precision_recall_curve(relevant: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of taking all rows above a threshold, for each score as the threshold, highest first.

    `relevant` (N,) bool, `scores` (N,), larger for what is thought more likely. Two arrays (K,) for K distinct scores.
    scikit-learn: `precision_recall_curve`, without the point it adds at recall 0.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(order) else order  # of equal scores
    found = np.cumsum(relevant[order])[last]
    return found / (last + 1), found / max(1, np.count_nonzero(relevant))


def average_precision(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve: sum_k (R_k - R_{k-1}) P_k; NaN if nothing is relevant.

    Guessing gives the share of relevant rows. scikit-learn: `average_precision_score`.
    """
    precision, recall = precision_recall_curve(relevant, scores)
    return float(np.diff(recall, prepend=0) @ precision) if np.any(relevant) else np.nan
