"""Parameter and Module: names, train and eval, freezing, state_dict. No layer and no mathematics."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minitx.autograd import engine
from minitx.autograd.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module learns: it requires a gradient until it is frozen."""

    __slots__ = ()

    def __init__(self, data: np.ndarray, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)


class Module:
    """Base of every layer and model: parameters and submodules are simply attributes.

    They are found by walking `vars(self)` in the order of assignment, through lists and dicts of modules too, and
    each is named by its path: `encoder.blocks.3.attention.query.weight`. Nothing is registered and `__getattr__` is
    left alone, so a misspelt attribute is an AttributeError. Torch: `torch.nn.Module`.
    """

    training = True  # what train() and eval() set; dropout reads it

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; called through `module(...)`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - forward()'s docstring is the one to read
        if engine.monitor is not None:
            with engine.monitor.inside(self):
                return self.forward(*args, **kwargs)
        return self.forward(*args, **kwargs)

    # -- walking -------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Direct submodules with their names; `blocks.0`, `blocks.1` for a list `blocks`, likewise for a dict."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | dict):
                items = value.items() if isinstance(value, dict) else enumerate(value)
                yield from ((f"{name}.{key}", item) for key, item in items if isinstance(item, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module (named `prefix`) and all below it."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its name; a shared one under the first of its names."""
        seen: set[Parameter] = set()
        for path, module in self.named_modules(prefix):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and value not in seen:
                    seen.add(value)
                    yield (f"{path}.{name}" if path else name), value

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
        """Convert every parameter, in place, to float32 or float64."""
        for parameter in self.parameters():
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
        problems = [
            f"size mismatch for {name}: {state[name].shape} where the model has {parameter.shape}"
            for name, parameter in own.items()
            if name in state and state[name].shape != parameter.shape
        ]
        if strict:
            problems += [f"missing {', '.join(missing)}"] * bool(missing)
            problems += [f"unexpected {', '.join(unexpected)}"] * bool(unexpected)
        if problems:
            raise ValueError(f"cannot load weights into {type(self).__name__}: {'; '.join(problems)}")
        for name, parameter in own.items():
            if name in state:
                parameter.data[...] = state[name]
        return missing, unexpected
