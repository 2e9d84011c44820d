"""The loop: batches through the model, gradients back, one optimizer step; and the same without the steps."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minitx.autograd.engine import no_grad
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch, length_batches
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.models.multitask import MultiTaskModel, TaskWeights
from minitx.training.optim import Optimizer, WeightAverage, clip_grad_norm_
from minitx.training.parallel import DataParallel, Result
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
    tokens_per_second: float  # through the encoder: 0 while its vectors are known and it need not run
    seconds: float
    gradients: dict[str, float] = field(default_factory=dict)  # see `TaskGradients.means`
    task_weights: dict[str, float] = field(default_factory=dict)  # head -> factor of its loss at the end

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
        return row | self.gradients | {f"task_weight_{head}": factor for head, factor in self.task_weights.items()}


@dataclass
class TaskGradients:
    """Do the tasks pull the encoder the same way? The gradients of the weighted task losses by its trainable weights.

    Compared at some steps of an epoch, since each costs a pass for each task. By the weights, not by the sentence
    vectors, where it would cost nothing: there the gradients of one row for two tasks are all but orthogonal whatever
    the tasks are, and what one row's means for another's shows only where they add up. As in Yu et al. 2020.
    """

    tasks: tuple[str, ...]
    grams: list[np.ndarray] = field(default_factory=list)  # (tasks, tasks) of each step: dot products

    def means(self) -> dict[str, float]:
        """Flat means over the steps: NaN where there was nothing to compare, as in a frozen encoder.

        `gradient_norm_A`, the length of A's gradient; for each pair `gradient_cosine_A_B`, and `gradient_conflict_A_B`,
        the share of steps in which it was negative. Batches in which a task has no label say nothing of it.
        """
        shape = (-1, len(self.tasks), len(self.tasks))
        grams = np.array(self.grams, np.float64).reshape(shape)
        norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0))  # (steps, tasks)
        means = {f"gradient_norm_{task}": _mean(norms[norms[:, i] > 0, i]) for i, task in enumerate(self.tasks)}
        for (i, a), (j, b) in combinations(enumerate(self.tasks), 2):
            both = (norms[:, i] > 0) & (norms[:, j] > 0)
            cosines = grams[both, i, j] / (norms[both, i] * norms[both, j])
            means[f"gradient_cosine_{a}_{b}"], means[f"gradient_conflict_{a}_{b}"] = _mean(cosines), _mean(cosines < 0)
        return means


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


@dataclass
class _Tally:
    """Sums over batches: every row counts the same, however the rows were batched."""

    classes: dict[str, tuple[str, ...]]
    confusion: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    loss: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(
        self, labels: Mapping[str, np.ndarray], logits: Mapping[str, np.ndarray], losses: Mapping[str, float]
    ) -> None:
        for head, classes in self.classes.items():
            kept = labels[head] >= 0  # -100 where a row has no label for this head
            target, predicted = labels[head][kept], logits[head][kept].argmax(axis=1)
            self.confusion[head] += confusion_matrix(target, predicted, len(classes))
            self.loss[head] += losses[head] * int(kept.sum())

    def reports(self) -> dict[str, Report]:
        return {
            head: Report(classes, self.confusion[head], self.loss[head] / max(1, self.confusion[head].sum()))
            for head, classes in self.classes.items()
        }


def evaluate(model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray | None = None) -> dict[str, Report]:
    """A report for each head over `rows`, in eval mode and without a graph, on every core.

    `vectors` (N, D), if the encoder's sentence vectors of the rows are known, spare running it.
    """
    logits = predict(model, rows.sequences, vectors)
    losses = model.losses({head: Tensor(y) for head, y in logits.items()}, rows.labels)
    tally = _Tally(model.classes)
    tally.add(rows.labels, logits, {head: loss.item() for head, loss in losses.items()})
    return tally.reports()


def predict(
    model: MultiTaskModel, sequences: Sequence[Sequence[int]], vectors: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Logits (N, C) for each head of N lists of ids, in eval mode; `vectors` as in `evaluate`."""
    training = model.training
    model.eval()
    if vectors is None:
        vectors = model.encoder.encode_ids(sequences, 64, show_progress_bar=False)
    with no_grad():
        logits = {head: y.data for head, y in model.classify(Tensor(vectors)).items()}
    model.train(training)
    return logits


