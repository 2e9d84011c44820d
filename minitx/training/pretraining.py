"""One loop for what learns from texts without labels: `mlm`, `simcse` and `distillation`.

Every core is at work. But where each text of a batch is compared with all others, no thread can have a loss of its own,
so a batch goes in three acts: threads compute the outputs of their shares; one loss is made of all outputs, and its
derivative by them; threads take that back to the weights. Gao et al. 2021, "Scaling Deep Contrastive Learning Batch
Size under Memory Limited Setup", section 3.2 (there to save memory, here to share the work).
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from minitx.autograd.context import inherit, running
from minitx.autograd.engine import Sums
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch, TokenisedRows, length_batches
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.nn.layers import Dropout
from minitx.nn.module import Module
from minitx.system import Bar, usable_cores, workers
from minitx.training.optim import AdamW, clip_grad_norm_
from minitx.training.schedules import LambdaLR, factor

SHARES = 4  # of a batch, whatever the number of threads, so that bits do not depend on it


class Objective(Module):
    """What an encoder may learn from texts alone: a subclass says what is asked, what a share gives, and the loss.

    Its parameters are the encoder's, and maybe some that only learning needs.
    """

    noisy = False  # whether texts that it does not learn from are judged with dropout, too
    fewest = 1  # texts in a batch, of which it can learn something

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder

    def ask(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The batch as a question, with its answer in `labels`."""
        return batch

    def outputs(self, share: Batch) -> Tensor:
        """What some rows of the batch give, (n, ...): computed by a thread that does not see the other rows."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The scalar loss of a whole batch, whose `outputs` are in the order of its rows, share after share."""
        raise NotImplementedError


def fit_texts(
    objective: Objective,
    train: TokenisedRows,
    held_out: TokenisedRows | None = None,
    *,
    lr: float,
    epochs: int,
    batch_size: int = 32,
    dropout: float = 0.1,
    rng: np.random.Generator,
    threads: int = 0,
    on_epoch: Callable[[int, float, float], None] = lambda number, loss, judged: None,
) -> list[tuple[float, float]]:
    """Train the objective's encoder with AdamW, and leave it in eval mode, with the dropout that it had.

    The rate rises to `lr` over the first tenth of the steps, then falls to 0 in a straight line; gradients longer than
    1 are scaled down to that. The same `rng` gives the same bits, whatever the number of threads. On a terminal, a bar
    shows the loss.

    Args:
        objective: what is learned.
        train: ids of the texts to learn from; `labels` are what the objective wants, (N, ...) each.
        held_out: others, to judge each epoch by: under the same questions, and the same dropout if it is `noisy`.
        batch_size: texts in a batch. With in-batch negatives, a larger batch asks a harder question.
        dropout: of the encoder, while this lasts.
        rng: shuffles, asks and draws dropout masks.
        threads: how many share each batch; 0: one for each core.
        on_epoch: called with each epoch's number, mean loss, and mean loss of `held_out` (NaN if there is none).

    Returns:
        The two losses of each epoch.

    Raises:
        ValueError: all of the encoder's weights are frozen.
        InputError: the batches are too small for the objective.
        FloatingPointError: the loss or the gradient became NaN or infinite.
    """
    if not objective.encoder.num_parameters(trainable=True):
        raise ValueError("all weights of this encoder are frozen: call encoder.unfreeze() to train it")
    if (texts := min(batch_size, len(train.sequences))) < objective.fewest:
        raise InputError(f"batches of {texts}: their texts are compared, so it takes at least {objective.fewest}")
    optimizer = AdamW([parameter for parameter in objective.parameters() if parameter.requires_grad], lr=lr)
    rows, pad_id = len(train.sequences), objective.encoder.config.pad_id
    steps = epochs * math.ceil(rows / batch_size)
    schedule = LambdaLR(optimizer, factor("linear", round(0.1 * steps), steps))
    losses: list[tuple[float, float]] = []
    with workers(threads or usable_cores()) as pool, dropout_of(objective, dropout):
        rngs = spawned(rng)
        for number in range(1, epochs + 1):
            objective.train()
            total, where = 0.0, f"epoch {number}/{epochs}"
            with Bar(total=rows, desc=where, unit=" texts", disable=None, leave=False) as bar:
                for batch in length_batches(*train, batch_size=batch_size, pad_id=pad_id, rng=rng):
                    optimizer.zero_grad()
                    loss = gradients(objective, objective.ask(batch, rng), rngs, pool)
                    norm = clip_grad_norm_(objective.parameters(), 1.0, pool.map)
                    if not math.isfinite(loss + norm):
                        found = f"the loss is {loss}, the length of its gradient {norm}"
                        raise FloatingPointError(f"{where}: {found}: lower the learning rate")
                    optimizer.step(pool.map)
                    schedule.step()
                    total += loss * len(batch)
                    bar.update(len(batch))
                    bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            losses.append((total / rows, judge(objective, held_out, batch_size, pool) if held_out else math.nan))
            on_epoch(number, *losses[-1])
    objective.eval()
    return losses


