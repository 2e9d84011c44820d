"""A loss, a gradient or a weight that is NaN or infinite: where did it begin? For a message worth reading."""

import math
from collections.abc import Mapping

import numpy as np

from minitx.autograd.anomaly import AnomalyError, detect_anomaly
from minitx.data.batches import Batch
from minitx.models.weights import LARGEST
from minitx.nn.module import Module
from minitx.training.parallel import DataParallel, Loss

ON_NAN = ("stop", "skip")
ADVICE = "lower the learning rate, or leave such batches out (--on-nan skip, on_nan='skip')"


def not_finite(
    on_nan: str,
    where: str,
    parallel: DataParallel,
    batch: Batch,
    loss: Loss,
    vectors: np.ndarray | None,
    losses: Mapping[str, float],
) -> int:
    """What becomes of such a step: with `on_nan` "skip", 1 for the count of those left out; else `FloatingPointError`.

    That names the heads whose loss it is, or the gradient; the op that began it, which is found by doing the batch
    again with `detect_anomaly`, under other dropout; and the batch's rows.
    """
    if on_nan == "skip":
        return 1
    heads = [head for head, value in losses.items() if not math.isfinite(value)]
    what = f"the loss of {' and '.join(heads)} became {losses[heads[0]]}" if heads else "the gradient is not finite"
    op = _not_finite_weight(parallel.model)
    try:
        with detect_anomaly():
            parallel.gradients(batch, loss, vectors=vectors)
    except AnomalyError as error:
        op = op or str(error)
    op = op or "no op did it a second time"
    rows = ", ".join(map(str, sorted(batch.rows)[:3])) + (", ..." if len(batch) > 3 else "")
    raise FloatingPointError(f"{where}: {what} in the batch of training rows {rows} ({op}): {ADVICE}")


def check_finite(model: Module, where: str) -> None:
    """`FloatingPointError` if a weight of the model is NaN or infinite, so that no such model is kept or saved."""
    if found := _not_finite_weight(model):
        raise FloatingPointError(f"{where}: {found}: {ADVICE}")


def _not_finite_weight(model: Module) -> str:
    """The first parameter that is not finite, as part of a message; "" if all are."""
    bad = (name for name, parameter in model.named_parameters() if not (np.abs(parameter.data) <= LARGEST).all())
    return next((f"the weights {name} are not finite, or beyond {LARGEST:g}, which nothing reads" for name in bad), "")
