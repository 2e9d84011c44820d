"""What `fit` tells: what an epoch did, which one was best, and whom it tells on its way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitx.data.batches import Batch
from minitx.evaluation.metrics import Report
from minitx.training.parallel import DataParallel, Loss


@dataclass
class Epoch:
    """What one epoch did."""

    number: int
    train: dict[str, Report]  # with dropout on, while the weights moved
    validation: dict[str, Report]
    tokens_per_second: float  # through the encoder: 0 while its vectors are known and it need not run
    seconds: float
    task_weights: dict[str, float] = field(default_factory=dict)  # head -> factor of its loss at the end, if learned
    skipped: int = 0  # steps up to its end that moved nothing, see `TrainingSettings.on_nan`
    more: dict[str, float] = field(default_factory=dict)  # what callbacks measured

    @property
    def score(self) -> float:
        """What "best" means: the mean over the heads of accuracy and macro-F1 on the validation rows.

        Both, because macro-F1 alone can hang on a handful of rows of a small class, and accuracy alone ignores them.
        """
        return float(np.mean([(report.accuracy + report.macro_f1) / 2 for report in self.validation.values()]))


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
