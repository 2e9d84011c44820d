"""Reverse-mode automatic differentiation: order, accumulation, un-broadcasting. It names no op.

A tensor made by an op remembers its `parents` and a function `backward_fn(dy)` that turns the derivative of
the loss by the op's output, `dy`, into one derivative per parent. That is all the calculus there is, and it
lives with the ops. What is left is bookkeeping, and it lives here, once:

* **Order.** A node may pass its `dy` on only when every consumer has added its share. In

      b = a + a ;  c = b + b

  walking back through `c` reaches `b` twice. Recursing at the first visit would send half of `db` to `a`, and
  then all of it again. Visiting nodes in reverse topological order makes `db` complete before it is used.
* **Accumulation.** Shares are added. Leaves (what the user created) keep the sum in `.grad`, over several
  `backward()` calls too, as in torch; what lies between is forgotten as soon as it has been passed on.
* **Un-broadcasting.** Where the forward pass stretched an axis, the backward pass sums over it.
* **Not working for nothing.** A parent that needs no gradient gets none, and an op may hand over a function in
  place of an array, which is called only if the gradient is wanted: a frozen weight then costs no matmul.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class RowGradient(NDArrayOperatorsMixin):
    """The derivative of a table (V, D) of which only some rows were looked up: those rows, and nothing for the others.

    A batch holds a few hundred of 30,000 tokens. A full gradient of zeros, and an optimizer that goes through it,
    would be most of the work of a small model. In arithmetic it becomes the full array, as by `np.asarray(gradient)`.
    Torch: a sparse gradient.
    """

    def __init__(self, rows: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> None:
        self.rows = rows  # (N,) integers, in any order and any number of times
        self.values = values  # (N, D), the share that each looked-up row adds
        self.shape, self.dtype = shape, values.dtype

    def __add__(self, other: "RowGradient | np.ndarray") -> "RowGradient | np.ndarray":
        if isinstance(other, np.ndarray):
            return np.asarray(self) + other
        rows, values = np.concatenate([self.rows, other.rows]), np.concatenate([self.values, other.values])
        return RowGradient(rows, values, self.shape)

    def coalesce(self) -> "RowGradient":
        """Each row once, ascending, with the sum of its shares.

        Sorted by row, the shares of a row lie together and are summed in one pass: several times faster than
        `np.add.at`.
        """
        if np.all(self.rows[1:] > self.rows[:-1]):
            return self
        order = np.argsort(self.rows, kind="stable")
        rows = self.rows[order]
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        return RowGradient(rows[starts], np.add.reduceat(self.values[order], starts, axis=0), self.shape)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        arrays = [np.asarray(x) if isinstance(x, RowGradient) else x for x in inputs]
        if out and not isinstance(out[0], RowGradient):
            options["out"] = out
        return getattr(ufunc, method)(*arrays, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        once = self.coalesce()
        dense = np.zeros(self.shape, dtype or self.dtype)
        dense[once.rows] = once.values
        return dense


# One derivative per parent: an array, or a function that computes it if it is wanted.
Gradients = Sequence[np.ndarray | RowGradient | Callable[[], np.ndarray]]


class _Mode(threading.local):
    """Per thread, so that one thread may evaluate while another trains."""

    grad_enabled = True


_mode = _Mode()

# What watches every op, forward and backward, and every call of a module: None, `detect_anomaly` or `profile`.
monitor: Any = None


def region(name: str) -> contextlib.AbstractContextManager[None]:
    """Around work that is no op but that a profile should show."""
    return contextlib.nullcontext() if monitor is None else monitor.region(name)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record no graph inside: `with no_grad():` or `@no_grad()`. Restored on exceptions; as `torch.no_grad`."""
    previous, _mode.grad_enabled = _mode.grad_enabled, False
    try:
        yield
    finally:
        _mode.grad_enabled = previous


def is_grad_enabled() -> bool:
    """Whether ops record a graph in this thread."""
    return _mode.grad_enabled


