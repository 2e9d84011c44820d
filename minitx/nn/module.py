"""Parameter and Module: names, train and eval, freezing, state_dict. No layer and no mathematics."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from minitx.autograd.context import current
from minitx.autograd.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module learns: it requires a gradient until it is frozen."""

    __slots__ = ()

    def __init__(self, data: np.ndarray, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)


class Module:
    """Base of every layer and model: parameters and submodules are simply attributes.

    They are found by walking `vars(self)` in the order of assignment, through lists, tuples and dicts at any depth, and
    the path is the name: `encoder.blocks.3.attention.query.weight`. What occurs twice counts once, under its first
    name. Nothing is registered and `__getattr__` is left alone, so a misspelt attribute is an AttributeError. Torch:
    `torch.nn.Module`, which needs `ModuleList`, `ModuleDict` and `ParameterList` for this.

    Raises:
        TypeError: on walking, if modules or parameters are in a set or deque, or under keys that give no clear name.
    """

    _training = True

    @property
    def training(self) -> bool:
        """Whether dropout is on: as `train()` or `eval()` set it, but never while this thread runs inference."""
        return self._training and not current().inference

    @training.setter
    def training(self, mode: bool) -> None:
        self._training = mode

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; called through `module(...)`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - forward()'s docstring is the one to read
        with ExitStack() as watched:
            for watcher in current().watchers:
                watched.enter_context(watcher.inside(self))
            return self.forward(*args, **kwargs)

    # -- walking -------------------------------------------------------------------------------------------

    def _walk(self, name: str, seen: set[int]) -> Iterator[tuple[str, "Module | Parameter"]]:
        """This module, its own parameters, then its submodules likewise; `seen` are the ids of what has been given."""
        yield name, self
        for path, value in sorted(_find(vars(self), name), key=lambda found: isinstance(found[1], Module)):
            if id(value) not in seen:
                seen.add(id(value))
                yield from value._walk(path, seen) if isinstance(value, Module) else [(path, value)]

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module (named `prefix`) and all below it, each once; `blocks.0` and `blocks.1` for a list `blocks`."""
        return ((name, value) for name, value in self._walk(prefix, {id(self)}) if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its name; a shared one under the first of its names."""
        return ((name, value) for name, value in self._walk(prefix, {id(self)}) if isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def num_parameters(self, *, trainable: bool = False) -> int:
        """Number of weights; with `trainable`, of those that are not frozen."""
        return sum(p.size for p in self.parameters() if p.requires_grad or not trainable)

    # -- modes -----------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> "Module":
        """Training mode (dropout on) here and below."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Evaluation mode (dropout off) here and below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Set the one flag that freezing is made of, on every parameter; a frozen one also loses its gradient.

        No graph is recorded where nothing further down can learn, and optimisers, weight decay and clipping skip
        frozen parameters; gradients still flow *through* a frozen layer to trainable ones below it.
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
            if not requires_grad:
                parameter.grad = None
        return self

    def freeze(self) -> "Module":
        """Stop learning here and below: `requires_grad_(False)`."""
        return self.requires_grad_(False)

    def unfreeze(self) -> "Module":
        """Learn again here and below: `requires_grad_(True)`."""
        return self.requires_grad_(True)

    def zero_grad(self) -> None:
        """Forget the gradients (None, not zeros: with zeros, Adam's momentum would go on moving the weights)."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: Any) -> "Module":
        """Convert every parameter, in place, to float32 or float64; the device "cpu" is where they are.

        `TypeError` for another device.
        """
        if isinstance(dtype, str) and dtype[:4] in ("cuda", "gpu", "mps", "xpu"):
            raise TypeError(f"minitx computes on the CPU, not on {dtype!r}")
        for parameter in self.parameters() if dtype != "cpu" else ():
            parameter.data, parameter.grad = parameter.data.astype(dtype), None
        return self

    # -- weights in and out ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> array, in definition order. The arrays are the weights themselves, not copies, as in torch."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: dict[str, np.ndarray], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy `state` into the parameters of the same names, converting to their dtype.

        Returns:
            (missing, unexpected) names, as torch does.

        Raises:
            ValueError: a shape differs or, if `strict`, a name is missing or unexpected. All are listed, and
                nothing has been copied.
        """
        own = dict(self.named_parameters())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        shared = [name for name in own if name in state]
        problems = [
            f"size mismatch for {name}: {state[name].shape} where the model has {own[name].shape}"
            for name in shared
            if state[name].shape != own[name].shape
        ]
        lists = {"missing": missing, "unexpected": unexpected} if strict else {}
        problems += [f"{what} {', '.join(listed)}" for what, listed in lists.items() if listed]
        if problems:
            raise ValueError(f"cannot load weights into {type(self).__name__}: {'; '.join(problems)}")
        for name in shared:
            own[name].data[...] = state[name]
        return missing, unexpected


def _find(value: Any, name: str) -> Iterator[tuple[str, Module | Parameter]]:
    """The modules and parameters that `value` is or holds, `name` before the path to each."""
    if isinstance(value, Module | Parameter):
        yield name, value
    elif isinstance(value, dict | list | tuple | set | frozenset | deque):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            for found in _find(item, f"{name}.{key}" if name else str(key)):
                if not isinstance(value, dict | list | tuple) or not isinstance(key, str | int) or "." in str(key):
                    kinds = "a list, a tuple, or a dict whose keys are integers or strings without a dot"
                    raise TypeError(f"{name!r} is a {type(value).__name__} that holds {found[0]}: use {kinds}")
                yield found
