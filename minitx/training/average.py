"""WeightAverage: the mean of the last steps' weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minitx.nn.module import Module


class WeightAverage:
    """A running mean of a model's weights, w̄ = d w̄ + (1 - d) w, to evaluate and keep in place of the last step's.

    The last step's weights still carry the noise of the last batches; their mean does not. Polyak & Juditsky 1992;
    d = min(decay, (1 + t) / (10 + t)) at step t, so that the start is soon forgotten (Tarvainen & Valpola 2017).
    Torch: `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`.

    The mean of a part that is frozen on the way becomes the weights it is frozen at, since those are what the parts
    above it go on learning from.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.averages = {parameter: parameter.data.copy() for parameter in model.parameters()}
        self.resting = {parameter for parameter in self.averages if not parameter.requires_grad}

    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for parameter, average in self.averages.items():
            if parameter.requires_grad:
                average += (1 - keep) * (parameter.data - average)
                self.resting.discard(parameter)
            elif parameter not in self.resting:
                average[...] = parameter.data
                self.resting.add(parameter)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages for weights inside the block, and its own again after it."""
        own = {parameter: parameter.data.copy() for parameter in self.averages}
        try:
            for parameter, average in self.averages.items():
                parameter.data[...] = average
            yield
        finally:
            for parameter, weights in own.items():
                parameter.data[...] = weights

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: the count, the averages and which rest, in the order of the parameters."""
        resting = [parameter in self.resting for parameter in self.averages]
        return {"steps": self.steps, "averages": list(self.averages.values()), "resting": resting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; `ValueError` unless it is of as many parameters, of these shapes."""
        for average, saved in zip(self.averages.values(), state["averages"], strict=True):
            average[...] = saved
        self.steps = state["steps"]
        self.resting = {p for p, rests in zip(self.averages, state["resting"], strict=True) if rests}
