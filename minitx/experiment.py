"""The whole path in one function: a CSV in, a result directory out. `minitx train` is this and nothing else."""

import csv
import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minitx.data.leakage import leakage_report
from minitx.data.reviews import Audit, label_reviews, read_labelled, read_reviews
from minitx.data.samples import SYNTHETIC_NAME, synthetic_reviews
from minitx.data.split import LabelledTexts, Split, split
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.directories import new_directory, write_json
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.plots import confusion_picture, training_curves
from minitx.text.bpe import BPETokenizer
from minitx.text.tokenizer import TruncationWarning
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE, save_model
from minitx.training.metrics import Report
from minitx.training.optim import AdamW
from minitx.training.parallel import usable_cores
from minitx.training.schedules import SCHEDULES, with_warmup
from minitx.training.trainer import Epoch, TokenisedRows, best_epoch, evaluate, fit


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run gives; the defaults are what `minitx train` does."""

    data: str | None = None  # a CSV; None is the built-in synthetic reviews
    text: str | None = None  # text column of a CSV that is not a review file, and
    labels: Mapping[str, str] = field(default_factory=dict)  # its heads: name -> column
    seed: int = 0  # of the split, the weights, the dropout and the order of rows

    vocab_size: int = 4000
    hidden_size: int = 128
    num_layers: int = 2
    num_heads: int = 4
    intermediate_size: int = 512
    max_length: int = 128
    dropout: float = 0.4
    activation: str = "gelu"
    positions: str = "sinusoidal"
    pooling: str = "mean"
    norm_first: bool = False

    epochs: int = 8
    batch_size: int = 32
    lr: float = 5e-4  # of the encoder
    head_lr: float = 2e-3
    weight_decay: float = 0.01
    schedule: str = "linear"
    warmup: float = 0.1  # share of the steps
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.0
    weight_average: float = 0.99  # decay of the running mean of the weights, which is what is kept; 0: the last step's
    class_weighting: float = 0.2  # 0: every row counts the same; 1: every class does; between: in between

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.max_grad_norm > 0:
            raise InputError(f"max_grad_norm must be greater than 0 (inf for no clipping), not {self.max_grad_norm}")
        if self.label_smoothing == 1:
            raise InputError("label_smoothing must be below 1: at 1 the labels no longer count")
        for name in ("lr", "head_lr", "weight_decay", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be a number of at least 0, not {getattr(self, name)}")
        for name in ("warmup", "label_smoothing", "class_weighting", "weight_average"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.schedule not in SCHEDULES:
            raise InputError(f"unknown schedule {self.schedule!r}: choose from {', '.join(SCHEDULES)}")
        if self.data is None and (self.text or self.labels):
            raise InputError("columns were named, but no CSV to find them in: pass --data as well")
        if bool(self.text) != bool(self.labels):
            raise InputError("a CSV that is not a review file needs its text column and at least one label column")

    def encoder_config(self, vocab_size: int, pad_id: int) -> EncoderConfig:
        """The part of the settings that the encoder is made of, and what the tokenizer turned out to be."""
        shared = {f.name for f in dataclasses.fields(EncoderConfig)} & {f.name for f in dataclasses.fields(self)}
        settings = {name: getattr(self, name) for name in shared}
        return EncoderConfig(**{**settings, "vocab_size": vocab_size, "pad_id": pad_id})


def run(
    experiment: Experiment,
    out: Path,
    *,
    overwrite: bool = False,
    progress: bool = True,
    log: Callable[[str], None] = print,
) -> dict[str, Report]:
    """Read, split, learn a tokenizer, train, evaluate once on the test split, and write the directory `out`.

    Returns the test split's report for each head. `InputError` for data or settings that cannot be used, and `out` is
    then as it was.
    """
    e = experiment
    e.encoder_config(e.vocab_size, pad_id=0)  # a shape that cannot work is refused before any work is done
    with new_directory(out, overwrite) as directory:
        data, audit = read_data(e.data, e.text, e.labels)
        log(str(audit))
        try:
            parts = split(data, seed=e.seed)
        except InputError as error:
            raise InputError(f"{audit.source}: {error}") from error
        leakage = leakage_report(parts.train, parts.test)
        log(f"split {_listing(parts, len)}; no text or reviewId is on two sides")
        log(f"near duplicates of a training text: {leakage.rows('near'):,} of {len(parts.test):,} test rows")

        tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=e.vocab_size)
        rows, cut = {}, {}
        for name, part in parts._asdict().items():
            sequences, cut[name] = _tokenise(tokenizer, part.texts, e.max_length)
            rows[name] = TokenisedRows(sequences, part.labels)
        log(
            f"tokenizer: {tokenizer.vocab_size:,} tokens learned from the training texts; "
            f"{sum(cut.values())} of {len(data):,} texts are longer than {e.max_length} tokens and were cut"
        )

        rng = np.random.default_rng(e.seed)
        order = rng.spawn(1)[0]  # of its own, so that runs with one seed see the same batches whatever their weights
        encoder = SentenceEncoder(e.encoder_config(tokenizer.vocab_size, tokenizer.pad_id), tokenizer, rng=rng)
        model = MultiTaskModel(encoder, data.classes, e.dropout, rng=rng)
        groups = [{"name": "encoder", "params": encoder.parameters(), "lr": e.lr}]
        groups += [{"name": name, "params": h.parameters(), "lr": e.head_lr} for name, h in model.heads.items()]
        optimizer = AdamW(groups, weight_decay=e.weight_decay)
        steps = e.epochs * math.ceil(len(parts.train) / e.batch_size)
        expected = sum(math.log(len(classes)) for classes in data.classes.values())
        log(f"model: {model.num_parameters():,} weights; chance is a loss of {expected:.2f}, the sum of ln(classes)")

        epochs = fit(
            model,
            rows["train"],
            rows["validation"],
            optimizer,
            schedule=with_warmup(optimizer, e.schedule, round(e.warmup * steps), steps),
            epochs=e.epochs,
            batch_size=e.batch_size,
            max_grad_norm=e.max_grad_norm,
            class_weights={
                head: class_weights(parts.train.class_counts(head), e.class_weighting) for head in model.heads
            },
            label_smoothing=e.label_smoothing,
            weight_average=e.weight_average,
            rng=order,
            progress=progress,
            on_epoch=lambda epoch: log(_rows(epoch, e.epochs)),
        )
        bag_of_words = BagOfWords.fit(parts.train, progress=progress)
        test = bag_of_words.beside(evaluate(model, rows["test"]), parts.test)  # the only look at the test split
        best = best_epoch(epochs)
        log(f"kept epoch {best.number}, the best on the validation split; on the test split it gives:")
        for head, report in test.items():
            log(f"\n{head}\n{report}")

        save_model(model, directory, data={"text": e.text, "labels": dict(e.labels)})
        bag_of_words.save(directory / BASELINE)
        write_json(
            directory / "metrics.json",
            {
                "experiment": dataclasses.asdict(e),
                "data": audit.to_dict(),
                "rows": {name: len(part) for name, part in parts._asdict().items()},
                "leakage": leakage.to_dict(),
                "texts_cut": cut,
                "weights": model.num_parameters(),
                "threads": usable_cores(),  # the last bits depend on it
                "best_epoch": best.number,
                "validation": {head: report.to_dict() for head, report in best.validation.items()},
                "test": {head: report.to_dict() for head, report in test.items()},
            },
        )
        with (directory / "history.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, epochs[0].to_row(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(epoch.to_row() for epoch in epochs)
        training_curves(epochs, directory / "curves.png", audit.source)
        for head, report in test.items():
            confusion_picture(report, directory / f"confusion_{head}.png", f"{head}, test split of {audit.source}")
    return test


def read_data(
    data: str | None, text: str | None, labels: Mapping[str, str], classes: dict[str, tuple[str, ...]] | None = None
) -> tuple[LabelledTexts, Audit]:
    """The rows an experiment is about; `classes` fixes the class names that are otherwise found in the data."""
    if data is None:
        frame = synthetic_reviews()
        return label_reviews(frame, audit=Audit(SYNTHETIC_NAME, read=len(frame)))
    if text is None:
        return read_reviews(data)
    return read_labelled(data, text, dict(labels), classes=classes)


def _tokenise(tokenizer: BPETokenizer, texts: list[str], max_length: int) -> tuple[list[list[int]], int]:
    """Ids of each text, and how many texts had to be cut to `max_length`: a figure to report, not a warning."""
    cut = sum(len(ids) > max_length for ids in tokenizer.encode_batch(texts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        return tokenizer.encode_batch(texts, max_length=max_length), cut


def class_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Loss weights (C,) from rows per class (C,): (N / (C n))^power, scaled to a mean of 1 over the rows.

    Power 0 leaves all rows equal, 1 makes all classes equal (scikit-learn: `class_weight="balanced"`).
    """
    weights = (counts.sum() / (len(counts) * np.maximum(counts, 1))) ** power
    return weights * counts.sum() / (weights * counts).sum()