def fit(
    model: MultiTaskModel,
    train: TokenisedRows,
    validation: TokenisedRows,
    optimizer: Optimizer,
    *,
    schedule: LambdaLR | None = None,
    epochs: int,
    batch_size: int = 32,
    accumulate: int = 1,
    max_grad_norm: float = 1.0,
    class_weights: Mapping[str, np.ndarray] | None = None,
    label_smoothing: float = 0.0,
    task_weights: TaskWeights | None = None,
    task_gradients: int = 2,
    weight_average: float = 0.0,
    rng: np.random.Generator,
    threads: int | None = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train, and leave the model with the weights of the epoch that was best on `validation` (`Epoch.score`).

    While nothing of the encoder trains, from the first step on, this is a linear probe: sentence vectors are computed
    once and used in every epoch, which makes an epoch cheap. They are computed in eval mode, so there is no dropout in
    an encoder that is frozen as a whole (and there is none either if it is frozen as a whole later on).

    Args:
        model, train, validation: what to train, on what, and by what to judge it.
        optimizer: its groups must cover the model, and `task_weights` if they are learned (`Optimizer.check`).
        schedule: stepped after every optimizer step; a `freezing.Plan` freezes and thaws as well.
        batch_size: rows of an optimizer step.
        accumulate: pieces a batch is computed in, one after the other, if it is too large for memory at once. The
            loss is divided by the whole batch's rows, so the numbers are the same.
        max_grad_norm: gradients are scaled down to this joint length.
        class_weights: head -> (C,) weights of the training loss; reports are unweighted but for their loss.
        task_weights: how much each head counts in the loss; all the same if left out.
        task_gradients: steps of each epoch at which the tasks' gradients are compared, see `TaskGradients`. It changes
            nothing else.
        weight_average: decay of a `WeightAverage`, whose weights are then what is judged and kept; 0 for none.
        rng: shuffles the rows.
        threads: how many share each batch; by default one for each core. See `parallel.DataParallel`.
        progress: show bars: of a frozen encoder's pass, and of each epoch with running loss and tokens per second.
        on_epoch: called with each finished epoch.

    Raises:
        ValueError: the optimizer does not train this model.
        FloatingPointError: the loss became NaN or infinite.
    """
    task_weights = task_weights or TaskWeights(model.heads)
    optimizer.check(model, task_weights)
    parallel = DataParallel(model, threads)
    average = WeightAverage(model, weight_average) if weight_average else None
    loss_settings: dict[str, Any] = {"class_weights": class_weights, "label_smoothing": label_smoothing}
    step = _Step(model, task_weights, optimizer, parallel, schedule, average, loss_settings, accumulate, max_grad_norm)
    steps = math.ceil(len(train.sequences) / batch_size)
    compared = {int((i + 0.5) * steps / task_gradients) for i in range(task_gradients)}
    epochs_done: list[Epoch] = []
    best: dict[str, np.ndarray] = {}
    probing = step.encoder_is_frozen()  # until the encoder thaws, and then never again
    if probing:
        known, held_out = (model.encoder.encode_ids(rows.sequences, 64, progress) for rows in (train, validation))
    for step.epoch in range(1, epochs + 1):
        model.train()
        tally, gradients, tokens, running = _Tally(model.classes), TaskGradients(tuple(model.heads)), 0, 0.0
        batches = length_batches(*train, batch_size=batch_size, pad_id=model.encoder.config.pad_id, rng=rng)
        start = time.perf_counter()
        with parallel, tqdm(total=len(train.sequences), unit=" rows", disable=not progress, leave=False) as bar:
            bar.set_description(f"epoch {step.epoch}/{epochs}")
            for number, batch in enumerate(batches):
                frozen = step.encoder_is_frozen()
                probing = probing and frozen
                model.encoder.train(not frozen)
                if number in compared and not frozen:
                    gradients.grams.append(
                        parallel.task_gram(batch, task_weights=task_weights.current(), **loss_settings)
                    )
                result, loss = step(batch, known[batch.rows] if probing else None)
                tally.add(batch.labels, result.logits, result.losses)
                tokens += 0 if probing else int(batch.attention_mask.sum())
                running = 0.9 * running + 0.1 * loss if running else loss
                bar.update(len(batch))
                speed = f", {tokens / (time.perf_counter() - start):,.0f} tokens/s" if tokens else ""
                bar.set_postfix_str(f"loss {running:.3f}{speed}", refresh=False)
        seconds = time.perf_counter() - start
        probing = probing and step.encoder_is_frozen()
        with average.applied() if average else nullcontext():
            reports = evaluate(model, validation, vectors=held_out if probing else None)
            learned = {} if task_weights.log_variance is None else task_weights.current()
            epochs_done.append(
                Epoch(step.epoch, tally.reports(), reports, tokens / seconds, seconds, gradients.means(), learned)
            )
            if epochs_done[-1] is best_epoch(epochs_done):
                best = {name: weights.copy() for name, weights in model.state_dict().items()}
        on_epoch(epochs_done[-1])
    model.load_state_dict(best)
    model.eval()
    return epochs_done


@dataclass
class _Step:
    """One optimizer step, and all that stays the same from one to the next."""

    model: MultiTaskModel
    task_weights: TaskWeights
    optimizer: Optimizer
    parallel: DataParallel
    schedule: LambdaLR | None
    average: WeightAverage | None
    loss_settings: dict[str, Any]
    accumulate: int
    max_grad_norm: float
    epoch: int = 0

    def __post_init__(self) -> None:
        self.parameters = [*self.model.parameters(), *self.task_weights.parameters()]
        self.encoder = list(self.model.encoder.parameters())

    def encoder_is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.encoder)

    def __call__(self, batch: Batch, vectors: np.ndarray | None) -> tuple[Result, float]:
        """Move the weights once; `vectors` (B, D) if the encoder need not run. Returns what was found, and the loss."""
        self.optimizer.zero_grad()
        result = self.parallel.backward(
            batch,
            **self.loss_settings,
            task_weights=self.task_weights.current(),
            vectors=vectors,
            pieces=self.accumulate,
        )
        total = self.task_weights(Tensor(list(result.losses.values())))
        loss = total.item()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {self.epoch}: lower the learning rate")
        if total.requires_grad:
            total.backward()  # the weights', if they are learned; the model has its gradients
        run = self.parallel.pool.map if vectors is None else map  # heads alone are not worth a thread
        clip_grad_norm_(self.parameters, self.max_grad_norm, run)
        self.optimizer.step(run)
        if self.average:
            self.average.update()
        if self.schedule is not None:
            self.schedule.step()
        return result, loss


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights `fit` keeps: the highest score, the later of equals."""
    return max(reversed(epochs), key=lambda epoch: epoch.score)
