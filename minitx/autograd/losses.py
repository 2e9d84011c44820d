"""Losses beside `functional.cross_entropy`: of numbers, and of labels that do not exclude each other."""

from typing import Any

import numpy as np

from minitx.autograd.tensor import Tensor, as_tensor


def mse_loss(x: Tensor, target: Any) -> Tensor:
    """Mean of (x - target)², for numbers to be predicted; of one shape. Torch: `functional.mse_loss`.

    Plain: `learn.plain.mse_loss`.

    Raises:
        ValueError: the shapes differ (torch broadcasts, with a warning, and the mean is then of another thing).
    """
    difference = x - _of_one_shape(x, target)
    return (difference * difference).mean()


def binary_cross_entropy_with_logits(logits: Tensor, target: Any, weight: Any = None, pos_weight: Any = None) -> Tensor:
    """Mean of -(p y log σ(x) + (1 - y) log(1 - σ(x))): one yes or no for each logit, as in multi-label heads.

    logits and target (N, C), y from 0 to 1; `pos_weight` p (C,) counts a yes more, `weight` broadcasts over the terms.
    Fused for stability: σ(x) rounds to 1, whose log(1 - σ) is -inf. Torch: the function of this name. Plain:
    `learn.plain.binary_cross_entropy_with_logits`.

    Raises:
        ValueError: the shapes differ.
    """
    # -log σ(x) = max(-x, 0) + log(1 + e^-|x|) =: s, and -log(1 - σ(x)) = x + s
    # loss = a s + (1 - y) x  with  a = p y + 1 - y ;  ds/dx = σ(x) - 1
    target = _of_one_shape(logits, target)
    x, y = logits.data, target.data.astype(logits.dtype)
    w, p = (np.asarray(1 if of is None else of, x.dtype) for of in (weight, pos_weight))
    a = p * y + 1 - y
    e = np.exp(-np.abs(x))
    s = np.maximum(-x, 0) + np.log1p(e)
    count = x.dtype.type(x.size or np.nan)  # the mean of nothing is NaN, as in torch
    loss = np.sum((a * s + (1 - y) * x) * w) / count
    dx, dt = w * (a * -np.where(x >= 0, e, 1) / (1 + e) + (1 - y)), w * ((p - 1) * s - x)
    return Tensor.from_op(loss, (logits, target), lambda dy: (dy / count * dx, dy / count * dt))


def _of_one_shape(x: Tensor, target: Any) -> Tensor:
    target = as_tensor(target, x)
    if target.shape != x.shape:
        raise ValueError(f"expected a target of shape {x.shape}, as the predictions, not {target.shape}")
    return target
