"""Two gradients of one function: the analytic one, from its backward, and the numeric one, from differences.

For a random cotangent c, the derivative of L(x) = sum(c f(x)) by one element of x is

    dL/dx[i] = sum(c (f(x + eps e_i) - f(x - eps e_i))) / (2 eps)        up to an error of the order of eps²

and the backward of f, given dy = c, must return the same. The cotangent is random because ones hide mistakes: softmax
and layer norm have gradient 0 under ones, so a backward of `return 0 * dy` would pass. Everything is computed in
float64: in float32, the difference of two nearly equal numbers has two or three correct digits at most.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitx.autograd.context import no_grad
from minitx.autograd.tensor import Tensor

Function = Callable[..., Tensor | Sequence[Tensor]]


class GradcheckError(RuntimeError):
    """The analytic gradient differs from the numeric one; the message names the input, element and likely mistake."""


@dataclass
class Comparison:
    """The two gradients of L = sum(cotangents * outputs) by each input that requires one."""

    inputs: dict[int, np.ndarray]  # position -> value of every tensor and array, whether checked or not
    outputs: list[np.ndarray]
    cotangents: list[np.ndarray]
    analytic: list[np.ndarray]
    numeric: list[np.ndarray]
    kinks: list[np.ndarray]  # True where the slopes to the left and to the right differ

    @property
    def worst(self) -> float:
        """The largest |a - n| / max(|a|, |n|, 1 % of the largest |n|), so that rounding errors near 0 do not count."""
        floor = max((0.01 * np.abs(n).max(initial=0) for n in self.numeric), default=0)
        return max(
            (
                float(np.max(np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), floor or 1), initial=0))
                for a, n in zip(self.analytic, self.numeric, strict=True)
            ),
            default=0.0,
        )


def compare(
    func: Function, inputs: Sequence[Any], *, eps: float = 1e-6, fast_mode: bool = False, seed: int = 0
) -> Comparison:
    """Both gradients by each of `inputs` that requires one, in their order; in fast mode, one number for each.

    The inputs must be float64. `GradcheckError` if there is nothing to compare.
    """
    rng = np.random.default_rng(seed)
    checked = checked_inputs(inputs)
    before = {i: value.copy() for i, value in _values(inputs).items()}
    with no_grad():
        results = func(*inputs), func(*inputs)
    for result in results[0] if isinstance(results[0], tuple | list) else results[:1]:
        if not isinstance(result, Tensor):
            raise GradcheckError(f"func returned {type(result).__name__}, no Tensor: it left the graph, as by .data")
    first, second = map(_arrays, results)
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)):
        raise GradcheckError("func gave two results for the same inputs: create its generator anew in each call")
    if not all(np.isfinite(y).all() for y in first):
        raise GradcheckError("func is not finite at these inputs: choose inputs where it has a derivative")
    if any(y.dtype != np.float64 for y in first):
        raise GradcheckError(f"func returned {first[0].dtype} for float64 inputs: an op must keep its inputs' dtype")
    cotangents = [_random(y.shape, rng) for y in first]
    found = Comparison(before, first, cotangents, analytic_gradients(func, inputs, cotangents), [], [])
    for i, value in _values(inputs).items():
        if not np.array_equal(value, before[i]):
            raise GradcheckError(f"func or its backward writes into input {i}: an op must work on a copy")
    with no_grad():
        for k, t in enumerate(checked):
            if fast_mode:
                direction = _random(t.shape, rng) / math.sqrt(max(1, t.size))
                found.analytic[k] = np.vdot(found.analytic[k], direction)
                right, left = (_slope(func, inputs, t, direction * step, step, found) for step in (eps, -eps))
            else:
                right, left = slopes(func, inputs, t, found, eps)
            found.numeric.append((right + left) / 2)
            noise = 1e-3 * np.abs(found.numeric[-1]).max(initial=0)
            found.kinks.append(np.abs(right - left) > 0.01 * np.maximum(np.maximum(abs(right), abs(left)), noise))
    return found


# -- the two gradients -----------------------------------------------------------------------------------------


def analytic_gradients(func: Function, inputs: Sequence[Any], cotangents: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What `backward` leaves in `.grad` of the checked inputs, zeros where it leaves nothing."""
    for t in checked_inputs(inputs):
        t.grad = None
    outputs = func(*inputs)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    if not any(y.requires_grad for y in outputs):
        raise GradcheckError("func's result has no history: it left the graph, through .data, .detach() or no_grad()")
    for y, c in zip(outputs, cotangents, strict=True):
        if y.requires_grad:
            try:
                y.backward(c, retain_graph=True)
            except (TypeError, ValueError) as error:
                raise GradcheckError(f"gradcheck failed: {error}") from error
    return [np.zeros_like(t.data) if t.grad is None else np.array(t.grad) for t in checked_inputs(inputs)]


def slopes(func: Function, inputs: Sequence[Any], t: Tensor, found: Comparison, eps: float) -> np.ndarray:
    """The derivative by every element of `t`, from the right and from the left: (2, *t.shape)."""
    result = np.empty((2, *t.shape))
    for index in np.ndindex(t.shape):
        shift = np.zeros(t.shape)
        for side, step in enumerate((eps, -eps)):
            shift[index] = step
            result[(side, *index)] = _slope(func, inputs, t, shift, step, found)
    return result


def _slope(func: Function, inputs: Sequence[Any], t: Tensor, shift: np.ndarray, step: float, found: Comparison) -> Any:
    x = t.data
    t.data = x + shift
    outputs = _arrays(func(*inputs))
    t.data = x
    # Differences first, then the sum: outputs that do not depend on this element add exactly 0, no rounding errors.
    pairs = zip(found.cotangents, outputs, found.outputs, strict=True)
    return sum(np.vdot(c, y - y0) for c, y, y0 in pairs) / step


def _arrays(outputs: Tensor | Sequence[Tensor]) -> list[np.ndarray]:
    return [y.data for y in ((outputs,) if isinstance(outputs, Tensor) else outputs)]


def _values(inputs: Sequence[Any]) -> dict[int, np.ndarray]:
    return {
        i: value.data if isinstance(value, Tensor) else value
        for i, value in enumerate(inputs)
        if isinstance(value, Tensor | np.ndarray)
    }


def checked_inputs(inputs: Sequence[Any]) -> list[Tensor]:
    """The tensors that require a gradient; `ValueError` if one is not a leaf, and so would not receive it."""
    checked = [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]
    if not all(t.is_leaf for t in checked):
        raise ValueError("an input of gradcheck is the result of an op: give leaves, Tensor(x, requires_grad=True)")
    return list(dict.fromkeys(checked))  # the same tensor twice is one input


def _random(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of both signs and none near 0, where a mistake would go unnoticed."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


@contextlib.contextmanager
def in_float64(inputs: Sequence[Any]) -> Iterator[None]:
    """Inside the block the tensors hold float64 copies; after it, their own data and gradients again."""
    kept = [(t, t.data, t.grad) for t in inputs if isinstance(t, Tensor)]
    try:
        for t, data, _ in kept:
            t.data = data.astype(np.float64) if data.dtype.kind == "f" else data
        yield
    finally:
        for t, data, grad in kept:
            t.data, t.grad = data, grad
