"""TaskWeights: one loss out of several."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.nn.module import Module, Parameter


class TaskWeights(Module):
    """How much each task counts, by weights that are fixed, total = sum_t w_t L_t, or learned as uncertainties:

        total = sum_t exp(-s_t) L_t + s_t / 2

    where s_t = log σ_t² is the log variance of task t and starts at 0. At rest exp(-s_t) = 1 / (2 L_t): a task with a
    large loss counts less. The total may become negative, which means nothing. Weight decay must leave s alone, since
    it would pull every task towards the same weight. Kendall, Gal & Cipolla 2018, section 3.2 (classification).

    The weights are no part of the model: they are not needed to predict.
    """

    def __init__(self, tasks: Iterable[str], fixed: Mapping[str, float] | None = None, learned: bool = False) -> None:
        self.tasks = tuple(tasks)
        if unknown := [task for task in fixed or {} if task not in self.tasks]:
            raise InputError(f"task_weights: there is no head {unknown[0]!r}: there is {', '.join(self.tasks)}")
        if fixed and learned:
            raise InputError("task_weights are fixed or learned, not both: leave one of the two out")
        self.fixed = {task: float((fixed or {}).get(task, 1.0)) for task in self.tasks}
        self.log_variance = Parameter(np.zeros(len(self.tasks), np.float32)) if learned else None

    def current(self) -> dict[str, float]:
        """The factor of each task's loss now."""
        if self.log_variance is None:
            return self.fixed
        return {task: math.exp(-float(s)) for task, s in zip(self.tasks, self.log_variance.data, strict=True)}

    def forward(self, losses: Tensor) -> Tensor:
        """Losses (tasks,) -> the one number that training brings down.

        A loss of exactly 0 is that of a task without a label in the batch, from which s learns nothing.
        """
        if self.log_variance is None:
            return (losses * Tensor(np.array(list(self.fixed.values()), losses.dtype))).sum()
        labelled = Tensor((losses.data != 0).astype(losses.dtype))
        return (labelled * ((-self.log_variance).exp() * losses + self.log_variance * 0.5)).sum()
