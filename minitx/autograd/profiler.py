"""Where does the time go? `with profile() as p:` ... `print(p)`: a table of op, calls, seconds, share, GFLOP/s."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from minitx.autograd.context import Watcher, watching
from minitx.autograd.engine import Node, op_name

# Multiplications and additions of the forward pass of ops that are mostly matrix products, by output y and inputs.
# Each product has two derivatives of the same cost: one by each factor.
FLOPS: dict[str, Callable[..., int]] = {
    "linear": lambda y, x, w, *b: 2 * y.size * x.shape[-1],
    "Tensor.__matmul__": lambda y, x, w: 2 * y.size * x.shape[-1],
    "attention": lambda y, q, k, v, *bias: 4 * q.size * k.shape[1],  # q kᵀ and p v, T² K in each head
}


@dataclass
class Row:
    """What one op, in one direction, cost."""

    name: str
    calls: int = 0
    seconds: float = 0.0  # summed over threads
    flops: int = 0  # 0: not counted for this op


@dataclass
class Profile:
    """What `profile()` measured; `str()` is the table."""

    rows: dict[str, Row] = field(default_factory=dict)
    seconds: float = 0.0  # from the start of the block to its end

    def __enter__(self) -> Self:
        self.start, self.watching = time.perf_counter(), watching(_Stopwatch(self))
        self.watching.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.watching.__exit__(*error)
        self.seconds = time.perf_counter() - self.start

    def __str__(self) -> str:
        if not (self.rows or self.seconds):
            return "nothing is measured yet: say `with profile() as p:`, and print(p) after it"
        rows = sorted(self.rows.values(), key=lambda row: -row.seconds)
        total = sum(row.seconds for row in rows)
        lines = [f"{'op':32} {'calls':>7} {'seconds':>9} {'share':>6} {'GFLOP/s':>8}"]
        for row in rows:
            rate = f"{row.flops / row.seconds / 1e9:8.1f}" if row.flops and row.seconds else f"{'':8}"
            lines.append(f"{row.name:32} {row.calls:7,} {row.seconds:9.4f} {row.seconds / total:6.1%} {rate}".rstrip())
        lines.append(f"{'all of the above, over threads':40} {total:9.4f}")
        lines.append(f"{'from start to end':40} {self.seconds:9.4f}")
        return "\n".join(lines)


def profile() -> Profile:
    """Measure every op inside, forward and backward, and every optimizer step:

        with profile() as p:
            model(ids, mask)["sentiment"].sum().backward()
            optimizer.step()
        print(p)

    An op's time runs from the end of the op before it in the same thread, so that the Python around it counts too;
    GFLOP/s are those of its matrix products. Seconds of threads that run side by side add up. It costs some
    microseconds a call. Torch: `torch.profiler.profile`.
    """
    return Profile()


class _Stopwatch(Watcher):
    """Adds up the time between the ends of ops."""

    def __init__(self, result: Profile) -> None:
        self.rows, self.clock, self.lock = result.rows, _Clock(), threading.Lock()

    def add(self, name: str, seconds: float, calls: int = 1, flops: int = 0) -> None:
        with self.lock:
            row = self.rows.setdefault(name, Row(name))
            row.calls, row.seconds, row.flops = row.calls + calls, row.seconds + seconds, row.flops + flops

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """Around the call of a module: what came before the outermost one is nobody's time."""
        if not self.clock.depth:
            self.clock.lap()
        self.clock.depth += 1
        try:
            yield
        finally:
            self.clock.depth -= 1

    def after_region(self, name: str, seconds: float) -> None:
        """Work other than an op was done."""
        self.add(name, seconds)
        self.clock.lap()

    def after_forward(self, out: Node, parents: tuple[Node, ...], backward: Callable[..., Any]) -> None:
        """An op was done."""
        name = op_name(backward)
        flops = FLOPS[name](out.data, *(parent.data for parent in parents)) if name in FLOPS else 0
        self.add(name, self.clock.lap(), flops=flops)

    def after_backward(self, node: Node, i: int, dy: np.ndarray, dx: Any) -> None:
        """An op computed the derivative by its input `i`; one of a product's two costs as much as the product."""
        name, first = node.op, self.clock.node is not node
        self.clock.node = node
        flops = FLOPS[name](node.data, *(p.data for p in node.parents)) if name in FLOPS and i < 2 else 0
        self.add(f"{name} backward", self.clock.lap(), calls=int(first), flops=flops)


class _Clock(threading.local):
    """Per thread: when the last op ended, how many modules deep this is, which node the backward pass is at."""

    def __init__(self) -> None:
        self.last, self.depth = time.perf_counter(), 0
        self.node: Node | None = None

    def lap(self) -> float:
        now = time.perf_counter()
        self.last, before = now, self.last
        return now - before
