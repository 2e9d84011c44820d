"""Reverse-mode automatic differentiation: order, accumulation, un-broadcasting. It names no op.

A tensor made by an op remembers its `parents` and a function `backward_fn(dy)` that turns the derivative of
the loss by the op's output, `dy`, into one derivative per parent. That is all the calculus there is, and it
lives with the ops. What is left is bookkeeping, and it lives here, once:

* **Order.** A node may pass its `dy` on only when every consumer has added its share. In

      b = a + a ;  c = b + b

  walking back through `c` reaches `b` twice. Recursing at the first visit would send half of `db` to `a`, and
  then all of it again. Visiting nodes in reverse topological order makes `db` complete before it is used.
* **Accumulation.** Shares are added. Leaves (what the user created) keep the sum in `.grad`, over several
  `backward()` calls too, as in torch; what lies between is forgotten as soon as it has been passed on. What an op
  returns may be in use elsewhere (`x + y` hands one array to both), so nobody writes into it: the first sum of two
  derivatives makes a new array, and a leaf's `.grad` is always memory of its own.
* **Un-broadcasting.** Where the forward pass stretched an axis, the backward pass sums over it.
* **Not working for nothing.** A parent that needs no gradient gets none, and an op may hand over a function in
  place of an array, which is called only if the gradient is wanted: a frozen weight then costs no matmul.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from minitx.autograd.context import current

# One derivative per parent: an array, or a function that computes it if it is wanted. For a leaf it may have another
# form than an array, one that can be added, copied and made `to_dense`; see `rows`.
Gradients = Sequence[Any]


class Node:
    """What the engine knows of a tensor: its value, its derivative and where it came from."""

    __slots__ = ("backward_fn", "data", "grad", "parents", "requires_grad")

    data: np.ndarray
    grad: Any  # d loss / d data, an array of the same shape and dtype, a RowGradient, or None; leaves only
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
    # TensorHabits is a part of Tensor, which nobody who reads a table of ops need know.
    name = backward_fn.__qualname__.replace("TensorHabits.", "Tensor.")
    return name.rsplit(".<locals>", 1)[0].rsplit("<locals>.", 1)[-1]


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


class Sums(dict["Node", Any]):
    """Node -> the sum of its derivatives so far."""

    def __init__(self) -> None:
        super().__init__()
        self.own: set[Node] = set()  # whose sum is an array made here, which can be added to in place

    def add(self, node: "Node", dx: Any) -> None:
        """Add a derivative, which is not written into."""
        if node not in self:
            self[node] = dx
        elif node in self.own:
            self[node] += dx
        else:
            self[node] = _plus(self[node], dx)
            self.own.add(node)

    def into_leaves(self) -> None:
        """Move every sum into the node's `.grad`, added to what is there, in memory of its own."""
        for leaf, dx in self.items():
            if leaf.grad is None:
                leaf.grad = dx if leaf in self.own else dx.copy()
            else:
                leaf.grad = _plus(leaf.grad, dx)
        self.clear()


def _plus(a: Any, b: Any) -> Any:
    total = a + b
    return total if total.shape else np.asarray(total)  # NumPy makes a number of two 0-d arrays


def backward(root: Node, gradient: np.ndarray, *, retain_graph: bool = False) -> None:
    """Add d(sum(root * gradient)) / d(leaf) to the `.grad` of every leaf below `root`.

    In a run with `gradients` (see `context`) they are added up there, and no `.grad` is touched. Nor is it where an op
    fails. The graph is taken apart on the way, so that activations are released as soon as they have been used; with
    `retain_graph` it is left whole. `RuntimeError` on a graph that was already taken apart; `TypeError` and
    `ValueError`, naming the op, if it returns too few derivatives or one whose shape cannot be right.
    """
    run, sums = current(), Sums()
    sums.add(root, gradient)
    order = [] if root.is_leaf else topological_order(root)[::-1]
    while order:  # taken from the end, so that nothing here holds on to what is done
        node = order.pop()
        dy = sums.pop(node)
        sums.own.discard(node)
        derivatives = node.backward_fn(dy)  # type: ignore[misc]  # an inner node has one
        if isinstance(derivatives, np.ndarray) or len(derivatives) != len(node.parents):
            raise TypeError(f"backward of {node.op} must return a sequence with one derivative for each of its inputs")
        for i, (parent, dx) in enumerate(zip(node.parents, derivatives, strict=True)):
            if parent.requires_grad:
                try:
                    dx = _fitted(dx() if callable(dx) else dx, parent)
                except ValueError as error:
                    raise ValueError(f"backward of {node.op}, input {i}: {error}") from None
                for watcher in run.watchers:
                    watcher.after_backward(node, i, dy, dx)
                sums.add(parent, dx)
        if not retain_graph:
            node.parents, node.backward_fn = (), released
    if run.gradients is None:
        sums.into_leaves()
    else:
        for leaf, dx in sums.items():
            run.gradients.add(leaf, dx)


def _fitted(dx: Any, parent: Node) -> Any:
    """A derivative in the shape and dtype of the parent; for all but leaves, as an array."""
    if not (parent.is_leaf and hasattr(dx, "to_dense") and dx.shape == parent.data.shape):
        dx = np.asarray(dx, dtype=parent.data.dtype)
    return dx if dx.shape == parent.data.shape else unbroadcast(dx, parent.data.shape)


def released(dy: np.ndarray) -> NoReturn:
    """The backward function of a node whose graph has been taken apart."""
    raise RuntimeError(
        "backward() has already been through this graph and released it: compute the loss again, "
        "or pass retain_graph=True to the first backward()"
    )
