"""Every core at work: each thread takes a share of the batch through the model and back.

NumPy lets go of Python's lock while it computes, so plain threads run at the same time. One BLAS thread in each of two
Python threads beats two BLAS threads in one: everything that is not a matrix product (softmax, LayerNorm, dropout) is
spread over the cores too, and nobody waits for the other inside every product.
"""

import copy
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from minitx.autograd import engine
from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.models.encoding import usable_cores
from minitx.models.multitask import MultiTaskModel
from minitx.nn.layers import Dropout
from minitx.nn.module import Parameter

# A thread takes its part of the batch in shares of about so many tokens: their activations stay close to its core from
# one op to the next, and only one share's are alive at a time.
TOKENS_PER_SHARE = 1024

Share = tuple[dict[str, np.ndarray], dict[str, float]]  # logits (b, C) and loss for each head


class DataParallel:
    """Gradients of a batch, computed by `threads` threads (by default one for each core).

    Thread i owns replica i of the model: the same weight arrays, but gradients and dropout generators of its own, so
    that threads share nothing they write to. The loss is that of the whole batch whatever the number of threads (each
    share is divided by the batch's size, not by its own), and for a given number of threads the bits are always the
    same, since shares and the order of the sums are fixed.

    Use as a context manager, which also keeps BLAS to one thread for each of ours.
    """

    def __init__(self, model: MultiTaskModel, threads: int | None = None) -> None:
        self.threads = threads or usable_cores()
        self.models = [model, *(replicate(model) for _ in range(self.threads - 1))]
        self.parameters = [list(replica.parameters()) for replica in self.models]

    def __enter__(self) -> Self:
        self.limits = threadpool_limits(1, user_api="blas")
        self.pool = ThreadPoolExecutor(self.threads)
        return self

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown()
        self.limits.restore_original_limits()

    def backward(
        self,
        batch: Batch,
        class_weights: Mapping[str, np.ndarray] | None = None,
        label_smoothing: float = 0.0,
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Leave the gradient of the summed loss in the model's `.grad`; returns logits (B, C) and loss of each head."""
        weights = class_weights or {}
        divisors = {head: F.target_weight(batch.labels[head], weights.get(head)) for head in self.models[0].heads}

        def share(i: int, rows: np.ndarray) -> Share:
            model = self.models[i]
            width = int(batch.attention_mask[rows].any(axis=0).nonzero()[0].max(initial=0)) + 1  # may be less than T
            labels = {head: target[rows] for head, target in batch.labels.items()}
            logits = model(batch.ids[rows, :width], batch.attention_mask[rows, :width])
            losses = model.losses(logits, labels, weights, label_smoothing, divisors)
            sum(losses.values(), start=Tensor(0.0)).backward()
            return {h: y.data for h, y in logits.items()}, {h: loss.item() for h, loss in losses.items()}

        def work(i: int, rows: np.ndarray) -> list[Share]:
            number = math.ceil(batch.ids[rows].size / TOKENS_PER_SHARE)
            return [share(i, part) for part in np.array_split(rows, min(number, len(rows)))]

        self._follow()
        parts = [rows for rows in np.array_split(np.arange(len(batch)), self.threads) if len(rows)]
        results = [result for results in self.pool.map(work, range(len(parts)), parts) for result in results]
        with engine.region("sum of the threads' gradients"):
            portions = ([p[i :: self.threads] for i in range(self.threads)] for p in self.parameters)
            list(self.pool.map(_add_gradients, *portions))
        logits = {h: np.concatenate([logits[h] for logits, _ in results]) for h in divisors}
        return logits, {h: sum(losses[h] for _, losses in results) for h in divisors}

    def _follow(self) -> None:
        """Give the replicas the model's mode, frozen flags and arrays, which may have changed since the last batch."""
        for replica, parameters in zip(self.models[1:], self.parameters[1:], strict=True):
            replica.train(self.models[0].training)
            for parameter, own in zip(parameters, self.parameters[0], strict=True):
                parameter.requires_grad = own.requires_grad
                parameter.data = own.data  # the same array, even if something has put a new one in its place


def replicate(model: MultiTaskModel) -> MultiTaskModel:
    """A model for another thread: the very same weight arrays, gradients and dropout generators of its own."""
    shared = (*(parameter.data for parameter in model.parameters()), model.encoder.tokenizer)
    replica = copy.deepcopy(model, {id(item): item for item in shared})
    replica.zero_grad()
    for original, module in zip(model.modules(), replica.modules(), strict=True):
        if isinstance(original, Dropout) and isinstance(module, Dropout):
            module.rng = original.rng.spawn(1)[0]
    return replica


def _add_gradients(own: list[Parameter], *replicas: list[Parameter]) -> None:
    """Move the replicas' gradients of some parameters into the model's."""
    for parameter, *others in zip(own, *replicas, strict=True):
        for other in others:
            if parameter.grad is None:
                parameter.grad = other.grad
            elif other.grad is not None:
                parameter.grad += other.grad
            other.grad = None