def gradients(objective: Objective, batch: Batch, rngs: list[np.random.Generator], pool: ThreadPoolExecutor) -> float:
    """The loss of a batch; its gradient is added to `.grad`, if this thread records."""

    def forward(share: Batch, rng: np.random.Generator) -> Tensor:
        with running(rng=rng):
            return objective.outputs(share)

    def backward(outputs: Tensor, dy: np.ndarray) -> Sums:
        sums = Sums()
        with running(gradients=sums):
            outputs.backward(dy)
        return sums

    # The rows are sorted by length: dealt in turn, every share gets about as many tokens.
    rows = [np.arange(i, len(batch), SHARES) for i in range(min(SHARES, len(batch)))]
    parts = list(pool.map(inherit(forward), [take(batch, some) for some in rows], rngs))
    outputs = Tensor(np.concatenate([part.data for part in parts]), requires_grad=True)
    loss = objective.loss(outputs, take(batch, np.concatenate(rows)))
    if loss.requires_grad:
        loss.backward()
        shares = np.split(outputs.grad, np.cumsum([len(part) for part in parts])[:-1])
        for sums in list(pool.map(inherit(backward), parts, shares)):
            sums.into_leaves()
    return loss.item()


def judge(objective: Objective, rows: TokenisedRows, batch_size: int, pool: ThreadPoolExecutor) -> float:
    """The mean loss of rows that nothing is learned from; the questions are the same each time."""
    rng, total = np.random.default_rng(0), 0.0
    rngs = spawned(rng)
    with running(recording=False, inference=not objective.noisy):
        for batch in length_batches(*rows, batch_size=batch_size, pad_id=objective.encoder.config.pad_id):
            total += gradients(objective, objective.ask(batch, rng), rngs, pool) * len(batch)
    return total / len(rows.sequences)


def take(batch: Batch, rows: np.ndarray) -> Batch:
    """Some rows of a batch, no wider than the longest of them."""
    width = max(1, int(batch.attention_mask[rows].sum(axis=1).max()))
    labels = {name: values[rows] for name, values in batch.labels.items()}
    return Batch(batch.ids[rows, :width], batch.attention_mask[rows, :width], labels, batch.rows[rows])


def spawned(rng: np.random.Generator) -> list[np.random.Generator]:
    """A generator of dropout masks for each share; SFC64, because that is fast."""
    return [np.random.Generator(np.random.SFC64(child.integers(2**63))) for child in rng.spawn(SHARES)]


@contextmanager
def dropout_of(model: Module, p: float) -> Iterator[None]:
    """Inside, all dropout of a model has the probability p."""
    before = {module: module.p for module in model.modules() if isinstance(module, Dropout)}
    try:
        for module in before:
            module.p = p
        yield
    finally:
        for module, own in before.items():
            module.p = own
