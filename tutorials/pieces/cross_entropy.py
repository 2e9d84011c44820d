"""Cross-entropy, its inputs, and the commonest wrong answers.

A wrong answer is the right one with a slip, as short as it can be written.
"""

import math

import numpy as np

from minitx import Tensor
from minitx.learn import plain
from minitx.learn.piece import Piece, draw, given, slips, with_gradient


def cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    """The mean of -log softmax(logits)[i, targets[i]]: Tensor (N, C), integers (N,) -> Tensor of shape ().

    Rows whose target is -100 do not count; if none counts, the loss is 0. Logits may be as large as ±10,000.
    """
    return plain.cross_entropy(logits, targets)


def _cross_entropy_inputs():
    return {
        "logits of shape (4, 3)": (draw(4, 3), np.array([0, 2, 1, 1])),
        "N = 1": (draw(1, 3), np.array([2])),
        "C = 1": (draw(3, 1), np.array([0, 0, 0])),
        "rows with the target -100": (draw(5, 3), np.array([0, -100, 2, 1, -100])),
        "a first row with the target -100": (draw(3, 4), np.array([-100, 3, 0])),
        "twelve rows": (draw(12, 5, scale=3.0), np.array([4, 0, 1, -100, 2, 2, 3, 0, -100, 4, 1, 3])),
        "no row that counts": (draw(2, 3), np.array([-100, -100])),
        "C = 1 and the target -100": (draw(3, 1), np.array([0, -100, 0])),
        "rows of very different size": (given([1e3, 1e3 + 1, 999], [-1e3, -1e3 - 2, -1e3]), np.array([0, 1])),
        "logits of ±10,000": (given([1e4, 0, -1e4], [5, 1e4, 0], [0, -1e4, 1e4]), np.array([1, 1, 0])),
    }


def _likelihood(**slip):
    """-log softmax, taken literally, with a slip."""
    s = {"add": 0.0, "shift": True, "ignore": True, "divide_by": "kept", "factor": -1.0} | slip

    def wrong(logits: Tensor, targets: np.ndarray) -> Tensor:
        kept = np.flatnonzero(targets != -100) if s["ignore"] else np.arange(len(targets))
        x = logits[kept]
        e = (x - x.data.max(axis=1, keepdims=True)).exp() if s["shift"] else x.exp()
        p = (e / e.sum(dim=1, keepdim=True))[np.arange(len(kept)), np.maximum(targets, -1)[kept]] + s["add"]
        n = {"kept": max(1, len(kept)), "all": len(targets), "elements": x.size, "sum": 1, "zero": len(kept)}
        return s["factor"] * p.log().sum() / np.float64(n[s["divide_by"]])

    return wrong


def _stable(divide_by: str = "kept", ignore: bool = True):
    """The right loss, finite at ±10,000, with a slip."""

    def wrong(logits: Tensor, targets: np.ndarray) -> Tensor:
        counts = targets != -100 if ignore else np.ones(len(targets), bool)
        classes = np.where(targets == -100, -1 if not ignore else 0, targets)
        x = logits - logits.data.max(axis=1, keepdims=True)
        losses = (x.exp().sum(dim=1).log() - x[np.arange(len(x)), classes]) * counts
        n = {"kept": max(1, counts.sum()), "all": len(x), "elements": x.size, "sum": 1, "zero": counts.sum()}
        return losses.sum() / np.float64(n[divide_by])

    return wrong


