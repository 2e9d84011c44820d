"""Do the tasks pull the encoder the same way? Their gradients compared while a run trains, and the picture of it."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx.app.plots import epoch_axis, save, words
from minitx.autograd.context import running
from minitx.data.batches import Batch
from minitx.training.epochs import Callback, Epoch
from minitx.training.parallel import DataParallel, Loss


class TaskGradients(Callback):
    """The gradients of the weighted task losses by the encoder's trainable weights, compared at some steps of an epoch.

    Some steps, since each costs a pass for each task. By the weights, not by the sentence vectors, where it would cost
    nothing: there the gradients of one row for two tasks are all but orthogonal whatever the tasks are, and what one
    row's means for another's shows only where they add up. Without dropout's noise. As in Yu et al. 2020.

    Args:
        steps: how many of an epoch's steps, evenly spread.
        of: how many steps an epoch has.
    """

    def __init__(self, tasks: Sequence[str], steps: int, of: int) -> None:
        self.tasks = tuple(tasks)
        self.compared = {int((i + 0.5) * of / steps) for i in range(steps)}
        self.grams: list[np.ndarray] = []  # (tasks, tasks) of each step: dot products

    def on_batch(self, number: int, batch: Batch, parallel: DataParallel, loss: Loss) -> None:
        """Compare, if this is one of the steps."""
        encoder = list(parallel.model.encoder.parameters())
        if number not in self.compared or not any(parameter.requires_grad for parameter in encoder):
            return
        gradients = []
        for task in self.tasks:
            factors = {other: loss.factors.get(task, 1.0) if other == task else 0.0 for other in self.tasks}
            with running(inference=True):
                _, sums = parallel.gradients(batch, Loss(loss.class_weights, loss.label_smoothing, factors))
            gradients.append([np.asarray(sums[parameter]).reshape(-1) for parameter in encoder if parameter in sums])
        self.grams.append(np.array([[sum(map(np.vdot, a, b)) for b in gradients] for a in gradients], dtype=np.float64))

    def on_epoch(self, epoch: Epoch) -> None:
        """Put the means of this epoch's steps into it."""
        epoch.more.update(self.means())
        self.grams.clear()

    def means(self) -> dict[str, float]:
        """Flat means over the steps: NaN where there was nothing to compare, as in a frozen encoder.

        `gradient_norm_A`, the length of A's gradient; for each pair `gradient_cosine_A_B`, and `gradient_conflict_A_B`,
        the share of steps in which it was negative. Batches in which a task has no label say nothing of it.
        """
        grams = np.array(self.grams, np.float64).reshape(-1, len(self.tasks), len(self.tasks))
        norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0))  # (steps, tasks)
        means = {f"gradient_norm_{task}": _mean(norms[norms[:, i] > 0, i]) for i, task in enumerate(self.tasks)}
        for (i, a), (j, b) in combinations(enumerate(self.tasks), 2):
            both = (norms[:, i] > 0) & (norms[:, j] > 0)
            cosines = grams[both, i, j] / (norms[both, i] * norms[both, j])
            means[f"gradient_cosine_{a}_{b}"], means[f"gradient_conflict_{a}_{b}"] = _mean(cosines), _mean(cosines < 0)
        return means


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def task_gradients_picture(epochs: Sequence[Epoch], path: Path, title: str) -> None:
    """Do the tasks help or fight? Left: how strongly each pulls the encoder. Right: the cosine between each two."""
    numbers, tasks = [epoch.number for epoch in epochs], list(epochs[0].train)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    figure.suptitle(words(title))
    left, right = figure.subplots(1, 2)
    for task in tasks:
        left.plot(numbers, [e.more[f"gradient_norm_{task}"] for e in epochs], "o-", markersize=4, label=task)
    for a, b in combinations(tasks, 2):
        cosines = [e.more[f"gradient_cosine_{a}_{b}"] for e in epochs]
        right.plot(numbers, cosines, "o-", markersize=4, label=f"{a} and {b}")
    for axes in (left, right):
        epoch_axis(axes, epochs)  # those in which the encoder was frozen too
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    left.set_title("length of each task's gradient by the encoder's weights", fontsize=10)
    left.set_ylim(bottom=0)
    right.set_title("cosine of the tasks' gradients, mean over steps: 1 pull together, -1 fight", fontsize=10)
    right.axhline(0, color="black", linewidth=0.8)
    right.set_ylim(-1, 1)
    save(figure, path)
