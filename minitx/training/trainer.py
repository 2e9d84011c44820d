"""The loop: batches through the model, gradients back, one optimizer step; and the same without the steps."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minitx.autograd.engine import no_grad
from minitx.data.batches import Batch, length_batches
from minitx.models.multitask import MultiTaskModel
from minitx.training.metrics import Report, confusion_matrix
from minitx.training.optim import Optimizer, WeightAverage, clip_grad_norm_
from minitx.training.parallel import DataParallel
from minitx.training.schedules import LambdaLR


class TokenisedRows(NamedTuple):
    """Rows ready for batching: tokenised once, batched anew each epoch."""

    sequences: Sequence[Sequence[int]]  # N lists of ids
    labels: Mapping[str, np.ndarray]  # head -> (N,) int64


@dataclass
class Epoch:
    """What one epoch did: a row of history.csv."""

    number: int
    train: dict[str, Report]  # with dropout on, while the weights moved
    validation: dict[str, Report]
    tokens_per_second: float
    seconds: float

    @property
    def score(self) -> float:
        """What "best" means: the mean over the heads of accuracy and macro-F1 on the validation rows.

        Both, because macro-F1 alone can hang on a handful of rows of a small class, and accuracy alone ignores them.
        """
        return float(np.mean([(report.accuracy + report.macro_f1) / 2 for report in self.validation.values()]))

    def to_row(self) -> dict[str, float]:
        """Flat numbers: `epoch`, `seconds`, and `train_sentiment_loss` and the like for each part, head, metric."""
        row: dict[str, float] = {
            "epoch": self.number,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
        }
        for part, reports in (("train", self.train), ("validation", self.validation)):
            for head, report in reports.items():
                for metric in ("loss", "accuracy", "macro_f1"):
                    row[f"{part}_{head}_{metric}"] = getattr(report, metric)
        return row


@dataclass
class _Tally:
    """Sums over batches: every row counts the same, however the rows were batched."""

    classes: dict[str, tuple[str, ...]]
    confusion: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    loss: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, batch: Batch, logits: Mapping[str, np.ndarray], losses: Mapping[str, float]) -> None:
        for head, classes in self.classes.items():
            kept = batch.labels[head] >= 0  # -100 where a row has no label for this head
            target, predicted = batch.labels[head][kept], logits[head][kept].argmax(axis=1)
            self.confusion[head] += confusion_matrix(target, predicted, len(classes))
            self.loss[head] += losses[head] * int(kept.sum())

    def reports(self) -> dict[str, Report]:
        return {
            head: Report(classes, self.confusion[head], self.loss[head] / self.confusion[head].sum())
            for head, classes in self.classes.items()
        }


def evaluate(model: MultiTaskModel, rows: TokenisedRows, batch_size: int = 64) -> dict[str, Report]:
    """A report for each head over `rows`, in eval mode and without a graph."""
    tally, training = _Tally(model.classes), model.training
    model.eval()
    with no_grad():
        for batch in length_batches(*rows, batch_size=batch_size, pad_id=model.encoder.config.pad_id):
            logits = model(batch.ids, batch.attention_mask)
            losses = model.losses(logits, batch.labels)
            tally.add(batch, {h: y.data for h, y in logits.items()}, {h: loss.item() for h, loss in losses.items()})
    model.train(training)
    return tally.reports()


def fit(
    model: MultiTaskModel,
    train: TokenisedRows,
    validation: TokenisedRows,
    optimizer: Optimizer,
    *,
    schedule: LambdaLR | None = None,
    epochs: int,
    batch_size: int = 32,
    max_grad_norm: float = 1.0,
    class_weights: Mapping[str, np.ndarray] | None = None,
    label_smoothing: float = 0.0,
    weight_average: float = 0.0,
    rng: np.random.Generator,
    threads: int | None = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train, and leave the model with the weights of the epoch that was best on `validation` (`Epoch.score`).

    Args:
        model, train, validation: what to train, on what, and by what to judge it.
        optimizer: its groups must cover the model (`Optimizer.check`).
        schedule: stepped after every optimizer step.
        max_grad_norm: gradients are scaled down to this joint length.
        class_weights: head -> (C,) weights of the training loss; reports are unweighted but for their loss.
        weight_average: decay of a `WeightAverage`, whose weights are then what is judged and kept; 0 for none.
        rng: shuffles the rows.
        threads: how many share each batch; by default one for each core. See `parallel.DataParallel`.
        progress: show a bar with the running loss and tokens per second.
        on_epoch: called with each finished epoch.

    Raises:
        ValueError: the optimizer does not train this model.
        FloatingPointError: the loss became NaN or infinite.
    """
    optimizer.check(model)
    parallel = DataParallel(model, threads)
    average = WeightAverage(model, weight_average) if weight_average else None
    epochs_done: list[Epoch] = []
    best: dict[str, np.ndarray] = {}
    for number in range(1, epochs + 1):
        model.train()
        tally, tokens, running, start = _Tally(model.classes), 0, 0.0, time.perf_counter()
        batches = length_batches(*train, batch_size=batch_size, pad_id=model.encoder.config.pad_id, rng=rng)
        with parallel, tqdm(total=len(train.sequences), unit=" rows", disable=not progress, leave=False) as bar:
            bar.set_description(f"epoch {number}/{epochs}")
            for batch in batches:
                optimizer.zero_grad()
                logits, losses = parallel.backward(batch, class_weights, label_smoothing)
                loss = sum(losses.values())
                if not math.isfinite(loss):
                    raise FloatingPointError(f"the loss became {loss} in epoch {number}: lower the learning rate")
                clip_grad_norm_(model.parameters(), max_grad_norm)
                optimizer.step(parallel.pool.map)
                if average:
                    average.update()
                if schedule is not None:
                    schedule.step()

                tally.add(batch, logits, losses)
                tokens += int(batch.attention_mask.sum())
                running = 0.9 * running + 0.1 * loss if running else loss
                bar.update(len(batch))
                bar.set_postfix_str(
                    f"loss {running:.3f}, {tokens / (time.perf_counter() - start):,.0f} tokens/s", refresh=False
                )
        seconds = time.perf_counter() - start
        with average.applied() if average else nullcontext():
            held_out = evaluate(model, validation)
            epochs_done.append(Epoch(number, tally.reports(), held_out, tokens / seconds, seconds))
            if epochs_done[-1] is best_epoch(epochs_done):
                best = {name: weights.copy() for name, weights in model.state_dict().items()}
        on_epoch(epochs_done[-1])
    model.load_state_dict(best)
    model.eval()
    return epochs_done


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights `fit` keeps: the highest score, the later of equals."""
    return max(reversed(epochs), key=lambda epoch: epoch.score)
