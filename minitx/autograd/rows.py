"""RowGradient: the derivative of a table of which only some rows were looked up."""

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class RowGradient(NDArrayOperatorsMixin):
    """The derivative by a table (V, D), by its rows: those that were looked up, and nothing for the others.

    A batch holds a few hundred of 30,000 tokens. A full gradient of zeros, and an optimizer that goes through it,
    would be most of the work of a small model. The sum of two is a RowGradient again; in all other arithmetic, and as
    `np.asarray(gradient)`, it is the full array. Torch: a sparse gradient.
    """

    def __init__(self, rows: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> None:
        self.rows = rows  # (N,) integers from 0, in any order and any number of times
        self.values = values  # (N, D), the share that each looked-up row adds
        self.shape, self.dtype = shape, values.dtype

    def __add__(self, other: "RowGradient | np.ndarray") -> "RowGradient | np.ndarray":
        if not isinstance(other, RowGradient):
            return self.to_dense() + other
        rows, values = np.concatenate([self.rows, other.rows]), np.concatenate([self.values, other.values])
        return RowGradient(rows, values, self.shape)

    __iadd__ = __add__

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

    def to_dense(self) -> np.ndarray:
        """The full array (V, D)."""
        once = self.coalesce()
        dense = np.zeros(self.shape, self.dtype)
        dense[once.rows] = once.values
        return dense

    def copy(self) -> "RowGradient":
        """The same in memory of its own."""
        return RowGradient(self.rows.copy(), self.values.copy(), self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.to_dense().astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x.to_dense() if isinstance(x, RowGradient) else x for x in inputs]
        out = options.get("out", (None,))[0]
        if not isinstance(out, RowGradient):
            return getattr(ufunc, method)(*arrays, **options)
        del options["out"]  # as in gradient *= 2: it has all rows from now on
        out.rows, out.values = np.arange(out.shape[0]), getattr(ufunc, method)(*arrays, **options)
        return out
