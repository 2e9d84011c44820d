"""What is asked of a learner's function: the right one, the inputs it is tried on, and the mistakes known by name."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitx.autograd.tensor import Tensor

Function = Callable[..., Any]
Arguments = tuple[Any, ...]
UNWATCHED = nullcontext()
Outcome = dict[str, Any]  # "the result", "the gradient of x", ... -> arrays, numbers, strings, lists of them


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give: it is recognised because the learner's outcome is what `wrong` computes.

    `fact` is a sentence, or a function of (yours, right, *arguments) that makes one, with a number of the learner's
    own; yours and right are the part of the outcome that differs, at the first example where it does. A sentence may
    hold {yours} and {right}, their {ratio}, the largest {gap} between them, and {row}, the sum of your first row.
    """

    name: str  # what was done, in the learner's terms
    wrong: Function
    fact: str | Callable[..., str] = ""


def slips(by_name: Mapping[str, Sequence[Function]]) -> tuple[Mistake, ...]:
    """Mistakes from `{"name | fact": (wrong, ...)}`; a mistake may be made in several ways."""
    named = ((name.partition(" | ")[::2], wrong) for name, ways in by_name.items() for wrong in ways)
    return tuple(Mistake(name, wrong, fact) for (name, fact), wrong in named)


@dataclass(frozen=True)
class Piece:
    """One function to write.

    Args:
        right: a right answer; its name, signature and docstring are what the learner is given.
        examples: makes the inputs anew: label -> arguments. The first is the ordinary one, the others are named edge
            cases. Tensors that require gradients make it a piece that differentiates.
        mistakes: the commonest wrong answers.
        result: (what was returned, *arguments) -> what is compared, where more than one answer is right.
    """

    right: Function
    examples: Callable[[], Mapping[str, Arguments]]
    mistakes: tuple[Mistake, ...] = ()
    result: Function | None = None

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.right.__name__

    @property
    def signature(self) -> str:
        """`softmax(x)`: the name and the arguments, without their types."""
        return f"{self.name}({', '.join(map(_argument, inspect.signature(self.right).parameters.values()))})"

    def outcome(
        self, function: Function, arguments: Arguments, guard: AbstractContextManager[Any] = UNWATCHED
    ) -> Outcome:
        """What `function` makes of the arguments: its result, and the gradients of their tensors.

        Gradients are those of sum(c y) for a random c, since ones would hide mistakes. What is the function's own work
        runs inside `guard`. Raises whatever the function raises, and NotImplementedError if it returns None.
        """
        with guard:
            returned = function(*arguments)
            if isinstance(returned, Iterator | range):
                returned = list(returned)
        if returned is None:
            raise NotImplementedError("it returns None: is there a `return`?")
        outcome: Outcome = {
            "the type": "a Tensor" if isinstance(returned, Tensor) else "not a Tensor",
            "the result": simple(self.result(returned, *arguments) if self.result else returned),
        }
        if isinstance(returned, Tensor):
            c = np.random.default_rng(0).normal(size=returned.shape).astype(returned.dtype)
            if returned.requires_grad:
                with guard:
                    returned.backward(c)
            for name, tensor in tensors_in(self.right, arguments).items():
                outcome[f"the gradient of {name}"] = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad
        return outcome


def _argument(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def tensors_in(function: Function, arguments: Arguments) -> dict[str, Tensor]:
    """The tensors that require gradients among the arguments, by name: `x`, or `w["out.bias"]` in a dict."""
    found: dict[str, Tensor] = {}
    for name, value in zip(inspect.signature(function).parameters, arguments, strict=False):
        inside = {f'{name}["{key}"]': v for key, v in value.items()} if isinstance(value, Mapping) else {name: value}
        found |= {key: v for key, v in inside.items() if isinstance(v, Tensor) and v.requires_grad}
    return found


def simple(value: Any) -> Any:
    """Tensors as their arrays, and every sequence as a list, so that results can be compared and printed."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, Mapping):
        return {key: simple(v) for key, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, np.ndarray | str | bytes):
        return [simple(v) for v in value]
    return value


def same(a: Any, b: Any, rtol: float = 1e-6) -> bool:
    """Whether two results are equal, numbers up to rounding; NaN equals NaN, so that mistakes can be recognised."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key], rtol) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, rtol) for x, y in zip(a, b, strict=True))
    if any(value is None or isinstance(value, str | bytes | Exception) for value in (a, b)):
        return type(a) is type(b) and (isinstance(a, Exception) or bool(a == b))
    try:
        x, y = np.asarray(a), np.asarray(b)
        whole = [array.dtype.kind in "biu" and array.size > 0 for array in (x, y)]  # row numbers are no floats
        if x.shape != y.shape or whole[0] != whole[1] or x.dtype.kind in "OUS" or y.dtype.kind in "OUS":
            return False
        if x.dtype.kind == y.dtype.kind == "f" and x.dtype != y.dtype:
            return False
        size = np.abs(y[np.isfinite(y)]).max(initial=0) if y.dtype.kind in "fc" else 0
        return bool(np.allclose(x, y, rtol=rtol, atol=rtol * 1e-2 * max(float(size), 1e-3), equal_nan=True))
    except (ValueError, TypeError):
        return False


# -- for writing pieces ------------------------------------------------------------------------------------------


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """A float64 Tensor of normal numbers that requires a gradient, the same at every call."""
    return Tensor(np.random.default_rng([seed, *shape]).normal(0, scale, shape), requires_grad=True)


def given(*rows: Any) -> Tensor:
    """A float64 Tensor of these rows that requires a gradient."""
    return Tensor(np.array(rows, np.float64), requires_grad=True)


def mask(*rows: str) -> np.ndarray:
    """An attention mask (B, T) from "1110", "1000": 1 is a real token."""
    return np.array([[letter == "1" for letter in row] for row in rows])


def with_gradient(right: Function, of: Callable[..., np.ndarray]) -> Function:
    """`right` with another derivative by its first argument x: of(dy, y, x, the other arguments), as arrays."""

    def wrong(x: Tensor, *others: Any) -> Tensor:
        y = right(x.detach(), *others).data
        return Tensor.from_op(y, (x,), lambda dy: (of(dy, y, x.data, *others),))

    return wrong
