"""What else a user of torch would type: methods of `Tensor` that are a line or two of its own ops, and comparisons.

Reading `tensor.py` does not need them. Each means what torch's of the same name does, but what has no derivative
(`argmax`, comparisons) comes as a NumPy array, ready to be an index, a target or a condition.
"""

# mypy: disable-error-code="attr-defined, call-arg, operator"
# `self` is a `Tensor`, which is made of this class and so not known here.

import math
import operator
from typing import Any, Self

import numpy as np

from minitx.autograd.engine import Gradients, Node


def _compare(by: Any) -> Any:
    return lambda self, other: by(self.data, other.data if isinstance(other, Node) else other)


def _in_place(by: Any) -> Any:
    def change(self: Any, other: Any) -> Any:
        if self.requires_grad and self.is_leaf:
            how = "write to its array, as in w.data -= 0.1 * w.grad"
            raise RuntimeError(f"a leaf that requires a gradient is not changed in place: {how}")
        return by(self, other)  # a new tensor of the same name, as the ops before may need the old one

    return change


class TensorHabits(Node):
    """The methods, mixed into `Tensor`, which `self` is, and what they return where no other type is named."""

    __slots__ = ()
    __hash__ = object.__hash__  # by identity, as in torch: == compares elements

    __eq__, __ne__ = _compare(operator.eq), _compare(operator.ne)
    __lt__, __le__, __gt__, __ge__ = map(_compare, (operator.lt, operator.le, operator.gt, operator.ge))
    __iadd__, __isub__ = map(_in_place, (operator.add, operator.sub))
    __imul__, __itruediv__ = map(_in_place, (operator.mul, operator.truediv))

    def __float__(self) -> float:
        return float(self.data.item())

    def __int__(self) -> int:
        return int(self.data.item())

    def __format__(self, form: str) -> str:
        return format(self.data.item() if form else str(self), form)

    def __rpow__(self, base: Any) -> Self:
        """base^self, and tensor^tensor. d(x^n) = n x^(n-1) dx + x^n ln(x) dn; 0^n has no dn where n >= 0."""
        if not isinstance(base, Node):
            base = type(self)(np.asarray(base, np.result_type(self.dtype, base)))
        x, n = base.data, self.data
        y = x**n

        def backward(dy: np.ndarray) -> Gradients:
            with np.errstate(all="ignore"):  # NaN and infinity, where torch has them
                return dy * np.where(n == 0, 0, n * x ** (n - 1)), dy * np.where((x == 0) & (n >= 0), 0, y * np.log(x))

        return self.from_op(y, (base, self), backward)

    def numpy(self) -> np.ndarray:
        """The array inside, not a copy. `RuntimeError` if it requires a gradient, which would be lost unnoticed."""
        if self.requires_grad:
            raise RuntimeError("this tensor requires a gradient, which NumPy would lose: use .detach().numpy()")
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def argmax(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Where the largest value is, the first of equals: integers, over `dim` or in the flattened tensor."""
        return self.data.argmax(axis=dim, keepdims=keepdim)

    def sqrt(self) -> Self:
        """Square root. dx = dy / (2 y)."""
        y = np.sqrt(self.data)
        return self.from_op(y, (self,), lambda dy: (dy / (2 * y),))

    def tanh(self) -> Self:
        """Hyperbolic tangent. dx = (1 - y²) dy."""
        y = np.tanh(self.data)
        return self.from_op(y, (self,), lambda dy: (dy * (1 - y * y),))

    def abs(self) -> Self:
        """Absolute value. dx = sign(x) dy, 0 at the kink."""
        x = self.data
        return self.from_op(np.abs(x), (self,), lambda dy: (dy * np.sign(x),))

    def clone(self) -> Self:
        """A copy, through which gradients flow."""
        return self.from_op(self.data.copy(), (self,), lambda dy: (dy,))

    def clamp(self, min: float | None = None, max: float | None = None) -> Self:
        """No less than `min`, no more than `max`. dx = dy where neither is exceeded."""
        x = self.data
        inside = (x >= (-math.inf if min is None else min)) & (x <= (math.inf if max is None else max))
        return self.from_op(np.clip(x, min, max), (self,), lambda dy: (dy * inside,))

    def expand(self, *sizes: int | tuple[int, ...]) -> Self:
        """Axes of size 1, and new ones in front, repeated; -1 leaves an axis as it is."""
        asked = sizes_of(sizes)
        before = (1,) * (len(asked) - self.ndim) + self.shape
        shape = tuple(have if size == -1 else size for size, have in zip(asked, before, strict=True))
        return self.from_op(np.broadcast_to(self.data, shape), (self,), lambda dy: (dy,))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """The axes from `start_dim` to `end_dim` as one."""
        shape = self.shape or (1,)
        start, end = range(len(shape))[start_dim], range(len(shape))[end_dim]
        return self.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])

    @property
    def T(self) -> Self:
        """A matrix with rows and columns swapped; a vector as it is."""
        return self.transpose(-1, -2) if self.ndim > 1 else self

    def unsqueeze(self, dim: int) -> Self:
        """A new axis of size 1 at position `dim`."""
        return self.reshape(*np.expand_dims(self.data, dim).shape)

    def view(self, *sizes: int | tuple[int, ...]) -> Self:
        """Another name of `reshape`, as torch has it."""
        return self.reshape(*sizes)

    def masked_fill(self, mask: Any, value: float) -> Self:
        """`value` where the boolean array `mask` is True; no derivative comes back from there."""
        mask = np.array(mask)  # a copy: the caller may reuse the array before backward()
        filled = np.where(mask, np.asarray(value, self.dtype), self.data)
        return self.from_op(filled, (self,), lambda dy: (np.where(mask, 0, dy),))

    def min(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Self:
        """Smallest value over `dim` (all axes by default). Ties share dy evenly. Torch: `torch.amin`."""
        largest = (-self).max(dim, keepdim)
        smallest = -largest
        smallest.__class__ = type(largest)
        return smallest

    def sigmoid(self) -> Self:
        """1 / (1 + e^-x), with an exponential that cannot overflow. dx = y (1 - y) dy."""
        e = np.exp(-np.abs(self.data))
        y = np.where(self.data >= 0, 1, e) / (1 + e)
        return self.from_op(y, (self,), lambda dy: (dy * y * (1 - y),))

    def squeeze(self, dim: int | tuple[int, ...] | None = None) -> Self:
        """Without axis `dim` (all axes by default), if it has size 1."""
        dims = np.arange(max(1, self.ndim))[() if dim is None else np.r_[dim]]
        return self.reshape(*(size for d, size in enumerate(self.shape) if size != 1 or d not in dims))

    def std(self, dim: int | tuple[int, ...] | None = None, correction: int = 1, keepdim: bool = False) -> Self:
        """Standard deviation over `dim`: the root of `var`, of numbers scaled so that no square overflows.

        dx = (x - mean) / ((n - correction) y) dy, and 0 where y is 0, as in torch.
        """
        largest = np.maximum(np.abs(self.data).max(axis=dim, keepdims=True, initial=0), np.finfo(self.dtype).tiny)
        off, scale = _off_mean(self.data / largest, dim, correction)
        s = np.sqrt(np.square(off).sum(axis=dim, keepdims=True) * scale)
        y = s * largest

        def backward(dy: np.ndarray) -> Gradients:
            return (dy.reshape(s.shape) * scale * off / np.where(s == 0, 1, s),)

        return self.from_op(y if keepdim else y.squeeze(axis=dim), (self,), backward)

    def var(self, dim: int | tuple[int, ...] | None = None, correction: int = 1, keepdim: bool = False) -> Self:
        """Variance over `dim` (all axes by default): squared distances from the mean, over n - `correction`.

        dx = 2 (x - mean) / (n - correction) dy.
        """
        off, scale = _off_mean(self.data, dim, correction)
        y = np.square(off).sum(axis=dim, keepdims=True) * scale

        def backward(dy: np.ndarray) -> Gradients:
            return (dy.reshape(y.shape) * (2 * scale) * off,)

        return self.from_op(y if keepdim else y.squeeze(axis=dim), (self,), backward)


def _off_mean(x: np.ndarray, dim: int | tuple[int, ...] | None, correction: int) -> tuple[np.ndarray, np.floating]:
    """x - mean, and 1 / (n - correction), NaN where that is not positive."""
    total = x.sum(axis=dim, keepdims=True)
    n = x.size // max(1, total.size)
    off = x - total / max(1, n)  # of integers: float64
    return off, off.dtype.type(1 / (n - correction) if n > correction else math.nan)


def float_data(x: Any, width: int | None = None, matrix: str = "") -> np.ndarray:
    """What is in a Tensor of floats, for an op to compute with. `TypeError` for an array, and for integers.

    `ValueError` if its last axis has another `width`, or if it is no matrix where `matrix` says which is expected.
    """
    if isinstance(x, Node) and x.data.dtype.kind == "f":
        if width not in (None, *x.shape[-1:]):
            raise ValueError(f"a tensor of shape {x.shape}; expected a last axis of {width}")
        if matrix and x.ndim != 2:
            raise ValueError(f"expected {matrix}, not a Tensor of shape {x.shape}")
        return x.data
    found, data = (f"a Tensor of {x.dtype}", "x.data") if isinstance(x, Node) else (str(type(x)), "x")
    what = matrix or "a Tensor of floats"
    raise TypeError(f"expected {what}, not {found}: Tensor({data}, dtype=np.float32) makes one")


def listed(tensors: Any) -> Any:
    """The tensors themselves. `TypeError` for one Tensor, whose rows would be taken for them, and for other things."""
    others = [one for one in tensors if not isinstance(one, Node)] if isinstance(tensors, tuple | list) else [tensors]
    if others:
        raise TypeError(f"expected Tensors in a list or tuple, as [x, y] or (x,), not {type(others[0]).__name__}")
    return tensors


def product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x @ w. `ValueError` with both shapes if they are no matrices, or a row of x is not as long as a column of w."""
    if min(x.ndim, w.ndim) < 2 or x.shape[-1] != w.shape[-2]:
        raise ValueError(f"{x.shape} @ {w.shape}: a row of the first must be as long as a column of the second")
    return x @ w


def real_tokens(attention_mask: Any, *shapes: tuple[int, ...]) -> np.ndarray:
    """The mask as booleans. `ValueError` if it has none of the shapes, or is added to scores: 0 for real tokens."""
    attention_mask = np.asarray(attention_mask)
    if attention_mask.shape not in shapes:
        raise ValueError(f"attention_mask has shape {attention_mask.shape}; expected {' or '.join(map(str, shapes))}")
    if attention_mask.dtype != bool and not np.isin(attention_mask, (0, 1)).all():
        raise ValueError("an attention_mask is True or 1 for real tokens and 0 for others; what is added is the bias")
    return attention_mask.astype(bool)


def sizes_of(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes or axes that were given one by one, or as one tuple or list."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
