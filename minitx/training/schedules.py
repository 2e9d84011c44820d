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

    def step(self) -> None:
        """Go to the next step's rates."""
        self.last_step += 1
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr * self.factor(self.last_step)

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


def constant(step: int, warmup_steps: int, total_steps: int) -> float:
    """A straight line from 0 to 1 over the warmup, then 1. transformers: `get_constant_schedule_with_warmup`."""
    return min(1.0, step / max(1, warmup_steps)) if warmup_steps else 1.0


def linear(step: int, warmup_steps: int, total_steps: int) -> float:
    """Warmup, then a straight line to 0. transformers: `get_linear_schedule_with_warmup`."""
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Warmup, then half a cosine wave to 0. transformers: `get_cosine_schedule_with_warmup`."""
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))


SCHEDULES = {"constant": constant, "linear": linear, "cosine": cosine}


def factor(schedule: str, warmup_steps: int, total_steps: int) -> Callable[[int], float]:
    """The named schedule for a run of `total_steps`, the first `warmup_steps` of them warming up."""
    shape = SCHEDULES[schedule]
    return lambda step: shape(step, warmup_steps, total_steps)


def with_warmup(optimizer: Optimizer, schedule: str, warmup_steps: int, total_steps: int) -> LambdaLR:
    """`factor` applied to the groups of an optimizer."""
    return LambdaLR(optimizer, factor(schedule, warmup_steps, total_steps))
