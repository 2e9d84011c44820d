"""How learning rates change with the step: multiply each group's own rate by a factor.

A schedule keeps the proportions between groups, so that per-group rates stay what they were set to be.
"""

import math
from collections.abc import Callable
from typing import Any

from minitx.training.groups import Optimizer


class LambdaLR:
    """Sets each group's rate to its initial rate times `factor(step)`, step = 0, 1, 2, ...

    Call `step()` after `optimizer.step()`. Torch: `torch.optim.lr_scheduler.LambdaLR`.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.optimizer, self.factor = optimizer, factor
        self._start([group["lr"] for group in optimizer.param_groups], 0)

    def _start(self, base_lrs: list[float], step: int) -> None:
        self.base_lrs, self.last_step = base_lrs, step - 1
        for group, base_lr in zip(self.optimizer.param_groups, base_lrs, strict=True):
            group["initial_lr"] = base_lr  # what torch calls it
        self.step()

    def rates(self, step: int) -> list[float]:
        """The rate of each group at a step."""
        return [base_lr * self.factor(step) for base_lr in self.base_lrs]

    def step(self) -> None:
        """Go to the next step's rates."""
        self.last_step += 1
        for group, rate in zip(self.optimizer.param_groups, self.rates(self.last_step), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, and the rates that it multiplies."""
        return {"base_lrs": list(self.base_lrs), "last_step": self.last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`; `ValueError` unless it has a rate for each group."""
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(f"the schedule has {len(self.base_lrs)} rates, the state {len(state_dict['base_lrs'])}")
        self._start(list(state_dict["base_lrs"]), state_dict["last_step"])

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]


# How high the rate is after the warmup, by the share of the steps after it that are done, from 0 to 1. In transformers:
# get_constant_schedule_with_warmup, get_linear_schedule_with_warmup, get_cosine_schedule_with_warmup.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: max(0.0, 1 - done),  # a straight line to 0
    "cosine": lambda done: max(0.0, 0.5 * (1 + math.cos(math.pi * done))),  # half a wave to 0
}


def factor(schedule: str, warmup_steps: int, total_steps: int) -> Callable[[int], float]:
    """A straight line from 0 to 1 over the first `warmup_steps` steps of `total_steps`, then the named schedule.

    `KeyError` for a name that `SCHEDULES` does not have.
    """

    def at(step: int, after: Callable[[float], float] = SCHEDULES[schedule]) -> float:
        if step < warmup_steps:
            return step / warmup_steps
        return after(1 - (total_steps - step) / max(1, total_steps - warmup_steps))

    return at
