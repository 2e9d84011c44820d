"""An array for programs that were written for tensors."""

import sys
from typing import Any, Self

import numpy as np

from minitx.errors import InputError


def check_device(device: Any) -> None:
    """`InputError` unless it is the CPU, by any of its names, several times, or None."""
    for one in device if isinstance(device, list) else [device]:
        if one is not None and str(one).partition(":")[0] != "cpu":
            raise InputError(f"device {str(one)!r}: minitx computes on the CPU; leave device out, or say 'cpu'")


def _over(name: str) -> Any:
    """A reduction of NumPy's over an axis that torch calls `dim`."""
    by = getattr(np.ndarray, name)
    return lambda self, dim=None, axis=None, **how: by(self, dim if axis is None else axis, **how)


class TensorLike(np.ndarray):
    """A NumPy array that prints as torch's tensor does, whose elements are 0-d, and which functions of torch take.

    `array.view(TensorLike)` makes one of any array. Dtypes other than float32, int64 and bool are not printed.
    """

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(super().__getitem__(key)).view(TensorLike)

    def __iter__(self) -> Any:
        return (self[row] for row in range(len(self)))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch's `function` of tensors that share the arrays' memory; torch calls this."""

        def tensor(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return type(x)(map(tensor, x))
            return sys.modules["torch"].from_numpy(x.numpy()) if isinstance(x, cls) else x

        return function(*tensor(args), **{name: tensor(value) for name, value in (kwargs or {}).items()})

    def numpy(self) -> np.ndarray:
        """The plain array, not a copy."""
        return self.view(np.ndarray)

    def to(self, device: Any = None) -> Self:
        """Itself, which is on the CPU and has no graph; `InputError` for another device."""
        check_device(device)
        return self

    cpu = detach = to

    mean, sum, argmax = map(_over, ("mean", "sum", "argmax"))

    def topk(self, k: int, dim: int = -1) -> tuple["TensorLike", "TensorLike"]:
        """The k largest along an axis, in their order, and where they are; of equals the first."""
        indices = np.argsort(-self.astype(float), axis=dim, kind="stable").take(np.arange(k), axis=dim)
        return np.take_along_axis(self, indices, dim).view(TensorLike), indices.view(TensorLike)

    def __repr__(self) -> str:
        x = self.numpy()
        size = np.abs(x[x != 0], dtype=float)
        far = size.size and (size.max() > 1000 * size.min() or size.max() > 1e8 or size.min() < 1e-4)
        form = "{:.4e}" if far else "{:.0f}." if (size == np.round(size)).all() else "{:.4f}"
        width = max([len(form.format(number)) for number in x[x != 0].tolist()], default=0)
        how: Any = {"float_kind": lambda number: form.format(number).rjust(width)}
        shown = np.array2string(x, 79 + max(1, x.ndim), separator=", ", prefix="tensor(", formatter=how)
        return f"tensor({shown})"

    __str__ = __repr__
