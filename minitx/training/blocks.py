"""The step of an optimizer, cut into blocks that stay in a core's cache and are spread over the cores.

Every element moves by itself, so the bits are the same however the work is cut.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from minitx.autograd.rows import RowGradient

Update = Callable[..., None]  # (x, g, *buffers): see `Optimizer.update`
Map = Callable[..., Iterable[Any]]  # `map`, or the map of a thread pool

# Elements that one pass of Adam works on: five arrays of 64k floats stay in or near a core's L2 cache, whereas whole
# matrices would travel through memory once for each operation.
BLOCK = 64 * 1024
HANDFUL = 8  # blocks that a thread takes at once: handing over costs as much as a small block's work


def full_blocks(
    update: Update, shrink: float, x: np.ndarray, buffers: Sequence[np.ndarray], g: np.ndarray
) -> Iterator[Callable[[], None]]:
    """x *= shrink, then `update`, for all of x."""
    flat = [array.reshape(-1) for array in (x, g, *buffers)]
    for start in range(0, x.size, BLOCK):
        yield partial(_move, update, shrink, *(array[start : start + BLOCK] for array in flat))


def _move(update: Update, shrink: float, x: np.ndarray, *others: np.ndarray) -> None:
    if shrink != 1:
        x *= shrink
    update(x, *others)


def row_blocks(
    update: Update, shrink: float, x: np.ndarray, buffers: Sequence[np.ndarray], gradient: RowGradient, rows: np.ndarray
) -> Iterator[Callable[[], None]]:
    """x *= shrink for all of a table x (V, D), then `update` for some of its rows, ascending."""
    height = max(1, BLOCK // x[0].size)

    def move(start: int) -> None:
        if shrink != 1:
            x[start : start + height] *= shrink
        among = rows[slice(*np.searchsorted(rows, (start, start + height)))]
        if len(among):
            moved = [table[among] for table in (x, *buffers)]
            g = np.zeros_like(moved[0])  # of the rows without a gradient in this step
            have = slice(*np.searchsorted(gradient.rows, (among[0], among[-1] + 1)))
            g[np.searchsorted(among, gradient.rows[have])] = gradient.values[have]
            update(moved[0], g, *moved[1:])
            for table, values in zip((x, *buffers), moved, strict=True):
                table[among] = values

    return (partial(move, start) for start in range(0, len(x), height))


def spread(run: Map, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """[work(item) for item in items], handed out by `run`, some at a time."""
    handfuls = [items[start : start + HANDFUL] for start in range(0, len(items), HANDFUL)]
    return [done for handful in run(lambda handful: [work(item) for item in handful], handfuls) for done in handful]
