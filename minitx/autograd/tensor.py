"""Tensor: an array that remembers how it was made, and the primitive ops.

Every op reads the same way: the formula of its derivative, the forward pass, `backward(dy)` that returns one
array per parent, and `Tensor.from_op` that ties the three together. Names and meanings are torch's (`dim`,
`keepdim`, `permute`); in `backward`, `dy` comes in and `dx` goes out.
"""

import math
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from minitx.autograd import engine
from minitx.autograd.context import current
from minitx.autograd.engine import Gradients
from minitx.autograd.habits import TensorHabits, listed, product, sizes_of

Scalar = int | float | np.number


class Tensor(TensorHabits):
    """An n-dimensional array that records the ops applied to it, so that `backward()` can differentiate them.

    Args:
        data: array, number or nested list. Arrays keep their dtype and are not copied; Python floats become
            float32, as in torch.
        requires_grad: whether `backward()` leaves a derivative in `.grad`. Floating-point data only.
        dtype: convert `data` to this dtype.

    Raises:
        TypeError: `data` is not numeric or is a Tensor already, or `requires_grad` is set for integers.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)

    Torch equivalent: `torch.tensor(data, requires_grad=...)`.
    """

    __slots__ = ("__weakref__",)

    # Makes NumPy leave `array * tensor` to Tensor.__rmul__; it would otherwise build an array of Tensors.
    __array_ufunc__ = None

    def __init__(self, data: Any, *, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            raise TypeError("the data is already a Tensor: use it as it is, or use .detach() for one without history")
        array = np.asarray(data, dtype=dtype)
        if dtype is None and array.dtype == np.float64 and not isinstance(data, np.ndarray | np.generic):
            array = array.astype(np.float32)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a Tensor holds numbers, not {array.dtype} ({str(data)[:40]!r})")
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can require gradients, this one is {array.dtype}: "
                "convert it first, e.g. Tensor(x, dtype=np.float32, requires_grad=True)"
            )
        self.data = array
        self.grad = None
        self.requires_grad = requires_grad
        self.parents = ()
        self.backward_fn = None

    @staticmethod
    def from_op(
        data: np.ndarray, parents: tuple["Tensor", ...], backward: Callable[[np.ndarray], Gradients]
    ) -> "Tensor":
        """The result of an op: its value, what it was made from, and how to differentiate it.

        `backward(dy)` gets the derivative of the loss by `data` and returns one derivative per parent, in order: an
        array, or a function that computes it, which is called only if that parent requires a gradient. It may return
        `dy` itself, views of it, one array for several parents or one that it keeps, but it writes into none of them.
        Where the op broadcast, it need not sum: the engine does.
        """
        out = Tensor(data)
        if is_recorded(listed(parents)):
            out.requires_grad, out.parents, out.backward_fn = True, parents, backward
        for watcher in current().watchers:
            watcher.after_forward(out, parents, backward)
        return out

    # -- the tensor as an object ---------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of elements (torch: `numel()`)."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the data."""
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        text = np.array2string(self.data, separator=", ", prefix="Tensor(")
        history = "" if not self.requires_grad else ", requires_grad=True" if self.is_leaf else f", op={self.op}"
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({text}{dtype}{history})"

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def detach(self) -> "Tensor":
        """The same array without its history."""
        return Tensor(self.data)

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add the derivative of `sum(self * gradient)` by every leaf to the leaf's `.grad`.

        Args:
            gradient: array that broadcasts to this tensor's shape; 1 if left out, which needs a single element.
            retain_graph: keep the graph for another `backward()`; otherwise it is released.

        Raises:
            RuntimeError: nothing requires a gradient, there is more than one element and no `gradient`, or an
                earlier `backward()` released the graph.
            ValueError: `gradient` does not broadcast to this tensor's shape.
        """
        if not self.requires_grad:
            raise RuntimeError("backward() has nothing to do: this tensor depends on none that requires a gradient")
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(f"backward() of a tensor of shape {self.shape} needs `gradient`, of that shape")
            gradient = 1
        dy = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, dtype=self.dtype)
        engine.backward(self, np.broadcast_to(dy, self.shape), retain_graph=retain_graph)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError("a Tensor cannot be assigned to: build a new one with where() or cat(), or write to .data")

    def __bool__(self) -> bool:
        return bool(self.data)

    # -- arithmetic ------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> "Tensor":
        other = as_tensor(other, self)  # d(x + w) = dx + dw
        return Tensor.from_op(self.data + other.data, (self, other), lambda dy: (dy, dy))

    def __mul__(self, other: Any) -> "Tensor":
        other = as_tensor(other, self)
        x, w = self.data, other.data
        # d(x w) = w dx + x dw
        return Tensor.from_op(x * w, (self, other), lambda dy: ((lambda: dy * w), (lambda: dy * x)))

    def __truediv__(self, other: Any) -> "Tensor":
        other = as_tensor(other, self)
        w = other.data
        y = self.data / w
        # d(x / w) = dx / w - (x / w) dw / w
        return Tensor.from_op(y, (self, other), lambda dy: ((lambda: dy / w), (lambda: -dy * y / w)))

    def __pow__(self, exponent: Any) -> "Tensor":
        if not isinstance(exponent, Scalar):
            return as_tensor(exponent, self).__rpow__(self)
        x, n = self.data, exponent.item() if isinstance(exponent, np.number) else exponent
        # d(x^n) = n x^(n-1) dx
        return Tensor.from_op(x**n, (self,), lambda dy: (dy * n * x ** (n - 1) if n != 0 else np.zeros_like(x),))

    def __matmul__(self, other: Any) -> "Tensor":
        """Matrix product over the last two axes; the others broadcast. A vector counts as a row or column matrix."""
        other = as_tensor(other, self)
        if other.ndim == 1:
            return (self @ other.unsqueeze(1)).squeeze(-1)
        if self.ndim == 1:
            return (self.unsqueeze(0) @ other).squeeze(-2)
        x, w = self.data, other.data

        def backward(dy: np.ndarray) -> Gradients:  # d(x w) = dx w + x dw, so dx = dy wᵀ and dw = xᵀ dy
            def dw() -> np.ndarray:
                if w.ndim == 2:  # one matrix for the whole batch: one product, in place of one per item and a sum
                    rows = math.prod(x.shape[:-1])
                    return x.reshape(rows, x.shape[-1]).T @ dy.reshape(rows, dy.shape[-1])
                return x.swapaxes(-1, -2) @ dy

            return (lambda: dy @ w.swapaxes(-1, -2)), dw

        return Tensor.from_op(product(x, w), (self, other), backward)

    def __neg__(self) -> "Tensor":
        return self * -1

    def __sub__(self, other: Any) -> "Tensor":
        return self + -as_tensor(other, self)

    __radd__ = __add__  # other + self
    __rmul__ = __mul__  # other * self

    def __rsub__(self, other: Any) -> "Tensor":  # other - self
        return as_tensor(other, self) - self

    def __rtruediv__(self, other: Any) -> "Tensor":  # other / self
        return as_tensor(other, self) / self

    def __rmatmul__(self, other: Any) -> "Tensor":  # other @ self
        return as_tensor(other, self) @ self

    # -- elementwise functions -------------------------------------------------------------------------------

    def exp(self) -> "Tensor":
        """e^x. dx = y dy."""
        y = np.exp(self.data)
        return Tensor.from_op(y, (self,), lambda dy: (dy * y,))

    def log(self) -> "Tensor":
        """Natural logarithm. dx = dy / x."""
        x = self.data
        return Tensor.from_op(np.log(x), (self,), lambda dy: (dy / x,))

    # -- reductions --------------------------------------------------------------------------------------------

    def sum(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """Sum over `dim` (all axes by default). dx = dy, broadcast back over the summed axes."""
        y, shape = self.data.sum(axis=dim, keepdims=_flag(keepdim)), self.shape
        return Tensor.from_op(y, (self,), lambda dy: (np.broadcast_to(_restore_dims(dy, dim, keepdim), shape),))

    def mean(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """Mean over `dim` (all axes by default). The mean of no elements is NaN, as in torch."""
        dims = range(self.ndim) if dim is None or not self.ndim else (dim,) if isinstance(dim, int) else dim
        count = math.prod(self.shape[d] for d in dims)
        return self.sum(dim, keepdim) * (1 / count if count else math.nan)

    def max(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """Largest value over `dim` (all axes by default). Ties share dy evenly. Torch: `torch.amax`; see `Extremes`."""
        x = self.data
        y = x.max(axis=dim, keepdims=_flag(keepdim))

        def backward(dy: np.ndarray) -> Gradients:
            largest = x == _restore_dims(y, dim, keepdim)
            return (_restore_dims(dy, dim, keepdim) * largest / largest.sum(axis=dim, keepdims=True, dtype=x.dtype),)

        largest = Tensor.from_op(y, (self,), backward)
        largest.__class__ = Tensor if dim is None else Extremes
        return largest

    # -- shape -------------------------------------------------------------------------------------------------

    def reshape(self, *shape: int | tuple[int, ...]) -> "Tensor":
        """The same elements in another shape; one size may be -1."""
        before = self.shape
        return Tensor.from_op(self.data.reshape(sizes_of(shape)), (self,), lambda dy: (dy.reshape(before),))

    def permute(self, *dims: int | tuple[int, ...]) -> "Tensor":
        """The axes in the order `dims`."""
        dims = sizes_of(dims)
        inverse = np.argsort([d % self.ndim for d in dims])
        return Tensor.from_op(self.data.transpose(dims), (self,), lambda dy: (dy.transpose(inverse),))

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Swap two axes."""
        return Tensor.from_op(self.data.swapaxes(dim0, dim1), (self,), lambda dy: (dy.swapaxes(dim0, dim1),))

    def __getitem__(self, index: Any) -> "Tensor":
        """The elements NumPy's `array[index]` would pick. An element picked several times gets the sum of its dy.

        The index is an integer, slice, `...`, None, or anything that `np.asarray` makes an array of integers or
        booleans (a list, a tuple in a tuple, an integer Tensor, a pandas Series), or a tuple of these.

        Raises:
            IndexError: the index is none of these, is out of range, or has too many parts.
        """
        x = self.data
        parts = tuple(map(_index_part, index if isinstance(index, tuple) else (index,)))
        # Only arrays of integers can pick an element twice, and `dx[parts] = dy` would then keep the last one's dy.
        repeats = any(isinstance(part, np.ndarray) and part.dtype != bool for part in parts)

        def backward(dy: np.ndarray) -> Gradients:
            dx = np.zeros_like(x)
            if repeats:
                np.add.at(dx, parts, dy)
            else:
                dx[parts] = dy
            return (dx,)

        return Tensor.from_op(x[parts], (self,), backward)


