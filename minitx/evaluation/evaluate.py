"""What does a model say of labelled rows, and how good is it?"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.data.batches import TokenisedRows
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.models.multitask import MultiTaskModel


def evaluate(model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray | None = None) -> dict[str, Report]:
    """A report for each head over `rows`, without dropout or a graph, on every core.

    `vectors` (N, D), if the encoder's sentence vectors of the rows are known, spare running it.
    """
    return reports(model, rows.labels, predict(model, rows.sequences, vectors))


def reports(
    model: MultiTaskModel,
    labels: Mapping[str, np.ndarray],
    logits: Mapping[str, np.ndarray],
    class_weights: Mapping[str, np.ndarray] | None = None,
    label_smoothing: float = 0.0,
) -> dict[str, Report]:
    """A report for each head from its logits (N, C); rows with the label -100 count for nothing.

    Class weights (head -> (C,)) and label smoothing concern the loss in it and nothing else.
    """
    losses = model.losses({h: Tensor(y) for h, y in logits.items()}, labels, class_weights, label_smoothing)
    found = {}
    for head, classes in model.classes.items():
        kept = labels[head] >= 0
        confusion = confusion_matrix(labels[head][kept], logits[head][kept].argmax(axis=1), len(classes))
        found[head] = Report(classes, confusion, losses[head].item() if kept.any() else math.nan)
    return found


def predict(
    model: MultiTaskModel, sequences: Sequence[Sequence[int]], vectors: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Logits (N, C) for each head of N lists of ids, without dropout or a graph; `vectors` as in `evaluate`."""
    if vectors is None:
        vectors = model.encoder.encode_ids(sequences, show_progress_bar=False)
    with inference():
        return {head: y.data for head, y in model.classify(Tensor(vectors)).items()}
