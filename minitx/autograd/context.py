"""How is this thread running? What belongs to a run, and so neither to a model nor to the whole process.

A model is weights and structure. Whether a graph is recorded, whether dropout is on, where gradients are added up and
who watches belong to whoever runs it, and several threads may run one model at the same time, each in its own way. So
all of it stands in one place for each thread, is changed for the length of a `with` block and restored after it, on
exceptions too.

A thread starts with the defaults, as with torch's `no_grad`. Work that is handed to other threads goes through
`inherit`, so that they run as the thread that asked for it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Watcher:
    """Is told of every op, forward and backward, and of every call of a module; a subclass overrides what it needs."""

    def after_forward(self, out: Any, parents: tuple[Any, ...], backward: Callable[..., Any]) -> None:
        """An op made `out` of `parents`."""

    def after_backward(self, node: Any, i: int, dy: np.ndarray, dx: Any) -> None:
        """The op that made `node` turned `dy` into `dx`, the derivative by its input `i`."""

    def inside(self, module: Any) -> AbstractContextManager[None]:
        """Around the call of a module."""
        return nullcontext()

    def after_region(self, name: str, seconds: float) -> None:
        """Work that is not an op, and that a profile should show, took so long."""


@dataclass(frozen=True, slots=True)
class Run:
    """How one thread runs at the moment."""

    recording: bool = True  # ops record a graph for backward()
    inference: bool = False  # every module behaves as in eval mode, whatever its own flag says
    rng: np.random.Generator | None = None  # what dropout draws from; None: each layer from a generator of its own
    gradients: Any = None  # an `engine.Sums` in which backward() adds up the leaves' gradients; None: in their .grad
    watchers: tuple[Watcher, ...] = ()
    changes: tuple[dict[str, Any], ...] = field(default=(), compare=False)  # of the blocks around, the outermost first


_current: ContextVar[Run] = ContextVar("minitx run", default=Run())  # noqa: B039 - it is frozen
current = _current.get


@contextmanager
def running(**changes: Any) -> Iterator[None]:
    """Run with these fields of `Run` changed inside the block, in this thread."""
    _set((*current().changes, changes))
    try:
        yield
    finally:  # take out our own changes: blocks in generators may end in another order than they began
        _set(tuple(others for others in current().changes if others is not changes))


def _set(changes: tuple[dict[str, Any], ...]) -> None:
    together = {name: value for one in changes for name, value in one.items()}
    together["watchers"] = tuple(watcher for one in changes for watcher in one.get("watchers", ()))  # all of them watch
    _current.set(Run(**together, changes=changes))


def no_grad() -> AbstractContextManager[None]:
    """Record no graph inside: `with no_grad():` or `@no_grad()`. Torch: `torch.no_grad`."""
    return running(recording=False)


def inference() -> AbstractContextManager[None]:
    """Record no graph and switch dropout off inside, without touching any model, as encode, predict and evaluate do.

    Torch has no equivalent: there, `model.eval()` writes to the model.
    """
    return running(recording=False, inference=True)


def watching(watcher: Watcher) -> AbstractContextManager[None]:
    """Tell `watcher` too, inside."""
    return running(watchers=(watcher,))


def inherit(work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `work` so that other threads run it in the run of the thread that calls this."""
    asked = copy_context()
    return lambda *args, **kwargs: asked.copy().run(work, *args, **kwargs)


@contextmanager
def region(name: str) -> Iterator[None]:
    """Mark work that is not an op, so that a profile shows it."""
    start = time.perf_counter()
    yield
    for watcher in current().watchers:
        watcher.after_region(name, time.perf_counter() - start)
