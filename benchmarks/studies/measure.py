"""One run, and all that is measured of it."""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.studies.plan import Run
from minitx.app.experiment import train
from minitx.app.prepare import Job, prepare
from minitx.app.settings import Experiment
from minitx.app.two_stage import two_stage_reports
from minitx.data.batches import TokenisedRows
from minitx.evaluation.calibration import average_precision
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import report_heads
from minitx.training.epochs import Callback, best_epoch
from minitx.training.trainable import trainable_report
from minitx.writing import whole_file


def silent(line: str) -> None:
    """What a run says is not shown."""


def without_positions(job: Job) -> None:
    """The encoder cannot tell the order of tokens."""
    position = job.model.encoder.position
    position.table = np.zeros_like(position.table)


PROCEDURES: dict[str, Callable[[Job], None]] = {"": lambda job: None, "without positions": without_positions}


class Curve(Callback):
    """Accuracy of each head on the validation rows, every so many steps."""

    def __init__(self, every: int, held_out: TokenisedRows) -> None:
        self.every, self.held_out, self.step = every, held_out, 0
        self.found: list[list[Any]] = []  # step, then head -> accuracy

    def on_start(self, training: Any) -> None:
        self.model = training.model

    def on_step(self) -> None:
        self.step += 1
        if self.step % self.every == 0:
            reports = evaluate(self.model, self.held_out)
            self.found.append([self.step, {head: report.accuracy for head, report in reports.items()}])


def learned(experiment: Experiment, training: bool, kept: Path) -> dict[str, np.ndarray]:
    """The weights that a run begins with, after a `training` or after pretraining alone.

    They stay in the folder `kept`: the other arms of the seed that begin with the same ones read them there.
    """
    path = kept / f"{hashlib.sha256(repr(experiment).encode()).hexdigest()}.npz"
    if not path.exists():
        job = prepare(experiment, silent)
        if training:
            train(job, False, silent)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, **job.model.state_dict())  # type: ignore[arg-type]
    with np.load(path) as weights:
        return dict(weights)


def figures(run: Run, kept: Path) -> dict[str, Any]:
    """Everything measured of one run, by name; `seconds` is processor time, and `wall` what a clock says."""
    wall = time.perf_counter()
    experiment = run.experiment
    if experiment.pretraining:  # learned once for all arms of the seed, below; here it gives only the tokenizer
        experiment = dataclasses.replace(experiment, pretraining_epochs=0)
    job = prepare(experiment, silent)
    if first := run.begins_with():
        job.model.load_state_dict(learned(first, run.first is not None, kept))
    PROCEDURES[run.procedure](job)
    found: dict[str, Any] = {"trainable": trainable_report(job.model, job.plan.optimizer).trainable}
    curve = Curve(run.every, job.rows["validation"]) if run.every else None
    start = time.process_time()
    epochs = train(job, False, silent, keep=(lambda gradients: curve) if curve else None)  # type: ignore[arg-type]
    found["seconds"] = time.process_time() - start
    found["steps"] = job.plan.total_steps
    found["kept epoch"] = best_epoch(epochs).number
    found["validation score"] = best_epoch(epochs).score
    found["validation scores"] = [epoch.score for epoch in epochs]
    rows, model = job.rows["test"], job.model
    vectors = model.encoder.encode_ids(rows.sequences, show_progress_bar=False)
    probabilities = model.probabilities(vectors)
    reports = report_heads(rows.labels, probabilities, model.classes)
    reports |= two_stage_reports(job.experiment.two_stage, model, rows, vectors, job.parts.test.texts)
    seen = evaluate(model, job.rows["train"])
    for head, report in reports.items():
        found[f"{head} accuracy"], found[f"{head} macro-F1"] = report.accuracy, report.macro_f1
        if head not in job.experiment.two_stage:
            found[f"{head} train accuracy"] = seen[head].accuracy
            found[f"{head} gap"] = seen[head].accuracy - report.accuracy
        for number, name in enumerate(report.classes):
            found[f"{head} recall of {name}"] = float(np.nan_to_num(report.recall[number]))
            known = rows.labels[head] >= 0
            right = rows.labels[head][known] == number
            found[f"{head} AP of {name}"] = float(
                np.nan_to_num(average_precision(right, probabilities[head][known, number]))
            )
    found["rows"], found["kept rows"] = [len(part.sequences) for part in job.rows.values()], job.audit.kept
    found["curve"] = curve.found if curve else []
    found["wall"] = time.perf_counter() - wall
    return found


def value(found: dict[str, Any], metric: str) -> float:
    """One figure by name; "sentiment steps to 0.75" is read off the curve, one look later if it was never reached."""
    head, to, score = metric.partition(" steps to ")
    if not to:
        return float(found[metric])
    reached = [step for step, accuracies in found["curve"] if accuracies[head] >= float(score)]
    return float(reached[0] if reached else found["steps"] + found["curve"][0][0])
