"""The loop: batches through the model, gradients back, one optimizer step."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch, TokenisedRows, length_batches
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report, report_heads
from minitx.models.answers import Answers
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.system import Bar
from minitx.training.average import WeightAverage
from minitx.training.epochs import Callback, Epoch, best_epoch, check_parts, check_select, score
from minitx.training.groups import Optimizer
from minitx.training.nonfinite import check_finite, not_finite
from minitx.training.optim import clip_grad_norm_
from minitx.training.parallel import DataParallel, Loss, Result
from minitx.training.ranks import Alone
from minitx.training.schedules import LambdaLR


@dataclass(frozen=True)
class TrainingSettings:
    """How `fit` trains."""

    epochs: int
    batch_size: int = 32  # rows of an optimizer step
    # Pieces a batch is computed in, one after the other, if it is too large for memory at once. The loss is divided by
    # the whole batch's rows, so the numbers are the same.
    accumulate: int = 1
    max_grad_norm: float = 1.0  # gradients are scaled down to this joint length
    class_weights: Mapping[str, np.ndarray] = field(default_factory=dict)  # head -> (C,); reports are unweighted
    label_smoothing: float = 0.0
    on_nan: str = "stop"  # at a loss or gradient that is NaN or infinite; or "skip": that batch moves nothing, counted
    select: str = ""  # the figure that chooses the epoch, see `epochs.score`
    weight_average: float = 0.0  # decay of a `WeightAverage`, whose weights are then judged and kept; 0 for none
    threads: int | None = None  # how many share each batch, see `parallel.DataParallel`; by default one for each core
    progress: bool = True  # show bars: of a frozen encoder's pass, and of each epoch with the loss


def fit(
    model: MultiTaskModel,
    train: TokenisedRows,
    validation: TokenisedRows,
    optimizer: Optimizer,
    settings: TrainingSettings,
    *,
    schedule: LambdaLR | None = None,
    task_weights: TaskWeights | None = None,
    callbacks: Sequence[Callback] = (),
    ranks: Alone | None = None,
    rng: np.random.Generator,
) -> list[Epoch]:
    """Train, and leave the model with the weights of the epoch that was best on `validation` (`epochs.score`).

    While nothing of the encoder trains, from the first step on, this is a linear probe: sentence vectors are computed
    once and used in every epoch, which makes an epoch cheap. They are computed without dropout, so there is none in
    an encoder that is frozen as a whole (and there is none either if it is frozen as a whole later on).

    Args:
        model, train, validation: what to train, on what, and by what to judge it.
        optimizer: its groups must cover the model, and `task_weights` if they are learned (`Optimizer.check`).
        settings: epochs, batch size and the rest.
        schedule: stepped after every optimizer step; a `thawing.Plan` freezes and thaws as well.
        task_weights: how much each head counts in the loss; all the same if left out.
        callbacks: told of every batch and epoch.
        ranks: the processes that train it together, each of which calls this with the same arguments; see `ranks`.
        rng: shuffles the rows; dropout's generators are spawned from it.

    Raises:
        ValueError: the optimizer does not train this model, or no validation row has a label for some head.
        InputError: rows, labels or class weights are not those of the heads, every parameter is frozen from beginning
            to end, or `settings.select` names no figure.
        FloatingPointError: the loss, a gradient or a weight became NaN or infinite; see `training.nonfinite`.
    """
    task_weights = task_weights or TaskWeights(model.heads)
    check_parts(train, validation, model.classes, optimizer, settings, rng, schedule)
    optimizer.check(model, task_weights)
    check_select(settings.select, validation.labels)
    model.answers = Answers()  # what was fitted to other weights
    with DataParallel(model, settings.threads, rng.spawn(1)[0], ranks) as parallel:
        training = Training(model, optimizer, settings, schedule, task_weights, parallel, rng)
        for callback in callbacks:
            callback.on_start(training)
        if training.encoder_is_frozen() and not training.thawed:
            encode, bar = model.encoder.encode_ids, settings.progress
            training.known, held_out = (encode(rows.sequences, show_progress_bar=bar) for rows in (train, validation))
        while len(training.epochs) < settings.epochs:
            trained, tokens, seconds = training.epoch(train, callbacks)
            with training.average.applied() if training.average else nullcontext():
                check_finite(model, f"after epoch {(number := len(training.epochs) + 1)}")
                judged = evaluate(model, validation, None if training.known is None else held_out)
                factors = task_weights.current()
                learned = {} if task_weights.log_variance is None else factors
                value, speed = score(judged, factors, settings.select), tokens / seconds
                epoch = Epoch(number, trained, judged, value, speed, seconds, learned, training.skipped)
                training.epochs.append(epoch)
                if training.epochs[-1] is best_epoch(training.epochs):
                    training.best = {name: weights.copy() for name, weights in model.state_dict().items()}
            for callback in callbacks:
                callback.on_epoch(training.epochs[-1])
    model.load_state_dict(training.best)
    model.eval()
    return training.epochs


@dataclass
class Training:
    """A run of `fit` between two steps: with the rows, all that the next one depends on."""

    model: MultiTaskModel
    optimizer: Optimizer
    settings: TrainingSettings
    schedule: LambdaLR | None
    task_weights: TaskWeights
    parallel: DataParallel
    rng: np.random.Generator
    known: np.ndarray | None = None  # (N, D) vectors of the training rows, until the encoder first trains
    thawed: bool = False  # it has
    epochs: list[Epoch] = field(default_factory=list)  # those that are finished
    best: dict[str, np.ndarray] = field(default_factory=dict)  # the weights of the best of them
    done: int = 0  # steps of the epoch under way; the next four are of it, too
    order: object = None  # the state of `rng` that shuffled its rows
    seen: dict[str, np.ndarray] = field(default_factory=dict)  # head -> (N, C) float64, logits of the rows so far
    tokens: int = 0
    seconds: float = 0.0
    skipped: int = 0  # steps that moved nothing, see `TrainingSettings.on_nan`

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.model, decay) if (decay := self.settings.weight_average) else None
        self.parameters = [*self.model.parameters(), *self.task_weights.parameters()]
        self.encoder = list(self.model.encoder.parameters())

    def encoder_is_frozen(self) -> bool:
        """Nothing of the encoder trains at the moment."""
        return not any(parameter.requires_grad for parameter in self.encoder)

    def epoch(self, train: TokenisedRows, callbacks: Sequence[Callback]) -> tuple[dict[str, Report], int, float]:
        """Every row once: reports of the training rows, tokens that went through the encoder, seconds."""
        model, settings = self.model, self.settings
        model.train()
        if not self.done:
            self.seen = {h: np.zeros((len(train.sequences), len(c))) for h, c in model.classes.items()}
            self.tokens, self.seconds, self.order = 0, 0.0, self.rng.bit_generator.state
        running, size, start = 0.0, settings.batch_size, time.perf_counter() - self.seconds
        batches = length_batches(*train, batch_size=size, pad_id=model.encoder.config.pad_id, rng=self.rng)
        with Bar(total=len(train.sequences), unit=" rows", disable=not settings.progress, leave=False) as bar:
            bar.set_description(f"epoch {len(self.epochs) + 1}/{settings.epochs}")
            bar.update(self.done * size)
            for i, batch in islice(enumerate(batches), self.done, None):
                frozen = self.encoder_is_frozen()
                if model.encoder.training == frozen:  # a walk through all of it, so only when that changes
                    model.encoder.train(not frozen)
                self.known, self.thawed = (self.known, self.thawed) if frozen else (None, True)
                loss = Loss(settings.class_weights, settings.label_smoothing, self.task_weights.current())
                for callback in callbacks:
                    callback.on_batch(i, batch, self.parallel, loss)
                vectors = None if self.known is None else self.known[batch.rows]
                result, total = self.step(batch, loss, vectors)
                for head, logits in result.logits.items():
                    self.seen[head][batch.rows] = logits
                self.tokens += 0 if vectors is not None else int(batch.attention_mask.sum())
                self.done, self.seconds = i + 1, time.perf_counter() - start
                running = 0.9 * running + 0.1 * total if running else total
                bar.update(len(batch))
                bar.set_postfix_str(f"loss {running:.3f}", refresh=False)
                for callback in callbacks:
                    callback.on_step()
        self.done, probabilities = 0, {head: F.softmax(Tensor(logits)).data for head, logits in self.seen.items()}
        return report_heads(train.labels, probabilities, model.classes), self.tokens, self.seconds

    def step(self, batch: Batch, loss: Loss, vectors: np.ndarray | None) -> tuple[Result, float]:
        """Move the weights once; `vectors` (B, D) if the encoder need not run."""
        self.optimizer.zero_grad()
        result = self.parallel.backward(batch, loss, vectors=vectors, pieces=self.settings.accumulate)
        total = self.task_weights(Tensor(list(result.losses.values())))
        if total.requires_grad:
            total.backward()  # the task weights', if they are learned; the model has its gradients
        run = self.parallel.pool.map if vectors is None else map  # heads alone are not worth a thread
        norm = clip_grad_norm_(self.parameters, self.settings.max_grad_norm, run)
        if math.isfinite(total.item()) and math.isfinite(norm):
            self.optimizer.step(run)
            if self.average:
                self.average.update()
        else:
            where = f"epoch {len(self.epochs) + 1}, step {self.done + 1}"
            self.skipped += not_finite(self.settings.on_nan, where, self.parallel, batch, loss, vectors, result.losses)
        if self.schedule is not None:
            self.schedule.step()
        return result, total.item()
