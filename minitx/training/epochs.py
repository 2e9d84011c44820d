"""What `fit` tells: what an epoch did, which one was best, and whom it tells on its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from minitx.data.batches import Batch, TokenisedRows
from minitx.errors import InputError, expect
from minitx.evaluation.metrics import Report
from minitx.training.groups import Optimizer
from minitx.training.parallel import DataParallel, Loss


@dataclass
class Epoch:
    """What one epoch did."""

    number: int
    train: dict[str, Report]  # with dropout on, while the weights moved
    validation: dict[str, Report]
    score: float  # what "best" means: `score` of `validation`
    tokens_per_second: float  # through the encoder: 0 while its vectors are known and it need not run
    seconds: float
    task_weights: dict[str, float] = field(default_factory=dict)  # head -> factor of its loss at the end, if learned
    skipped: int = 0  # steps up to its end that moved nothing, see `TrainingSettings.on_nan`
    more: dict[str, float] = field(default_factory=dict)  # what callbacks measured


METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "loss")  # that can choose the epoch


def score(validation: Mapping[str, Report], factors: Mapping[str, float], select: str = "") -> float:
    """How good an epoch was: the mean of accuracy and macro-F1 on the validation rows, and of the heads that train.

    Both, because macro-F1 alone can hang on a handful of rows of a small class, and accuracy alone ignores them. A head
    whose loss counts nothing, by `factors`, has no say. `select` names one figure instead, as in "sentiment.macro_f1";
    of a loss, the lowest is best.
    """
    if select:
        head, metric = select.split(".")
        return float(getattr(validation[head], metric)) * (-1 if metric == "loss" else 1)
    heads = [head for head in validation if factors.get(head, 1.0)] or validation
    return float(np.mean([(validation[head].accuracy + validation[head].macro_f1) / 2 for head in heads]))


def check_select(select: str, labels: Mapping[str, np.ndarray]) -> None:
    """`ValueError` unless epochs can be compared: each head has a label in the validation rows, `select` is one's."""
    for head, target in labels.items():
        if not (target >= 0).any():
            raise ValueError(f"no validation row has a label for {head}: epochs could not be compared")
    head, _, metric = select.partition(".")
    if select and (head not in labels or metric not in METRICS):
        raise InputError(f"select {select!r}: expected HEAD.METRIC, of {', '.join(labels)} and {', '.join(METRICS)}")


def check_parts(
    train: TokenisedRows,
    validation: TokenisedRows,
    classes: Mapping[str, Sequence[str]],
    optimizer: Optimizer,
    settings: Any,
    rng: np.random.Generator,
    schedule: object = None,
) -> None:
    """`InputError` unless `fit` can begin with these: see its Raises."""
    expect(optimizer, Optimizer, "an optimizer, as in fit(model, train, validation, optimizer, settings)")
    expect(rng, np.random.Generator, "np.random.default_rng(0) as rng")
    for name in ("epochs", "batch_size", "accumulate"):
        if not isinstance(value := getattr(settings, name, settings), int) or value < 1:
            raise InputError(f"{name} must be at least 1, and a whole number, not {value!r:.60}")
    for rows, (head, names) in product((train, validation), classes.items()):
        if not isinstance(rows, TokenisedRows) or any(isinstance(ids, str) for ids in rows.sequences):
            given = "texts" if isinstance(rows, TokenisedRows) else type(rows).__name__
            raise InputError(f"rows are {given}; expected TokenisedRows(encoder.tokenize(texts), labels)")
        labels = rows.labels if isinstance(rows.labels, Mapping) else {}
        found, shape = labels.get(head), (len(rows.sequences),)
        wrong = "missing" if found is None else f"{type(found).__name__} {getattr(found, 'dtype', '')}".strip()
        if isinstance(found, np.ndarray) and found.dtype.kind in "iu":
            strange = np.setdiff1d(found, (*range(len(names)), -100))
            wrong = f"shape {found.shape}" if found.shape != shape else ", ".join(map(str, strange[:5]))
        if wrong:
            expected = f"an array (np.array) of {shape[0]:,} integers, 0 to {len(names) - 1}, or -100 for none"
            raise InputError(f"labels of {head}: {wrong}; expected {{{head!r}: {expected}}}")
    weights = settings.class_weights
    for head in expect(weights, Mapping, "class_weights by head, as {'sentiment': np.array([1.0, 2.0])}"):
        wanted = (len(classes.get(head, ())),)
        if not isinstance(weights[head], np.ndarray) or weights[head].shape != wanted:
            expected = f"an np.array of shape {wanted}" if head in classes else f"one of the heads {', '.join(classes)}"
            raise InputError(f"class_weights of {head}, {weights[head]!r:.60}: expected {expected}")
    now = any(parameter.requires_grad for group in optimizer.param_groups for parameter in group["params"])
    if not now and not any(getattr(schedule, "trains", ())):  # a plan may thaw what is frozen at first
        raise InputError("no parameter of the optimizer trains: all are frozen")


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights `fit` keeps: the highest score, the later of equals."""
    return max(reversed(epochs), key=lambda epoch: epoch.score)


class Callback:
    """What `fit` tells on its way; a subclass listens to some. It may measure, and must not write to the model.

    Except in `on_start`, where a training that was put down may be taken up again: `training.progress`.
    """

    def on_start(self, training: Any) -> None:
        """Before anything is done; the `trainer.Training` is kept up to date."""

    def on_batch(self, number: int, batch: Batch, parallel: DataParallel, loss: Loss) -> None:
        """Before step `number` of an epoch, counted from 0."""

    def on_step(self) -> None:
        """After a step."""

    def on_epoch(self, epoch: Epoch) -> None:
        """After an epoch; `epoch.more` takes further figures."""