class Node:
    """What the engine knows of a tensor: its value, its derivative and where it came from."""

    __slots__ = ("backward_fn", "data", "grad", "parents", "requires_grad")

    data: np.ndarray
    grad: Any  # d loss / d data, an array of the same shape and dtype (or a RowGradient), or None; leaves only
    requires_grad: bool
    parents: tuple["Node", ...]  # () for a leaf
    backward_fn: Callable[[np.ndarray], Gradients] | None  # None for a leaf

    @property
    def is_leaf(self) -> bool:
        """Made by the user, or by ops that recorded nothing; not the result of a recorded op."""
        return self.backward_fn is None

    @property
    def op(self) -> str:
        """The name of the op that made this node; "leaf" without one."""
        return "leaf" if self.backward_fn is None else op_name(self.backward_fn)


def op_name(backward_fn: Callable[..., Any]) -> str:
    """The name of an op, read off its backward function, which is defined inside it: `linear`, `Tensor.exp`."""
    return backward_fn.__qualname__.rsplit(".<locals>", 1)[0].rsplit("<locals>.", 1)[-1]


def topological_order(root: Node) -> list[Node]:
    """The inner nodes below `root`, every node before its parents. Iterative: a graph may be 50,000 deep."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents if parent.backward_fn is not None)
    return order[::-1]


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum `gradient` down to `shape`: over axes NumPy put in front, and over axes it stretched from 1.

    >>> unbroadcast(np.ones((4, 3, 2)), (3, 1)).tolist()
    [[8.0], [8.0], [8.0]]
    """
    added = gradient.ndim - len(shape)
    pairs = zip(gradient.shape[max(added, 0) :], shape, strict=False)
    if added < 0 or any(have != want and want != 1 for have, want in pairs):
        raise ValueError(f"a gradient of shape {gradient.shape} cannot belong to an input of shape {shape}")
    stretched = (added + i for i, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=(*range(added), *stretched)).reshape(shape)


def backward(root: Node, gradient: np.ndarray, *, retain_graph: bool = False) -> None:
    """Add d(sum(root * gradient)) / d(leaf) to the `.grad` of every leaf below `root`.

    The graph is taken apart on the way, so that activations are released as soon as they have been used;
    with `retain_graph` it is left whole. `RuntimeError` on a graph that was already taken apart; `TypeError` and
    `ValueError`, naming the op, if it returns too few derivatives or one whose shape cannot be right.
    """
    if root.is_leaf:
        _add_to_leaf(root, gradient, shared=True)
        return
    gradients = {root: gradient}
    for node in topological_order(root):
        dy = gradients.pop(node)
        assert node.backward_fn is not None  # only leaves have none
        derivatives = node.backward_fn(dy)
        if isinstance(derivatives, np.ndarray) or len(derivatives) != len(node.parents):
            raise TypeError(f"backward of {node.op} must return a sequence with one derivative for each of its inputs")
        for i, (parent, dx) in enumerate(zip(node.parents, derivatives, strict=True)):
            if not parent.requires_grad:
                continue
            dx = dx() if callable(dx) else dx
            if isinstance(dx, RowGradient) and parent.is_leaf and dx.shape == parent.data.shape:
                if monitor is not None:
                    monitor.after_backward(node, i, dy, dx.values)
                parent.grad = dx if parent.grad is None else parent.grad + dx
                continue
            dx = np.asarray(dx, dtype=parent.data.dtype)
            if dx.shape != parent.data.shape:
                try:
                    dx = unbroadcast(dx, parent.data.shape)
                except ValueError as error:
                    raise ValueError(f"backward of {node.op}, input {i}: {error}") from None
            if monitor is not None:
                monitor.after_backward(node, i, dy, dx)
            if parent.is_leaf:
                # dy itself and views of it may be on their way to another parent too: x + y gives it to both.
                _add_to_leaf(parent, dx, shared=dx is dy or dx.base is not None)
            else:
                # Out of place, for the same reason.
                gradients[parent] = gradients[parent] + dx if parent in gradients else dx
        if not retain_graph:
            node.parents, node.backward_fn = (), released


def _add_to_leaf(leaf: Node, gradient: np.ndarray, *, shared: bool) -> None:
    """A leaf's `.grad` is an array of its own: clipping and optimisers write into it."""
    if leaf.grad is None:
        leaf.grad = gradient.copy() if shared else gradient
    else:
        leaf.grad += gradient


def released(dy: np.ndarray) -> NoReturn:
    """The backward function of a node whose graph has been taken apart."""
    raise RuntimeError(
        "backward() has already been through this graph and released it: compute the loss again, "
        "or pass retain_graph=True to the first backward()"
    )
