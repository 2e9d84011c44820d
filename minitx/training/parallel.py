"""Every core at work: each thread takes a share of the batch through the model and back.

NumPy lets go of Python's lock while it computes, so plain threads run at the same time. One BLAS thread in each of two
Python threads beats two BLAS threads in one: everything that is not a matrix product (softmax, LayerNorm, dropout) is
spread over the cores too, and nobody waits for the other inside every product.
"""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import inherit, region, running
from minitx.autograd.engine import Node, Sums
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.models.multitask import MultiTaskModel
from minitx.system import workers
from minitx.training.ranks import Alone

# A thread takes its part of the batch in shares of about so many tokens: their activations stay close to its core from
# one op to the next, and only one share's are alive at a time.
TOKENS_PER_SHARE = 1024


@dataclass(frozen=True)
class Loss:
    """The training objective: the heads' cross-entropies, each with its factor, added up."""

    class_weights: Mapping[str, np.ndarray] = field(default_factory=dict)  # head -> (C,)
    label_smoothing: float = 0.0  # see `functional.cross_entropy`
    factors: Mapping[str, float] = field(default_factory=dict)  # head -> factor of its loss; 1 for those left out


class Result(NamedTuple):
    """What was found on the way to the gradients of a batch."""

    logits: dict[str, np.ndarray]  # head -> (B, C)
    losses: dict[str, float]  # head -> its loss, without its factor


