"""Plan: a schedule that freezes and thaws parts of a model on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from minitx.errors import InputError
from minitx.models.multitask import MultiTaskModel
from minitx.nn.module import Parameter
from minitx.training.freezing import select
from minitx.training.groups import Optimizer
from minitx.training.schedules import LambdaLR


@dataclass(frozen=True)
class Stage:
    """From `epoch` on (1.5: the middle of the second), exactly these parts train, at `rate` times their rates.

    Gradual unfreezing is a list of stages whose parts grow from the top: Howard & Ruder 2018, section 3.3.
    """

    train: tuple[str, ...] = ("everything",)
    epoch: float = 0.0
    rate: float = 1.0


def check_starts(starts: Sequence[float], epochs: float) -> None:
    """`InputError` unless stages may begin at the epochs `starts`, of a run of so many epochs."""
    for number, start in enumerate(starts, start=1):
        if number == 1 and start != 0:
            raise InputError(f"stage 1 begins at epoch {start:g}: expected 0")
        if number > 1 and not starts[number - 2] < start < epochs:
            raise InputError(
                f"stage {number} begins at epoch {start:g}: expected after {starts[number - 2]:g} and before the end, "
                f"{epochs:g}; train for more epochs, or give other stages"
            )


# Which parameters a plan froze and may thaw, or the next plan for the same model; those that others froze, never.
FROZEN_BY_A_PLAN: WeakValueDictionary[int, Parameter] = WeakValueDictionary()  # by id: == compares elements


class Plan(LambdaLR):
    """A schedule that freezes and thaws as well: the rates and the trainable parameters of every step of a run.

    Made before training. `fit` steps through it, and the command line draws what `at()` says: there is one plan.
    A frozen parameter keeps its bits, and what was frozen before, other than by a plan, stays so in all stages. The
    optimizer forgets what it knew of a parameter that is frozen, so that Adam starts afresh on a thawed one.

    Args:
        model, optimizer: whose flags and rates to set, now and at each `step()`.
        factor: step -> what every rate is multiplied by (`schedules.factor`).
        total_steps, steps_per_epoch: of the run.
        stages: the first at epoch 0, each later one after the one before.

    Raises:
        InputError: stages out of order or after the end, or a part that names nothing.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        optimizer: Optimizer,
        factor: Callable[[int], float],
        *,
        total_steps: int,
        steps_per_epoch: int,
        stages: Sequence[Stage] = (Stage(),),
    ) -> None:
        self.model, self.total_steps, self.steps_per_epoch = model, total_steps, steps_per_epoch
        self.stages, self.starts = tuple(stages), [round(stage.epoch * steps_per_epoch) for stage in stages]
        check_starts([start / steps_per_epoch for start in self.starts], total_steps / steps_per_epoch)
        own = dict(model.named_parameters())
        self.thawable = {p for p in own.values() if p.requires_grad or id(p) in FROZEN_BY_A_PLAN}
        self.trains = [{own[name] for name in select(model, stage.train)} & self.thawable for stage in self.stages]
        self.own, self.training = list(own.values()), set(own.values())
        super().__init__(optimizer, factor)

    def at(self, step: int) -> tuple[list[float], set[Parameter]]:
        """The rate of each group at a step, and the model's parameters that train then."""
        stage = sum(start <= step for start in self.starts) - 1
        return [rate * self.stages[stage].rate for rate in super().rates(step)], self.trains[stage]

    def rates(self, step: int) -> list[float]:
        """The rate of each group at a step."""
        return self.at(step)[0]

    def step(self) -> None:
        """Go to the next step: rates, and which parameters train."""
        super().step()
        training = self.at(self.last_step)[1]
        if training != self.training:
            self.training = training
            for parameter in self.thawable:
                parameter.requires_grad = parameter in training
                FROZEN_BY_A_PLAN.pop(id(parameter), None)
                FROZEN_BY_A_PLAN.update({} if parameter.requires_grad else {id(parameter): parameter})
                if not parameter.requires_grad and self.last_step:  # at step 0, a loaded state is left alone
                    parameter.grad = None
                    self.optimizer.state.pop(parameter, None)
                    self.optimizer.seen_rows.pop(parameter, None)
