"""06. Solutions: the gradient of looked-up rows, and codes of places."""

import numpy as np

from minitx.learn.piece import Mistake, Piece


def embedding_gradient(dy, ids, num_rows):
    """dy (*ids.shape, D), integers ids of any shape -> (num_rows, D): for each row the sum of what came back for it."""
    # Idea: what was looked up several times is used several times, and contributions add.
    # Line: np.add.at(dw, ids, dy) adds once for every id; dw[ids] += dy adds once for every different id.
    dw = np.zeros((num_rows, dy.shape[-1]), dy.dtype)
    np.add.at(dw, ids, dy)
    return dw


def sinusoidal_table(length, dim):
    """(length, dim): sines in the even columns, cosines in the odd ones, from quick waves to slow ones."""
    # Idea: columns 2i and 2i + 1 share one angle; compute the angles (length, dim), then the two functions in turn.
    # Line: even = np.arange(dim) // 2 * 2 is 0 0 2 2 4 4 ..., and the angles are t / 10000 ** (even / dim).
    even = np.arange(dim) // 2 * 2
    angles = np.arange(length)[:, None] / 10000.0 ** (even / dim)
    return np.where(np.arange(dim) % 2 == 0, np.sin(angles), np.cos(angles))


# -- what the commonest mistakes compute -------------------------------------------------------------------------


def _halves(length, dim):
    table = sinusoidal_table(length, dim)
    return np.concatenate([table[:, 0::2], table[:, 1::2]], axis=1)


def _own_frequency(length, dim):
    column = np.arange(dim)
    angles = np.arange(length)[:, None] / 10000.0 ** (column / dim)
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))


def _slow_too_soon(length, dim):
    column = np.arange(dim)
    angles = np.arange(length)[:, None] / 10000.0 ** (column // 2 / dim)
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))


def _swapped(length, dim):
    even = np.arange(dim) // 2 * 2
    angles = np.arange(length)[:, None] / 10000.0 ** (even / dim)
    return np.where(np.arange(dim) % 2 == 0, np.cos(angles), np.sin(angles))


def _from_one(length, dim):
    return sinusoidal_table(length + 1, dim)[1:]


# -- the inputs --------------------------------------------------------------------------------------------------


def _sizes():
    return {
        "50 places, 16 columns": (50, 16),
        "an odd number of columns": (10, 5),
        "one place": (1, 4),
        "no place": (0, 4),
    }


EXERCISES = [
    "embedding_gradient",
    Piece(
        right=sinusoidal_table,
        examples=_sizes,
        mistakes=(
            Mistake(
                "all sines stand in the first half of the columns and all cosines in the second; they take turns",
                _halves,
                lambda yours, right, *_: f"row 0 begins {yours[0, :4].round(2)}, right is {right[0, :4].round(2)}",
            ),
            Mistake(
                "each column has a frequency of its own; columns 2i and 2i + 1 share one",
                _own_frequency,
                lambda yours, right, *_: (
                    f"in row 1, the squares of columns 0 and 1 add up to {(yours[1, :2] ** 2).sum():.3f}, not 1"
                ),
            ),
            Mistake(
                "the exponent is i / dim where 2i / dim is asked for",
                _slow_too_soon,
                lambda yours, right, length, dim: (
                    f"your slowest wave does one radian in {10000 ** ((dim - 1) // 2 / dim):.0f} places, "
                    f"right are {10000 ** ((dim - 1) // 2 * 2 / dim):.0f}"
                ),
            ),
            Mistake(
                "sine and cosine are swapped",
                _swapped,
                lambda yours, right, *_: f"table[0, 0] is {yours[0, 0]:.0f}, and sin(0) is 0",
            ),
            Mistake(
                "you count places from 1; the first is 0",
                _from_one,
                lambda yours, right, *_: f"table[0, 0] is {yours[0, 0]:.3f}, which is sin(1)",
            ),
        ),
    ),
]