class Extremes(Tensor):
    """What `max` or `min` over an axis gives: the values. In torch it is a pair, so taking it apart is a mistake."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise TypeError("max and min give the values alone, as torch.amax does: argmax(dim) says where they are")

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, int):  # torch's max(dim)[0] is all values, and NumPy's the first
            raise TypeError("max and min give the values alone: leave [0] out, or say [:1] for the first of them")
        return super().__getitem__(index)


def is_recorded(parents: Sequence[Tensor]) -> bool:
    """Whether an op on these is recorded in this thread. Where not, what only a derivative needs is not computed."""
    return current().recording and any(parent.requires_grad for parent in parents)


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """`value` as a constant for arithmetic with `like`.

    Numbers and lists of numbers never widen it: they take its dtype (fractions beside integers become float64). Arrays
    keep theirs, and may widen the result as in NumPy.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return Tensor(value)
    value = value.item() if isinstance(value, np.generic) else value
    number = value if type(value) in (int, float) else Tensor(value).dtype.type().item()  # of a list: 0, 0.0 or False
    return Tensor(np.asarray(value, dtype=np.result_type(like.dtype, number)))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing axis. dx = the slice of dy that came from x."""
    ends = np.cumsum([t.shape[dim] for t in listed(tensors)])[:-1]
    data = np.concatenate([t.data for t in tensors], axis=dim)
    return Tensor.from_op(data, tuple(tensors), lambda dy: np.split(dy, ends, axis=dim))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    return cat([t.unsqueeze(dim) for t in listed(tensors)], dim)


def where(condition: ArrayLike, x: Any, y: Any) -> Tensor:
    """`x` where the array `condition` is True, else `y`; each gets dy where it was taken. One may be a number."""
    condition = np.array(condition)  # a copy: the caller may reuse the array before backward()
    x, y = (as_tensor(one, other) for one, other in ((x, y), (y, x)))
    taken = np.where(condition, x.data, y.data)
    return Tensor.from_op(taken, (x, y), lambda dy: (np.where(condition, dy, 0), np.where(condition, 0, dy)))


def _flag(keepdim: bool) -> bool:
    if not isinstance(keepdim, bool):  # NumPy would take sum(0, 1) for sum(0, keepdims=True)
        raise TypeError(f"keepdim must be True or False, not {keepdim!r}; several axes are a tuple, as in sum((0, 1))")
    return keepdim


def _restore_dims(dy: np.ndarray, dim: int | tuple[int, ...] | None, keepdim: bool) -> np.ndarray:
    """Put the reduced axes back with size 1, so that `dy` broadcasts against the input again."""
    return dy if keepdim or dim is None or not dy.ndim else np.expand_dims(dy, dim)


def _index_part(part: Any) -> Any:
    """One part of an index as NumPy takes it. Arrays are copied: the caller may reuse theirs before backward()."""
    if part is None or isinstance(part, int | np.integer | slice | EllipsisType):
        return part
    array = np.array(part.data if isinstance(part, Tensor) else part)
    if array.size == 0 and isinstance(part, list | tuple):
        return array.astype(int)  # NumPy makes an empty list an array of floats
    if array.dtype.kind not in "iub":
        raise IndexError(f"an index holds integers, slices, ..., None and integer or boolean arrays, not {array.dtype}")
    return array
