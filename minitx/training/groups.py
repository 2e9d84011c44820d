"""Optimizer: parameters in groups, and what is kept for each of them between steps."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minitx.autograd.context import region
from minitx.autograd.engine import Node
from minitx.autograd.rows import RowGradient
from minitx.errors import suggestion
from minitx.nn.module import Module, Parameter
from minitx.training.blocks import Map, full_blocks, row_blocks, spread

Group = dict[str, Any]
LABELS = ("params", "name", "layer", "initial_lr")  # keys of a group that are not settings of the optimizer


class Optimizer:
    """Parameter groups, and the loop over them; a subclass says how elements move.

    Args:
        params: parameters, (name, parameter) pairs, or group dicts. A group may override any default, may be
            `"frozen": True`, which freezes its parameters now, and may have a `"name"` and a `"layer"`.
        defaults: settings of groups that have none of their own.

    A parameter moves if it requires a gradient; all else keeps its bits, weight decay and momentum included.

    Raises:
        ValueError: a parameter in two groups, an empty group (its rate would do nothing, unnoticed), an unknown
            setting, a negative rate, or no parameters at all.
    """

    decoupled_weight_decay = False

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        self.seen_rows: dict[Parameter, np.ndarray] = {}  # of tables with row gradients: (V,) bool
        groups = list(params) if isinstance(params, Iterable) else []
        if not groups:
            raise ValueError("an optimizer needs parameters, as [x] or model.parameters(), and was given none")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # -- what a subclass supplies ------------------------------------------------------------------------------

    def update(self, step: int, group: Group, x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """Move some elements x, in place, by their gradients g; `step` counts from 1, `buffers` are the state's."""
        raise NotImplementedError

    def initial_state(self, parameter: Parameter, group: Group) -> dict[str, Any]:
        """What is kept for a parameter between steps: arrays of its shape, and maybe `step`, a count."""
        raise NotImplementedError

    # -- groups ------------------------------------------------------------------------------------------------

    def add_param_group(self, group: Group) -> None:
        """Add one group; settings it does not mention take their defaults."""
        label = f"group {group.get('name', len(self.param_groups))}"
        group = {**self.defaults, **group}
        frozen = group.pop("frozen", False)
        group["params"] = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        self._check_settings(label, group)
        if not group["params"]:
            raise ValueError(f"{label} has no parameters: its settings would have no effect")
        if not all(isinstance(p, Node) and p.is_leaf for p in group["params"]):
            raise ValueError(f"{label}: expected parameters in a list, as [x], and none that is the result of an op")
        taken = {p for g in self.param_groups for p in g["params"]}
        if len(set(group["params"])) < len(group["params"]) or taken.intersection(group["params"]):
            raise ValueError(f"{label}: some parameters appear in more than one parameter group")
        if frozen:
            for parameter in group["params"]:
                parameter.requires_grad, parameter.grad = False, None
        self.param_groups.append(group)

    def _check_settings(self, label: str, group: Group) -> None:
        known = [*LABELS, *self.defaults]
        for key, value in group.items():
            if key not in known:
                raise ValueError(f"{label}: unknown setting {key!r}; {suggestion(key, known)}")
            if key in ("lr", "weight_decay", "eps", "momentum") and not (
                isinstance(value, int | float | np.number) and value >= 0
            ):
                raise ValueError(f"{label}: {key} must be a number of at least 0, and is {value!r}")
            if key == "betas" and not (np.shape(value) == (2,) and all(0 <= beta < 1 for beta in value)):
                raise ValueError(f"{label}: betas must be two numbers in [0, 1), and are {value}")

    def check(self, *models: Module) -> None:
        """Make sure that this optimizer trains `models`, usually one, as a whole and nothing else.

        An optimizer built before the model was made anew holds the old one's parameters, and training does
        nothing at all; a layer left out of the groups stays at its random start. Neither is visible in the code.

        Raises:
            ValueError: trainable parameters are in no group, or a group holds parameters of something else.
        """
        grouped = {p for group in self.param_groups for p in group["params"]}
        own = {p: name for model in models for name, p in model.named_parameters()}
        if strangers := grouped.difference(own):
            theirs = f"{len(strangers)} of the optimizer's {len(grouped)} parameters"
            raise ValueError(f"{theirs} are not this model's: build the optimizer after the model")
        if left_out := [name for p, name in own.items() if p.requires_grad and p not in grouped]:
            raise ValueError(f"{len(left_out)} trainable parameters are in no optimizer group: {', '.join(left_out)}")

    def zero_grad(self) -> None:
        """Forget the gradients (None, not zeros: with zeros, momentum would go on moving the weights)."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    # -- a step ------------------------------------------------------------------------------------------------

    def step(self, run: Map = map) -> None:
        """Move every parameter that has a gradient and is not frozen.

        Every element moves by itself, so the work is cut into blocks: `run=pool.map` of a thread pool spreads them
        over the cores, and the bits are the same.
        """
        with region(f"{type(self).__name__}.step"):
            blocks = [
                block
                for group in self.param_groups
                for parameter in group["params"]
                if parameter.requires_grad and parameter.grad is not None
                for block in self._blocks(parameter, group)
            ]
            spread(run, lambda block: block(), blocks)

    def _blocks(self, parameter: Parameter, group: Group) -> Iterator[Callable[[], None]]:
        """The step of one parameter, as blocks of work that may run side by side."""
        if not parameter.data.flags.c_contiguous:  # flat views of a transposed array would be copies
            parameter.data = parameter.data.copy()
        state = self.state.get(parameter) or self.initial_state(parameter, group)
        if state:
            self.state[parameter] = state
        if "step" in state:
            state["step"] += 1
        buffers = [buffer for buffer in state.values() if isinstance(buffer, np.ndarray)]
        update = partial(self.update, state.get("step", 0), group)
        shrink = 1 - group["lr"] * group["weight_decay"] if self.decoupled_weight_decay else 1.0
        if isinstance(parameter.grad, RowGradient):
            gradient = parameter.grad.coalesce()
            rows = self._moving_rows(parameter, gradient.rows, buffers, group)
            if len(rows) < len(parameter.data) / 2:
                return row_blocks(update, shrink, parameter.data, buffers, gradient, rows)
        else:
            self.seen_rows.pop(parameter, None)  # a full gradient moves, and gives momentum to, any row
        return full_blocks(update, shrink, parameter.data, buffers, np.asarray(parameter.grad))

    def _moving_rows(self, table: Parameter, rows: np.ndarray, buffers: list[np.ndarray], group: Group) -> np.ndarray:
        """The rows of a table that this step moves: those that have (`rows`), or ever had, a gradient; ascending.

        Of the others all momentum is 0, so that leaving them out changes no bit.
        """
        if group["weight_decay"] and not self.decoupled_weight_decay:
            return np.arange(len(table.data))  # the decay itself is a gradient
        if table not in self.seen_rows:  # at the start, after loading a state or after a full gradient
            self.seen_rows[table] = np.zeros(len(table.data), bool)
            for buffer in buffers:
                self.seen_rows[table] |= buffer.any(axis=1)
        self.seen_rows[table][rows] = True
        return np.flatnonzero(self.seen_rows[table])

    # -- state in and out ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: state by position, and the groups with positions. Adam's loads in torch."""
        position = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [{**group, "params": [position[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {position[p]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`; `ValueError` unless its groups and arrays have the sizes of this optimizer's."""
        sizes = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in state_dict["param_groups"]]
        if sizes[0] != sizes[1]:
            raise ValueError(f"the optimizer has groups of {sizes[0]} parameters, the saved state of {sizes[1]}")
        kept, state = {int(i): kept for i, kept in state_dict["state"].items()}, {}
        if strangers := kept.keys() - {i for group in state_dict["param_groups"] for i in group["params"]}:
            raise ValueError(f"the saved state has parameters that are in none of its groups: {sorted(strangers)}")
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            self._check_settings("the saved state", saved)
            for i, parameter in zip(saved["params"], group["params"], strict=True):
                if i in kept:
                    found = {name: np.shape(value) for name, value in kept[i].items()}
                    fresh = self.initial_state(parameter, {**group, **saved})
                    if found != {name: np.shape(value) for name, value in fresh.items()}:
                        raise ValueError(f"the state of parameter {i} has {found}; it must fit {parameter.shape}")
                    for name, value in kept[i].items():  # of the kind, dtype and layout that is worked with
                        fresh[name] = np.array(value, fresh[name].dtype, order="C") if name != "step" else int(value)
                    state[parameter] = fresh
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({**saved, "params": group["params"]})
        self.seen_rows, self.state = {}, state
