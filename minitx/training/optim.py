"""Adam and AdamW with parameter groups, SGD, gradient clipping, and averages of weights.

A group is a dict: its parameters and its own settings, as in torch:

    AdamW([
        {"params": model.encoder.parameters(), "lr": 3e-5, "name": "encoder"},
        {"params": model.heads["sentiment"].parameters(), "lr": 3e-4, "name": "sentiment"},
        {"params": model.heads["engagement"].parameters(), "frozen": True},
    ])

Frozen parameters are passed over entirely, weight decay and momentum included: their bits do not change.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minitx.autograd import engine
from minitx.autograd.engine import RowGradient
from minitx.nn.module import Module, Parameter

# Elements that one pass of Adam works on: five arrays of 64k floats stay in or near a core's L2 cache, whereas whole
# matrices would travel through memory once for each operation.
BLOCK = 64 * 1024
HANDFUL = 8  # blocks that a thread takes at once: handing over costs as much as a small block's work
Task = Callable[[], None]


class Optimizer:
    """Parameter groups, and the loop over them; a subclass says how elements move.

    Args:
        params: parameters, (name, parameter) pairs, or group dicts. A group may override any default, may be
            `"frozen": True`, and keeps further keys such as `"name"`.
        defaults: settings of groups that have none of their own.

    Raises:
        ValueError: a parameter in two groups, an empty group (its rate would do nothing, unnoticed), a negative
            rate, or no parameters at all.
    """

    decoupled_weight_decay = False
    lazy = False

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = {**defaults, "frozen": False}
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        self.seen_rows: dict[Parameter, np.ndarray] = {}  # of tables with row gradients: (V,) bool
        groups = list(params)
        if not groups:
            raise ValueError("an optimizer needs parameters, and was given none")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add one group; settings it does not mention take their defaults."""
        group = {**self.defaults, **group}
        group["params"] = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        label = f"group {group.get('name', len(self.param_groups))}"
        if not group["params"]:
            raise ValueError(f"{label} has no parameters: its settings would have no effect")
        taken = {p for g in self.param_groups for p in g["params"]}
        if len(set(group["params"])) < len(group["params"]) or taken.intersection(group["params"]):
            raise ValueError(f"{label}: some parameters appear in more than one parameter group")
        for setting in ("lr", "weight_decay"):
            if group[setting] < 0:
                raise ValueError(f"{label}: {setting} must not be negative, and is {group[setting]}")
        if group["frozen"]:
            for parameter in group["params"]:
                parameter.requires_grad, parameter.grad = False, None
        self.param_groups.append(group)

    def check(self, *models: Module) -> None:
        """Make sure that this optimizer trains `models`, usually one, as a whole and nothing else.

        An optimizer built before the model was made anew holds the old one's parameters, and training does
        nothing at all; a layer left out of the groups stays at its random start. Neither is visible in the code.

        Raises:
            ValueError: trainable parameters are in no group, or a group holds what is not the model's.
        """
        grouped = {p for group in self.param_groups for p in group["params"]}
        own = {p: name for model in models for name, p in model.named_parameters()}
        strangers = len(grouped.difference(own))
        if strangers:
            raise ValueError(
                f"{strangers} of the optimizer's {len(grouped)} parameters are not this model's: "
                "build the optimizer after the model"
            )
        left_out = [name for p, name in own.items() if p.requires_grad and p not in grouped]
        if left_out:
            raise ValueError(f"{len(left_out)} trainable parameters are in no optimizer group: {', '.join(left_out)}")

    def forget(self, parameter: Parameter) -> None:
        """Drop what is kept for a parameter between steps: should it have a gradient again, it starts afresh."""
        self.state.pop(parameter, None)
        self.seen_rows.pop(parameter, None)

    def zero_grad(self) -> None:
        """Forget the gradients (None, not zeros: with zeros, momentum would go on moving the weights)."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self, run: Callable[..., Iterable[None]] = map) -> None:
        """Move every parameter that has a gradient and is not frozen.

        Every element moves by itself, so the work is cut into blocks: `run=pool.map` of a thread pool spreads them
        over the cores, and the bits are the same.
        """
        first: list[Task] = []
        second: list[Task] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad and parameter.grad is not None:
                    self._add_tasks(parameter, group, first, second)
        with engine.region(f"{type(self).__name__}.step"):
            for tasks in (first, second):
                _spread(run, lambda task: task(), tasks)

    def _add_tasks(self, parameter: Parameter, group: dict[str, Any], first: list[Task], second: list[Task]) -> None:
        """The step of one parameter, in blocks."""
        if not parameter.data.flags.c_contiguous:  # flat views of a transposed array would be copies
            parameter.data = parameter.data.copy()
        state = self.state.get(parameter) or self.initial_state(parameter, group)
        if state:
            self.state[parameter] = state
        if "step" in state:
            state["step"] += 1
        x, step = parameter.data, state.get("step", 0)
        buffers = [buffer for buffer in state.values() if isinstance(buffer, np.ndarray)]
        flat = [array.reshape(-1) for array in (x, *buffers)]
        blocks = [slice(start, start + BLOCK) for start in range(0, x.size, BLOCK)]
        if isinstance(parameter.grad, RowGradient):
            gradient = parameter.grad.coalesce()
            rows = self._moving_rows(parameter, gradient, buffers, group)
            if len(rows) < len(x) / 2:
                if not self.lazy:
                    first.extend(partial(self.decay, group, flat[0][block]) for block in blocks)
                height = max(1, BLOCK // x[0].size)
                for start in range(0, len(rows), height):
                    part = rows[start : start + height]
                    second.append(partial(self._update_rows, step, group, part, gradient, x, buffers))
                return
        g = np.asarray(parameter.grad).reshape(-1)
        second.extend(
            partial(self._update_block, step, group, flat[0][block], g[block], *(buffer[block] for buffer in flat[1:]))
            for block in blocks
        )

    def _moving_rows(
        self, parameter: Parameter, gradient: RowGradient, buffers: list[np.ndarray], group: dict[str, Any]
    ) -> np.ndarray:
        """The rows of a table that this step moves: those that have, or ever had, a gradient; ascending.

        Of the others all momentum is 0, so that leaving them out changes no bit.
        """
        if self.lazy:
            return gradient.rows
        if group["weight_decay"] and not self.decoupled_weight_decay:
            return np.arange(len(parameter.data))  # the decay itself is a gradient
        if parameter not in self.seen_rows:  # at the start, or after loading a state
            self.seen_rows[parameter] = np.zeros(len(parameter.data), bool)
            for buffer in buffers:
                self.seen_rows[parameter] |= buffer.any(axis=1)
        self.seen_rows[parameter][gradient.rows] = True
        return np.flatnonzero(self.seen_rows[parameter])

    def _update_rows(
        self,
        step: int,
        group: dict[str, Any],
        rows: np.ndarray,
        gradient: RowGradient,
        x: np.ndarray,
        buffers: list[np.ndarray],
    ) -> None:
        """`update` for some rows of a table, of which those without a gradient in this step have one of zeros."""
        arrays = (x, *buffers)
        parts = [array[rows] for array in arrays]
        g = np.zeros_like(parts[0])
        have = slice(*np.searchsorted(gradient.rows, (rows[0], rows[-1] + 1)))
        g[np.searchsorted(rows, gradient.rows[have])] = gradient.values[have]
        if self.lazy:
            self.decay(group, parts[0])
        self.update(step, group, parts[0], g, *parts[1:])
        for array, part in zip(arrays, parts, strict=True):
            array[rows] = part

    def _update_block(
        self, step: int, group: dict[str, Any], x: np.ndarray, g: np.ndarray, *buffers: np.ndarray
    ) -> None:
        self.decay(group, x)
        self.update(step, group, x, g, *buffers)

    def decay(self, group: dict[str, Any], x: np.ndarray) -> None:
        """Decoupled weight decay of some elements x, in place, before they are moved."""
        if self.decoupled_weight_decay and group["weight_decay"]:
            x *= 1 - group["lr"] * group["weight_decay"]

    def initial_state(self, parameter: Parameter, group: dict[str, Any]) -> dict[str, Any]:
        """What is kept for a parameter between steps: arrays of its shape, and maybe `step`, a count."""
        raise NotImplementedError

    def update(self, step: int, group: dict[str, Any], x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """Move some elements x, in place, by their gradients g; `step` counts from 1, `buffers` are the state's."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on, in torch's layout: state by position, and the groups with positions."""
        position = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [{**group, "params": [position[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {position[p]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`; `ValueError` unless its groups have the sizes of this optimizer's."""
        sizes = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in state_dict["param_groups"]]
        if sizes[0] != sizes[1]:
            raise ValueError(f"the optimizer has groups of {sizes[0]} parameters, the saved state of {sizes[1]}")
        parameters = [p for group in self.param_groups for p in group["params"]]
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})
        self.seen_rows = {}
        self.state = {
            parameters[int(i)]: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in state.items()}
            for i, state in state_dict["state"].items()
        }


