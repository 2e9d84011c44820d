"""Layer norm, its inputs, and the commonest wrong answers.

A wrong answer is the right one with a slip, as short as it can be written.
"""

import numpy as np

from minitx import Tensor
from minitx.learn import plain
from minitx.learn.piece import Piece, draw, given, slips


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    """w (x - mean) / √(variance + eps) + b over the last axis: Tensors (..., D), (D,), (D,) -> Tensor (..., D).

    The variance is the mean square of x - mean: divided by D.
    """
    return plain.layer_norm(x, w, b, eps)


def _layer_norm_inputs():
    def inputs(*shape: int, scale: float = 1.0):
        return draw(*shape, scale=scale), draw(shape[-1], seed=1), draw(shape[-1], seed=2)

    return {
        "an input of shape (2, 3, 4)": inputs(2, 3, 4),
        "a single row, (6,)": inputs(6),
        "a square, (4, 4)": inputs(4, 4),
        "small numbers, where eps counts": inputs(2, 4, scale=1e-3),
        "numbers of ±10,000": inputs(2, 4, scale=1e4),
        "an input of shape (2, 3, 2, 5)": inputs(2, 3, 2, 5),
        "numbers around 1,000": (given(*(draw(2, 8).data + 1000)), *inputs(2, 8)[1:]),
        "D = 1": inputs(3, 1),
        "eps = 0.1": (*inputs(2, 4), 0.1),
    }


def _norm(**slip):
    s = {
        "dim": -1,
        "centre": True,
        "ddof": 0,
        "outside": False,
        "uses": "wb",
        "root": True,
        "eps": None,
        "constant": "",
        "raw": False,
    }
    s |= slip

    def wrong(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
        eps = eps if s["eps"] is None else s["eps"]
        dim = {"all": tuple(range(x.ndim)), "sample": tuple(range(1, x.ndim)) or 0}.get(s["dim"], s["dim"])
        mean = x.mean(dim=dim, keepdim=True)
        centred = x - (mean.detach() if "mean" in s["constant"] else mean)
        square = x * x if s["raw"] else centred * centred
        variance = square.mean(dim=dim, keepdim=True) * (np.float64(len(w)) / (len(w) - s["ddof"]))
        variance = variance.detach() if "variance" in s["constant"] else variance
        below = variance.sqrt() + eps if s["outside"] else (variance + eps).sqrt()
        y = (centred if s["centre"] else x) / (below if s["root"] else below * below)
        return (w * y if "w" in s["uses"] else y) + (b if "b" in s["uses"] else 0.0)

    return wrong


def _by_hand(**slip):
    """The right layer norm with its backward written out, with a slip."""
    s = {"w": True, "dw": "x_hat", "variance": True, "mean": True, "std": True} | slip

    def wrong(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
        std = np.sqrt(x.data.var(axis=-1, keepdims=True) + eps)
        x_hat = (x.data - x.data.mean(axis=-1, keepdims=True)) / std

        def backward(dy):
            h = dy * w.data if s["w"] else dy
            dx = h - h.mean(axis=-1, keepdims=True) * s["mean"]
            dx = dx - x_hat * (h * x_hat).mean(axis=-1, keepdims=True) * s["variance"]
            return dx / std if s["std"] else dx, dy * {"x_hat": x_hat, "x": x.data, "1": 1.0}[s["dw"]], dy

        return Tensor.from_op(w.data * x_hat + b.data, (x, w, b), backward)

    return wrong


ZERO_ROW = "each row of dx must add up to 0, yours adds up to {row}"
LAYER_NORM = Piece(
    layer_norm,
    _layer_norm_inputs,
    slips(
        {
            "the variance is divided by D - 1, as torch.std does, not by D": (_norm(ddof=1),),
            "eps is added outside the root, to the standard deviation": (_norm(outside=True),),
            "eps is added outside the root, and the variance is divided by D - 1": (_norm(outside=True, ddof=1),),
            "eps is left out | a row of equal numbers is then 0 / 0": (_norm(eps=0.0),),
            "eps has a value of its own: the argument is not used": tuple(
                _norm(eps=eps) for eps in (1e-5, 1e-6, 1e-8, 1e-12)
            ),
            "mean and variance of all elements, not of each row": (_norm(dim="all"),),
            "mean and variance of all axes of a sample, not of the last one alone": (_norm(dim="sample"),),
            "mean and variance over the first axis, as in batch norm": (_norm(dim=0),),
            "mean and variance over axis 1, not the last": (_norm(dim=1),),
            "divided by the variance, without the root": (_norm(root=False),),
            "the mean is not subtracted before dividing": (_norm(centre=False),),
            "the variance is the mean of x squared: the mean was not subtracted before squaring": (_norm(raw=True),),
            "the mean is not subtracted at all: RMS norm": (_norm(raw=True, centre=False),),
            "w and b are not used": (_norm(uses=""),),
            "w is not used": (_norm(uses="b"),),
            "b is not used": (_norm(uses="w"),),
            "b is added before w multiplies": (lambda x, w, b, eps=1e-5: w * (_norm(uses="")(x, w, b, eps) + b),),
            f"the gradient takes mean and variance for constants | {ZERO_ROW}": (_norm(constant="mean variance"),),
            "the gradient of x forgets w": (_by_hand(w=False),),
            "the gradient of w is sum(dy x), not sum(dy (x - mean) / std)": (_by_hand(dw="x"),),
            "the gradient of w is sum(dy)": (_by_hand(dw="1"),),
            "the gradient of x is not divided by the standard deviation": (_by_hand(std=False),),
            "the gradient takes the variance for a constant": (_norm(constant="variance"), _by_hand(variance=False)),
            f"the gradient takes the mean for a constant | {ZERO_ROW}": (_norm(constant="mean"), _by_hand(mean=False)),
        }
    ),
)


PIECES = [LAYER_NORM]