def _listing(parts: Split, number: Callable[[LabelledTexts], int]) -> str:
    return ", ".join(f"{number(part):,} {name}" for name, part in parts._asdict().items())


def _rows(epoch: Epoch, epochs: int) -> str:
    """One row of the table of epochs: training loss, then each head on the validation split.

    The first comes with the column names, and with what always predicting the largest class would score.
    """
    reports = epoch.validation.values()
    row = f"{f'{epoch.number}/{epochs}':>8}  {sum(report.loss for report in epoch.train.values()):8.3f}"
    row += "".join(f" | {r.loss:6.3f}  {r.accuracy:8.3f}  {r.macro_f1:8.3f}" for r in reports)
    row += f" | {epoch.tokens_per_second:8,.0f}"
    if epoch.number > 1:
        return row
    names = f"{'':8}  {'':8}" + "".join(f" | {f'{head}, validation':^26}" for head in epoch.validation)
    columns = f"{'epoch':>8}  {'training':>8}" + f" | {'loss':>6}  {'accuracy':>8}  {'macro-F1':>8}" * len(reports)
    majority = "".join(f" | {'':6}  {r.majority:8.3f}  {r.majority_macro_f1:8.3f}" for r in reports)
    return f"{names}\n{columns} | tokens/s\n{'majority':>8}  {'':8}{majority} |\n{row}"