def _loss_gradient(of, all_rows=False):
    """The right loss whose derivative is of(p, one-hot targets, number of rows that count)."""

    def dx(dy: np.ndarray, y: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        counts = (targets != -100)[:, None]
        one_hot = np.eye(x.shape[1])[np.maximum(targets, 0)]
        p = plain.softmax(Tensor(x)).data
        return dy * of(p * (1 if all_rows else counts), one_hot * counts, max(1, counts.sum()))

    return with_gradient(cross_entropy, dx)


def _stable_global(x, targets):
    kept = np.flatnonzero(targets != -100)
    centred = (x - x.data.max(initial=0.0))[kept]
    return -(centred - centred.exp().sum(dim=1, keepdim=True).log())[np.arange(len(kept)), targets[kept]].sum() / max(
        1, len(kept)
    )


def _divided_by_all(dy, y, x, targets):
    counts, p = (targets != -100)[:, None], plain.softmax(Tensor(x)).data
    return dy * (p - np.eye(x.shape[1])[np.maximum(targets, 0)]) * counts / len(x)


def _log_softmax(x):
    centred = x - x.data.max(axis=1, keepdims=True)
    return centred - centred.exp().sum(dim=1, keepdim=True).log()


RATIO = "yours is {ratio} times the right one"
CROSS_ENTROPY = Piece(
    cross_entropy,
    _cross_entropy_inputs,
    slips(
        {
            "the log of a softmax that underflows to 0: use log(sum(exp(x))) - x[target] | log(0) at 10,000": (
                _likelihood(),
            ),
            "exp of the logits without the shift by the largest | exp(10000) is infinite": (_likelihood(shift=False),),
            "a small number inside the logarithm | yours is {yours}, right is {right}": (
                *(_likelihood(add=tiny) for tiny in (1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)),
            ),
            f"the sum over the rows, not the mean | {RATIO}": (_likelihood(divide_by="sum"), _stable("sum")),
            f"divided by all N times C elements | {RATIO}": (_likelihood(divide_by="elements"), _stable("elements")),
            f"rows with the target -100 count in the divisor | {RATIO}": (_likelihood(divide_by="all"), _stable("all")),
            f"the target -100 is taken for the last class | {RATIO}": (
                _likelihood(ignore=False),
                _stable(ignore=False),
            ),
            "every target's column is taken in every row: x[:, targets], not x[rows, targets]": (
                lambda x, targets: -_log_softmax(x)[targets != -100][:, targets[targets != -100]].mean(),
                lambda x, targets: -_log_softmax(x)[:, targets].mean(),
            ),
            "the targets' logits themselves, without log-softmax": (
                lambda x, targets: -x[np.flatnonzero(targets != -100), targets[targets != -100]].mean(),
                lambda x, targets: (
                    -x[np.flatnonzero(targets != -100), targets[targets != -100]].sum()
                    / max(1, (targets != -100).sum())
                ),
            ),
            f"the target -100 is taken for the first class | {RATIO}": (
                lambda x, targets: cross_entropy(x, np.maximum(targets, 0)),
            ),
            "the target -100 is used as an index: rows without a label must not count": (
                lambda x, targets: -_log_softmax(x)[np.arange(len(x)), targets].mean(),
            ),
            "no row counts: 0 divided by 0 | the loss is then 0": (_stable("zero"), _likelihood(divide_by="zero")),
            "one largest value for the whole array, not one for each row": (_stable_global,),
            "the minus sign is missing | a loss of probabilities is never below 0, yours is {yours}": (
                _likelihood(factor=1.0),
                lambda x, targets: -cross_entropy(x, targets),
            ),
            f"the logarithm to base 2 | {RATIO}": (
                _likelihood(factor=-1 / math.log(2)),
                lambda x, targets: cross_entropy(x, targets) / math.log(2),
            ),
            "a softmax too many: probabilities are used as logits": (
                lambda x, targets: cross_entropy(plain.softmax(x), targets),
            ),
            f"the gradient is not divided by the number of rows | {RATIO}": (_loss_gradient(lambda p, t, n: p - t),),
            "the gradient also moves rows with the target -100: their softmax is left in it": (
                _loss_gradient(lambda p, t, n: (p - t) / n, all_rows=True),
            ),
            f"the gradient is divided by all rows, also those with the target -100 | {RATIO}": (
                with_gradient(cross_entropy, _divided_by_all),
            ),
            "the gradient has the wrong sign: it is p - onehot": (_loss_gradient(lambda p, t, n: (t - p) / n),),
            "the gradient lacks the softmax's part": (_loss_gradient(lambda p, t, n: -t / n),),
            "the gradient lacks the targets' part": (_loss_gradient(lambda p, t, n: p / n),),
        }
    ),
)


PIECES = [CROSS_ENTROPY]
