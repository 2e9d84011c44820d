"""Every core at work: each thread takes a share of the batch through the model and back.

NumPy lets go of Python's lock while it computes, so plain threads run at the same time. One BLAS thread in each of two
Python threads beats two BLAS threads in one: everything that is not a matrix product (softmax, LayerNorm, dropout) is
spread over the cores too, and nobody waits for the other inside every product.
"""

import copy
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

import numpy as np
from threadpoolctl import threadpool_limits

from minitx.autograd import engine
from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.models.multitask import MultiTaskModel
from minitx.nn.layers import Dropout
from minitx.nn.module import Parameter
from minitx.system import usable_cores

# A thread takes its part of the batch in shares of about so many tokens: their activations stay close to its core from
# one op to the next, and only one share's are alive at a time.
TOKENS_PER_SHARE = 1024


class Result(NamedTuple):
    """What `DataParallel.backward` found on the way."""

    logits: dict[str, np.ndarray]  # head -> (B, C)
    losses: dict[str, float]  # head -> its loss, without its factor


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
        self.modules = [list(replica.modules()) for replica in self.models]

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
        *,
        task_weights: Mapping[str, float] | None = None,
        vectors: np.ndarray | None = None,
        pieces: int = 1,
    ) -> Result:
        """Leave the gradient of the (weighted) sum of the heads' losses in the model's `.grad`.

        Args:
            batch: the rows.
            class_weights: head -> (C,).
            label_smoothing: see `functional.cross_entropy`.
            task_weights: head -> factor of its loss; 1 for those left out.
            vectors: (B, D), what the encoder makes of the rows, known because it is frozen; it is then not run, and
                one thread does what is left.
            pieces: pieces that a share is computed in, one after the other: gradients add up to the same numbers, in
                a fraction of the memory.
        """
        weights, factors = class_weights or {}, task_weights or {}
        divisors = {head: F.target_weight(batch.labels[head], weights.get(head)) for head in self.models[0].heads}

        def share(i: int, rows: np.ndarray) -> Result:
            model = self.models[i]
            labels = {head: target[rows] for head, target in batch.labels.items()}
            if vectors is None:
                width = int(batch.attention_mask[rows].any(axis=0).nonzero()[0].max(initial=0)) + 1  # maybe less than T
                encoded = model.encoder(batch.ids[rows, :width], batch.attention_mask[rows, :width])
            else:
                encoded = Tensor(vectors[rows])
            logits = model.classify(encoded)
            losses = model.losses(logits, labels, weights, label_smoothing, divisors)
            scaled = (loss if factors.get(h, 1) == 1 else loss * factors[h] for h, loss in losses.items())
            total = sum(scaled, start=Tensor(0.0))
            if total.requires_grad:  # not if everything is frozen
                total.backward()
            return Result({h: y.data for h, y in logits.items()}, {h: loss.item() for h, loss in losses.items()})

        def work(i: int, rows: np.ndarray) -> list[Result]:
            number = max(pieces, math.ceil(batch.ids[rows].size / TOKENS_PER_SHARE))
            return [share(i, part) for part in np.array_split(rows, min(number, len(rows)))]

        if vectors is not None:
            results = [share(0, np.arange(len(batch)))]
        else:
            self._follow()
            parts = [rows for rows in np.array_split(np.arange(len(batch)), self.threads) if len(rows)]
            results = [result for results in self.pool.map(work, range(len(parts)), parts) for result in results]
            with engine.region("sum of the threads' gradients"):
                portions = ([p[i :: self.threads] for i in range(self.threads)] for p in self.parameters)
                list(self.pool.map(_add_gradients, *portions))
        return Result(
            {h: np.concatenate([result.logits[h] for result in results]) for h in divisors},
            {h: sum(result.losses[h] for result in results) for h in divisors},
        )

    def task_gram(
        self,
        batch: Batch,
        class_weights: Mapping[str, np.ndarray] | None = None,
        label_smoothing: float = 0.0,
        *,
        task_weights: Mapping[str, float] | None = None,
    ) -> np.ndarray:
        """Dot products (tasks, tasks) between the tasks' gradients by all of the encoder's trainable weights.

        A pass forward and back for each task, without dropout's noise; the model's gradients are gone afterwards.
        """
        model, factors, gradients = self.models[0], task_weights or {}, []
        training = model.training
        model.eval()
        for head in model.heads:
            model.zero_grad()
            alone = {other: factors.get(head, 1.0) if other == head else 0.0 for other in model.heads}
            self.backward(batch, class_weights, label_smoothing, task_weights=alone)
            own = (p.grad for p in model.encoder.parameters() if p.grad is not None)
            gradients.append([np.asarray(gradient).reshape(-1) for gradient in own])
        model.zero_grad()
        model.train(training)
        return np.array([[sum(map(np.vdot, a, b)) for b in gradients] for a in gradients], dtype=np.float64)

    def _follow(self) -> None:
        """Give the replicas the model's mode, frozen flags and arrays, which may have changed since the last batch."""
        for modules, parameters in zip(self.modules[1:], self.parameters[1:], strict=True):
            # One by one: a frozen encoder is in eval mode in a model that trains.
            for module, original in zip(modules, self.modules[0], strict=True):
                module.training = original.training
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
