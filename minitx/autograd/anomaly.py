"""Where does a NaN come from? `with detect_anomaly():` stops at the first op, forward or backward, that makes one."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minitx.autograd.context import Watcher, watching
from minitx.autograd.engine import Node, op_name


class AnomalyError(FloatingPointError):
    """An op made NaN or inf of finite numbers; the message names the op, the module it was called in, its inputs."""


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise `AnomalyError` at the first op whose result or derivative is NaN or inf.

        with detect_anomaly():
            loss = model(ids, mask) ...
            loss.backward()

    names the op, the path of the module that called it, and what went in. Both passes belong inside: where a
    derivative fails, the path is that of the forward call. Holds for this thread and those that share its batches, and
    costs a pass over every array. NumPy's warnings are off inside. Torch: `torch.autograd.detect_anomaly`, which looks
    at the backward pass only.
    """
    with np.errstate(all="ignore"), watching(_Detector()):
        yield


class _Detector(Watcher):
    """Looks at every array that an op makes."""

    def __init__(self) -> None:
        self.calls = _Calls()
        self.places, self.names = _Told(), _Told()  # of what ops made, and of parameters

    @contextlib.contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """Around the call of a module: where in the outermost one's tree this is."""
        if not self.calls.stack:
            self.calls.root = type(module).__name__
            self.calls.paths = {id(child): path for path, child in module.named_modules()}
            for name, parameter in module.named_parameters():
                self.names.note(parameter, name)
        self.calls.stack.append(module)
        try:
            yield
        finally:
            self.calls.stack.pop()

    def after_forward(self, out: Node, parents: tuple[Node, ...], backward: Callable[..., Any]) -> None:
        """An op was done."""
        place = self.place()
        if out.requires_grad:
            self.places.note(out, place)
        if np.isfinite(out.data).all():
            return
        inputs = "; ".join(self.describe(i, parent) for i, parent in enumerate(parents))
        verb = "made" if all(np.isfinite(parent.data).all() for parent in parents) else "was given, and passed on,"
        raise AnomalyError(f"{op_name(backward)}{place} {verb} {_what(out.data)} in the forward pass, from {inputs}")

    def after_backward(self, node: Node, i: int, dy: np.ndarray, dx: Any) -> None:
        """An op computed the derivative by its input `i`."""
        dx = np.asarray(dx)
        if np.isfinite(dx).all():
            return
        verb = "made" if np.isfinite(dy).all() else "was given, and passed on,"
        raise AnomalyError(
            f"{node.op}{self.places.get(id(node), ', called outside of detect_anomaly(),')} {verb} {_what(dx)} in the "
            f"backward pass, as the derivative by {self.describe(i, node.parents[i])}"
        )

    def place(self) -> str:
        """Where the current op was called: " in MultiTaskModel encoder.norm", or nothing outside of modules."""
        if not self.calls.stack:
            return ""
        module = self.calls.stack[-1]
        path = self.calls.paths.get(id(module), f"a {type(module).__name__} that is none of its attributes")
        return f" in {self.calls.root} {path}".rstrip()

    def describe(self, i: int, node: Node) -> str:
        """An input: its position, name or origin, shape and range."""
        data = np.asarray(node.data, np.float64)
        span = f" from {np.min(data):.4g} to {np.max(data):.4g}" if data.size and np.isfinite(data).all() else ""
        broken = "" if np.isfinite(data).all() else f" with {_what(data)}"
        return f"input {i} ({self.names.get(id(node)) or node.op}, shape {data.shape}{span}{broken})"


class _Told(dict[int, str]):
    """What is told of tensors that are alive, by id: == would compare their elements."""

    def note(self, node: Node, told: str) -> None:
        if id(node) not in self:
            weakref.finalize(node, self.pop, id(node), None).atexit = False
        self[id(node)] = told


class _Calls(threading.local):
    """The modules being called, the outermost first; per thread, since threads call models side by side."""

    root = ""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.paths: dict[int, str] = {}


def _what(data: np.ndarray) -> str:
    """`NaN in 2 of 12 elements, first at (0, 3)`."""
    first = tuple(map(int, np.argwhere(~np.isfinite(data))[0]))
    value, same = ("NaN", np.isnan(data)) if np.isnan(data[first]) else (data[first], data == data[first])
    return f"{value} in {same.sum()} of {same.size} elements, first at {first}"
