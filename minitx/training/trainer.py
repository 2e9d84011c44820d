"""The loop: batches through the model, gradients back, one optimizer step."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch, TokenisedRows, length_batches
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report, report_heads
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.training.average import WeightAverage
from minitx.training.groups import Optimizer
from minitx.training.optim import clip_grad_norm_
from minitx.training.parallel import DataParallel, Loss, Result
from minitx.training.schedules import LambdaLR


@dataclass
class Epoch:
    """What one epoch did."""

    number: int
    train: dict[str, Report]  # with dropout on, while the weights moved
    validation: dict[str, Report]
    tokens_per_second: float  # through the encoder: 0 while its vectors are known and it need not run
    seconds: float
    task_weights: dict[str, float] = field(default_factory=dict)  # head -> factor of its loss at the end, if learned
    more: dict[str, float] = field(default_factory=dict)  # what callbacks measured

    @property
    def score(self) -> float:
        """What "best" means: the mean over the heads of accuracy and macro-F1 on the validation rows.

        Both, because macro-F1 alone can hang on a handful of rows of a small class, and accuracy alone ignores them.
        """
        return float(np.mean([(report.accuracy + report.macro_f1) / 2 for report in self.validation.values()]))


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
    weight_average: float = 0.0  # decay of a `WeightAverage`, whose weights are then judged and kept; 0 for none
    threads: int | None = None  # how many share each batch, see `parallel.DataParallel`; by default one for each core
    progress: bool = True  # show bars: of a frozen encoder's pass, and of each epoch with the loss


class Callback:
    """What `fit` tells on its way; a subclass listens to some. It may measure, and must not write to the model."""

    def on_batch(self, number: int, batch: Batch, parallel: DataParallel, loss: Loss) -> None:
        """Before step `number` of an epoch, counted from 0."""

    def on_epoch(self, epoch: Epoch) -> None:
        """After an epoch; `epoch.more` takes further figures."""


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
    rng: np.random.Generator,
) -> list[Epoch]:
    """Train, and leave the model with the weights of the epoch that was best on `validation` (`Epoch.score`).

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
        rng: shuffles the rows; dropout's generators are spawned from it.

    Raises:
        ValueError: the optimizer does not train this model, or no validation row has a label for some head.
        FloatingPointError: the loss became NaN or infinite.
    """
    task_weights = task_weights or TaskWeights(model.heads)
    optimizer.check(model, task_weights)
    for head, labels in validation.labels.items():
        if not (labels >= 0).any():
            raise ValueError(f"no validation row has a label for {head}: epochs could not be compared")
    epochs: list[Epoch] = []
    best: dict[str, np.ndarray] = {}
    with DataParallel(model, settings.threads, rng.spawn(1)[0]) as parallel:
        training = _Training(model, optimizer, settings, schedule, task_weights, parallel)
        if training.encoder_is_frozen():
            training.known, held_out = (
                model.encoder.encode_ids(rows.sequences, show_progress_bar=settings.progress)
                for rows in (train, validation)
            )
        for number in range(1, settings.epochs + 1):
            start = time.perf_counter()
            trained, tokens = training.epoch(number, train, callbacks, rng)
            seconds = time.perf_counter() - start
            with training.average.applied() if training.average else nullcontext():
                judged = evaluate(model, validation, None if training.known is None else held_out)
                learned = {} if task_weights.log_variance is None else task_weights.current()
                epochs.append(Epoch(number, trained, judged, tokens / seconds, seconds, learned))
                if epochs[-1] is best_epoch(epochs):
                    best = {name: weights.copy() for name, weights in model.state_dict().items()}
            for callback in callbacks:
                callback.on_epoch(epochs[-1])
    model.load_state_dict(best)
    model.eval()
    return epochs


@dataclass
class _Training:
    """What stays the same from one step to the next."""

    model: MultiTaskModel
    optimizer: Optimizer
    settings: TrainingSettings
    schedule: LambdaLR | None
    task_weights: TaskWeights
    parallel: DataParallel
    known: np.ndarray | None = None  # (N, D) vectors of the training rows, until the encoder first trains

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.model, decay) if (decay := self.settings.weight_average) else None
        self.parameters = [*self.model.parameters(), *self.task_weights.parameters()]
        self.encoder = list(self.model.encoder.parameters())

    def encoder_is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.encoder)

    def epoch(
        self, number: int, train: TokenisedRows, callbacks: Sequence[Callback], rng: np.random.Generator
    ) -> tuple[dict[str, Report], int]:
        """Every row once: reports of the training rows, and how many tokens went through the encoder."""
        model, settings = self.model, self.settings
        model.train()
        seen = {h: np.zeros((len(train.sequences), len(c))) for h, c in model.classes.items()}
        tokens, running = 0, 0.0
        batches = length_batches(*train, batch_size=settings.batch_size, pad_id=model.encoder.config.pad_id, rng=rng)
        with tqdm(total=len(train.sequences), unit=" rows", disable=not settings.progress, leave=False) as bar:
            bar.set_description(f"epoch {number}/{settings.epochs}")
            for i, batch in enumerate(batches):
                frozen = self.encoder_is_frozen()
                if model.encoder.training == frozen:  # a walk through all of it, so only when that changes
                    model.encoder.train(not frozen)
                self.known = self.known if frozen else None
                loss = Loss(settings.class_weights, settings.label_smoothing, self.task_weights.current())
                for callback in callbacks:
                    callback.on_batch(i, batch, self.parallel, loss)
                vectors = None if self.known is None else self.known[batch.rows]
                result, total = self.step(number, batch, loss, vectors)
                for head, logits in result.logits.items():
                    seen[head][batch.rows] = logits
                tokens += 0 if vectors is not None else int(batch.attention_mask.sum())
                running = 0.9 * running + 0.1 * total if running else total
                bar.update(len(batch))
                bar.set_postfix_str(f"loss {running:.3f}", refresh=False)
        probabilities = {head: F.softmax(Tensor(logits)).data for head, logits in seen.items()}
        return report_heads(train.labels, probabilities, model.classes), tokens

    def step(self, epoch: int, batch: Batch, loss: Loss, vectors: np.ndarray | None) -> tuple[Result, float]:
        """Move the weights once; `vectors` (B, D) if the encoder need not run."""
        self.optimizer.zero_grad()
        result = self.parallel.backward(batch, loss, vectors=vectors, pieces=self.settings.accumulate)
        total = self.task_weights(Tensor(list(result.losses.values())))
        if not math.isfinite(total.item()):
            self.optimizer.zero_grad()
            raise FloatingPointError(f"the loss became {total.item()} in epoch {epoch}: lower the learning rate")
        if total.requires_grad:
            total.backward()  # the task weights', if they are learned; the model has its gradients
        run = self.parallel.pool.map if vectors is None else map  # heads alone are not worth a thread
        clip_grad_norm_(self.parameters, self.settings.max_grad_norm, run)
        self.optimizer.step(run)
        if self.average:
            self.average.update()
        if self.schedule is not None:
            self.schedule.step()
        return result, total.item()


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights `fit` keeps: the highest score, the later of equals."""
    return max(reversed(epochs), key=lambda epoch: epoch.score)