class SGD(Optimizer):
    """Stochastic gradient descent: g = grad + weight_decay x ;  v = momentum v + g ;  x -= lr v.

    Torch: `torch.optim.SGD`.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def initial_state(self, parameter: Parameter, group: dict[str, Any]) -> dict[str, Any]:
        """v, if there is momentum."""
        return {"momentum_buffer": np.zeros_like(parameter.data)} if group["momentum"] else {}

    def update(self, step: int, group: dict[str, Any], x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """See `Optimizer.update`."""
        if group["weight_decay"]:
            g = g + group["weight_decay"] * x
        for v in buffers:
            v *= group["momentum"]
            v += g
            g = v
        x -= group["lr"] * g


class Adam(Optimizer):
    """Steps of about `lr` in every coordinate, whatever the size of its gradients.

        m = b1 m + (1 - b1) g        a running mean of the gradient, and
        v = b2 v + (1 - b2) g²       of its square; both start at 0, which the divisions by 1 - b^t make up for
        x -= lr (m / (1 - b1^t)) / (√(v / (1 - b2^t)) + eps)

    Kingma & Ba 2015, algorithm 1. Here `weight_decay` is added to the gradient, g = grad + weight_decay x, and
    so is rescaled with it; `AdamW` is usually what is meant. Torch: `torch.optim.Adam`.

    Of a table with row gradients (`Embedding(sparse=True)`), rows that never had one are passed over, which gives the
    same bits. With `lazy`, so are rows that have none in this step, as in `torch.optim.SparseAdam`: cheaper, but a
    rare token's momentum then moves it only when it occurs, not in the steps between.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        lazy: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.lazy = lazy

    def initial_state(self, parameter: Parameter, group: dict[str, Any]) -> dict[str, Any]:
        """t, m and v, under torch's names."""
        return {"step": 0, "exp_avg": np.zeros_like(parameter.data), "exp_avg_sq": np.zeros_like(parameter.data)}

    def update(self, step: int, group: dict[str, Any], x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """See `Optimizer.update`."""
        (m, v), (b1, b2), lr, decay = buffers, group["betas"], group["lr"], group["weight_decay"]
        if decay and not self.decoupled_weight_decay:
            g = g + decay * x
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * np.square(g)
        move = np.sqrt(v)
        move *= 1 / math.sqrt(1 - b2**step)
        move += group["eps"]
        np.divide(m, move, out=move)
        move *= lr / (1 - b1**step)
        x -= move


class AdamW(Adam):
    """Adam whose weight decay acts on the weights themselves, x *= 1 - lr weight_decay, before each step.

    Loshchilov & Hutter 2019, algorithm 2. Torch: `torch.optim.AdamW`.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        lazy: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, lazy)


def _spread(run: Callable[..., Iterable[Any]], work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """[work(item) for item in items], handed out by `run`, some at a time."""
    handfuls = [items[start : start + HANDFUL] for start in range(0, len(items), HANDFUL)]
    return [done for handful in run(lambda handful: [work(item) for item in handful], handfuls) for done in handful]


class WeightAverage:
    """A running mean of a model's weights, w̄ = d w̄ + (1 - d) w, to evaluate and keep in place of the last step's.

    The last step's weights still carry the noise of the last batches; their mean does not. Polyak & Juditsky 1992;
    d = min(decay, (1 + t) / (10 + t)) at step t, so that the start is soon forgotten (Tarvainen & Valpola 2017).
    Torch: `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.averages = [(parameter, parameter.data.copy()) for parameter in model.parameters()]

    def update(self) -> None:
        """Take in the weights after a step; frozen ones stay what they are."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for parameter, average in self.averages:
            if parameter.requires_grad:
                average += (1 - keep) * (parameter.data - average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages for weights inside the block, and its own again after it."""
        own = [parameter.data.copy() for parameter, _ in self.averages]
        for parameter, average in self.averages:
            parameter.data[...] = average
        try:
            yield
        finally:
            for (parameter, _), weights in zip(self.averages, own, strict=True):
                parameter.data[...] = weights


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float, run: Callable[..., Iterable[Any]] = map) -> float:
    """Scale all gradients together so that their joint length is at most `max_norm`; returns it before scaling.

    Frozen parameters do not count; `run` as in `Optimizer.step`. Pascanu et al. 2013. Torch:
    `torch.nn.utils.clip_grad_norm_`.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be greater than 0, not {max_norm}")
    grads = []
    for p in parameters:
        if p.grad is not None and p.requires_grad:
            if isinstance(p.grad, RowGradient):
                p.grad = p.grad.coalesce()
            grads.append(p.grad.values if isinstance(p.grad, RowGradient) else p.grad)
    norm = math.sqrt(sum(_spread(run, lambda g: float(np.vdot(g, g)), grads)))
    if norm > max_norm:
        share = max_norm / (norm + 1e-6)
        _spread(run, lambda g: np.multiply(g, share, out=g), grads)
    return norm