class DataParallel:
    """Gradients of a batch, computed by `threads` threads (by default one for each core).

    There is one model. Each thread has its own run: sums of gradients, and a generator for dropout, spawned from `rng`
    (by default a fixed one). The loss is that of the whole batch whatever the number of
    threads (each share is divided by the batch's size, not by its own), and for a given number of threads the bits are
    always the same, since shares and the order of the sums are fixed. With `ranks`, `threads` counts those of all
    processes together, and who adds up whose gradients is the ranks' affair: see `ranks`.

    Use as a context manager, which also keeps BLAS to one thread for each of ours. Torch: `nn.DataParallel`, which
    copies the model to each device.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        threads: int | None = None,
        rng: np.random.Generator | None = None,
        ranks: Alone | None = None,
    ) -> None:
        self.model, self.ranks = model, ranks or Alone()
        self.threads = self.ranks.lanes(threads or 0)
        self.lanes = range(self.ranks.rank, self.threads, self.ranks.size)
        rng = rng or np.random.default_rng(0)
        # SFC64 makes random bits about twice as fast as the default generator.
        self.rngs = [np.random.Generator(np.random.SFC64(child.integers(2**63))) for child in rng.spawn(self.threads)]

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            self._pool, self.process = entered.enter_context(workers(len(self.lanes))), os.getpid()
            self.entered = entered.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self.entered.close()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads. A process forked inside the block has none of its parent's, so there it is entered anew."""
        if self.process != os.getpid():
            self.__enter__()
        return self._pool

    def backward(
        self, batch: Batch, loss: Loss | None = None, *, vectors: np.ndarray | None = None, pieces: int = 1
    ) -> Result:
        """Add the gradient of the loss to the model's `.grad`; arguments as in `gradients`."""
        result, sums = self.gradients(batch, loss, vectors=vectors, pieces=pieces)
        sums.into_leaves()
        return result

    def gradients(
        self, batch: Batch, loss: Loss | None = None, *, vectors: np.ndarray | None = None, pieces: int = 1
    ) -> tuple[Result, Sums]:
        """The gradients of the loss by the model's trainable parameters, of which nothing is written to the model.

        Args:
            batch: the rows.
            loss: class weights, label smoothing and the heads' factors.
            vectors: (B, D), sentence vectors precomputed by a frozen encoder, which is then skipped; one thread runs
                the heads.
            pieces: pieces that a share is computed in, one after the other: gradients add up to the same numbers, in
                a fraction of the memory.
        """
        loss, model = loss or Loss(), self.model
        logits = {head: np.empty((len(batch), len(names))) for head, names in model.classes.items()}
        divisors = {head: F.target_weight(batch.labels[head], loss.class_weights.get(head)) for head in logits}

        def work(i: int, shares: list[np.ndarray]) -> tuple[dict[str, float], Sums]:
            """What thread i does: its shares, one after the other. Losses and gradients, summed."""
            found, sums = dict.fromkeys(logits, 0.0), Sums()
            with running(recording=True, gradients=sums, rng=self.rngs[i]):
                for rows in shares:
                    if vectors is None:
                        mask = batch.attention_mask[rows]
                        width = int(mask.any(axis=0).nonzero()[0].max(initial=0)) + 1  # maybe less than T
                        outputs = model(batch.ids[rows, :width], mask[:, :width])
                    else:
                        outputs = model.classify(Tensor(vectors[rows]))
                    labels = {head: target[rows] for head, target in batch.labels.items()}
                    losses = model.losses(outputs, labels, loss.class_weights, loss.label_smoothing, divisors)
                    total = sum((y * loss.factors.get(head, 1) for head, y in losses.items()), start=Tensor(0.0))
                    if total.requires_grad:  # not if everything is frozen
                        total.backward()
                    for head, y in outputs.items():
                        logits[head][rows] = y.data
                        found[head] += losses[head].item()
            return found, sums

        if vectors is not None:
            done = [work(0, [np.arange(len(batch))])]
        else:
            # The rows of a batch are sorted by length: dealt in turn, every thread gets about as many tokens.
            parts = [np.arange(i, len(batch), self.threads) for i in range(min(self.threads, len(batch)))]
            most = max(pieces, math.ceil(len(parts[0]) * batch.ids.shape[1] / TOKENS_PER_SHARE))
            shares = {i: np.array_split(parts[i], min(most, len(parts[i]))) for i in self.lanes if i < len(parts)}
            jobs = [self.pool.submit(inherit(work), i, share) for i, share in shares.items()]
            wait(jobs)  # an error must not reach the caller while another thread still draws from its generator
            done = [job.result() for job in jobs]
        losses = {head: sum(losses[head] for losses, _ in done) for head in logits}
        with region("sum of the threads' gradients"):
            sums = self._sum([sums for _, sums in done])
        if vectors is None and self.ranks.size > 1:
            rows = np.concatenate([np.empty(0, np.int64), *(parts[i] for i in shares)])
            losses = self._exchange(rows, logits, losses)
            with region("sum of the processes' gradients"):
                sums = self.ranks.add(sums, [*model.parameters()])
        return Result(logits, losses), sums

    def _exchange(self, rows: np.ndarray, logits: dict[str, np.ndarray], losses: dict[str, float]) -> dict[str, float]:
        """Tell the other ranks of one's rows, and be told: logits (in place), dropout's generators, and the losses."""
        states = {i: self.rngs[i].bit_generator.state for i in self.lanes}
        told = self.ranks.share((rows, {head: z[rows] for head, z in logits.items()}, losses, states))
        for there, theirs, _, states in told:
            for head, z in theirs.items():
                logits[head][there] = z
            for i, state in states.items():
                self.rngs[i].bit_generator.state = state
        return {head: sum(found[head] for _, _, found, _ in told) for head in logits}

    def _sum(self, sums: list[Sums]) -> Sums:
        """The threads' sums in one, each thread adding up some of the parameters."""
        first, *others = sums or [Sums()]  # of a rank that has no lane with a row
        leaves = list(dict.fromkeys(leaf for one in sums for leaf in one))

        def add(part: list[Node]) -> None:
            for other in others:
                for leaf in part:
                    if leaf in other:
                        first.add(leaf, other[leaf])

        if others:
            list(self.pool.map(add, (leaves[i :: len(self.lanes)] for i in range(len(self.lanes)))))
        return first
