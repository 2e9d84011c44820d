"""The whole path in one function: a CSV in, a result directory out. `minitx train` is this and nothing else."""

import dataclasses
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from minitx.app.checkpoints import MINUTES, Checkpoints, Stop
from minitx.app.manifest import HISTORY, MANIFEST, METRICS, Manifest, contents, differences, hashes, plain
from minitx.app.plots import calibration_picture, confusion_picture, training_curves
from minitx.app.prepare import Job, Judging, Log, class_weights, prepare, read_parts
from minitx.app.settings import Experiment
from minitx.app.task_gradients import TaskGradients, task_gradients_picture
from minitx.app.timeline import timeline
from minitx.app.together import Agreement
from minitx.app.two_stage import two_stage_reports
from minitx.data.tables import Audit
from minitx.errors import InputError
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report
from minitx.models.answers import Answers
from minitx.terminal import shown
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE, SETTINGS, save_model
from minitx.training.epochs import Callback, Epoch, best_epoch
from minitx.training.nonfinite import check_finite
from minitx.training.ranks import Alone
from minitx.training.stacking import fit_answers
from minitx.training.trainable import trainable_report
from minitx.training.trainer import TrainingSettings, fit
from minitx.writing import CHECKPOINT, RUN, UNFINISHED, finish, new_directory, tidy, whole_file, write_json, write_text

ANEW = "`minitx train --pretrained DIR` trains its encoder further, under new heads"


def run(
    experiment: Experiment,
    out: Path,
    *,
    overwrite: bool = False,
    progress: bool = True,
    log: Log = print,
    checkpoint_every: float = MINUTES,
    stop: Stop | None = None,
    ranks: Alone | None = None,
) -> dict[str, Report]:
    """Read, split, tokenise, train, evaluate once on the test split, and write the directory `out`.

    Returns the test split's report for each head. `InputError` for data or settings that cannot be used, and `out` is
    then as it was. Whatever ends it later, `resume(out)` goes on from the last checkpoint.

    Args:
        experiment, out: what to do, and where its result goes; see `writing.new_directory`.
        overwrite: replace an earlier result there.
        progress: show bars.
        log: takes a line for each thing that was decided or done.
        checkpoint_every: minutes from one checkpoint to the next; there is one after every epoch as well.
        stop: tells when somebody asks it to stop.
        ranks: the processes that do this together, each with a directory of its own; see `together`.
    """
    ranks, out = ranks or Alone(), Path(out)
    with new_directory(out, overwrite) as directory:
        manifest = Manifest.of(experiment, overwrite, ranks.lanes(experiment.threads), ranks.size)
        manifest.write(directory.parent / RUN)
        with _what_is_kept(out):
            return _run(manifest, directory, progress, log, checkpoint_every, stop, ranks)


def resume(
    out: Path,
    *,
    threads: int = 0,
    on_nan: str = "",
    ranks: Alone | None = None,
    progress: bool = True,
    log: Log = print,
    checkpoint_every: float = MINUTES,
    stop: Stop | None = None,
) -> dict[str, Report]:
    """Go on with a run that was interrupted, to the same bits as if it had not been; arguments as of `run`.

    Returns what `run` does, and nothing if the result was there and had only to be moved to its place.
    `threads` and `on_nan` may be changed. With other threads than before, sums are rounded otherwise: without dropout,
    weights differ by 1e-4 or so; with it, its masks differ. So does another number of processes round, if there are
    more than two threads. `InputError` if there is no such run, it is under way, or minitx, the data or the pretrained
    encoder are not those that it began with.
    """
    work, ranks = out / UNFINISHED, ranks or Alone()
    if not (work / RUN).is_file():
        tidy(out)
        inside = ", ".join(sorted(str(run.parents[1]) for run in out.glob(f"*/{UNFINISHED}/{RUN}")))
        without = f"there is one in {inside}" if inside else "start one with `minitx train`"
        finished = f"it is finished; {ANEW}" if (out / SETTINGS).is_file() else without
        raise InputError(f"{out} holds no unfinished run: {finished if out.is_dir() else 'there is no such directory'}")
    manifest = Manifest.read(work / RUN)
    if finish(out, manifest.overwrite):
        log("only the last files had not been moved to their place")
        return {}
    changes = manifest.check(out, ranks.size)
    if (threads := threads or max(manifest.threads, ranks.size)) != manifest.threads:
        changes.append(f"threads {manifest.threads}, then {threads}")
        manifest.threads = threads
    if on_nan and on_nan != manifest.experiment.on_nan:
        changes.append(f"on_nan {manifest.experiment.on_nan}, then {on_nan}")
        manifest.experiment = dataclasses.replace(manifest.experiment, on_nan=on_nan)
    for change in changes:
        log(f"note: {shown(change)}: not every bit will be as if it had never stopped")
    with new_directory(out, manifest.overwrite, go_on=True) as directory, _what_is_kept(out):
        manifest.changes += changes
        manifest.processes = ranks.size if manifest.threads > 2 else manifest.processes
        manifest.write(work / RUN)
        return _run(manifest, directory, progress, log, checkpoint_every, stop, ranks)


def replay(directory: Path, *, progress: bool = True) -> tuple[int, list[str]]:
    """Do a finished run again from its manifest: how many figures and files were compared, and those that differ.

    The new result is written to a temporary directory, and gone afterwards. `InputError` as in `resume`.
    """
    if not (directory / MANIFEST).is_file():
        raise InputError(f"{directory} has no {MANIFEST}: expected the directory of a finished `minitx train`")
    manifest, before = Manifest.read(directory / MANIFEST), contents(directory)
    notes = [*manifest.changes, *manifest.check(directory)]
    with TemporaryDirectory() as scratch, new_directory(Path(scratch) / "again") as again:
        _run(manifest, again, progress, lambda line: None, MINUTES, None, Alone())
        differ = differences(before, contents(again))
    return len(before), [f"note: {note}" for note in notes if differ] + differ


def own_test_rows(directory: Path) -> Judging:
    """The rows that a finished run was tested on, as `read_to_judge` gives a file's.

    `InputError` if nothing says which they were, or the file of data is not what it was.
    """
    if not (directory / MANIFEST).is_file():
        raise InputError(f"{directory} has no {MANIFEST}, which would say what it was tested on: give --data FILE")
    manifest = Manifest.read(directory / MANIFEST)
    e = dataclasses.replace(manifest.experiment, data=manifest.data(directory))
    parts, audit, _, _ = read_parts(e, lambda line: None)
    return parts.test, Audit(f"test rows of {audit.source}", len(parts.test), len(parts.test)), {}


@contextmanager
def _what_is_kept(out: Path) -> Iterator[None]:
    """Say with any error how to go on, if there is something to go on from."""
    try:
        yield
    except BaseException as error:
        if (out / UNFINISHED / CHECKPOINT).exists():
            error.add_note(f"what is done is kept: `minitx train --resume {shlex.quote(str(out))}` goes on")
        raise


def _run(
    manifest: Manifest,
    directory: Path,
    progress: bool,
    log: Log,
    minutes: float,
    stop: Stop | None,
    ranks: Alone,
) -> dict[str, Report]:
    """A run from its beginning, or from the checkpoint beside `directory`, to the last file in `directory`."""
    if not minutes >= 0:
        raise InputError(f"minutes between checkpoints must be at least 0, not {minutes}")
    experiment, checkpoint = manifest.experiment, directory.parent / CHECKPOINT
    if len({*ranks.share(manifest.identity)}) > 1:
        raise InputError("the processes do not have the same settings and data: their files differ")
    job = prepare(experiment, log)
    timeline(job.plan, directory / "timeline.png")  # before training: it is a plan
    before = trainable_report(job.model, job.plan.optimizer)
    write_text(directory / "trainable.txt", f"{before}\n")
    log(f"from the first step {before.summary()}; the plan is in timeline.png, each parameter in trainable.txt")

    stop = stop or Stop()
    with stop.patience():
        keep = partial(Checkpoints, checkpoint, manifest.identity, minutes, stop, ranks)
        agreement = [Agreement(ranks, job.model)] * (ranks.size > 1)
        epochs = train(job, progress, log, manifest.threads, keep, ranks, agreement)
    bag_of_words = BagOfWords.fit(job.parts.train, progress=progress)
    job.model.answers = stack(job, progress, log)
    test, stages, probabilities = judge(job, bag_of_words, progress)

    best = best_epoch(epochs)
    log(f"kept epoch {best.number}, the best on the validation split, without words, by {chosen_by(experiment)}")
    log("on the test split the whole gives:")
    for head, result in test.items():
        log(f"\n{head}\n{result}")
    for head, staged in stages.items():
        log(f"\n{head}, read in two stages: {', then '.join(experiment.two_stage[head])}\n{staged}")

    labelling = {"text": experiment.text} | {n: dict(getattr(experiment, n)) for n in ("labels", "rules", "words")}
    check_finite(job.model, "the best epoch")
    save_model(job.model, directory, data=labelling, from_labels_alone=manifest.from_labels_alone)
    bag_of_words.save(directory / BASELINE)
    metrics = {
        **metrics_of(job, best),
        "threads": manifest.threads,  # the last bits depend on it
        "skipped_steps": epochs[-1].skipped,
        "trainable_at_start": before.trainable,
        "test": {head: report.to_dict() for head, report in test.items()},
        "test_two_stage": {head: report.to_dict() for head, report in stages.items()},
    }
    write_json(directory / METRICS, metrics)
    history = pd.DataFrame([history_row(epoch) for epoch in epochs])
    with whole_file(directory / HISTORY) as file:
        history.to_csv(file, index=False, na_rep="nan", lineterminator="\n")
    try:
        draw(epochs, test, directory, job.audit.source)
        for head, report in test.items():
            target, title = job.parts.test.labels[head], f"{head}, test split of {job.audit.source}"
            calibration_picture(target, probabilities[head], report, directory / f"calibration_{head}.png", title)
    except Exception as error:  # whatever it is, it must not cost the result
        log(f"warning: a picture could not be drawn: {type(error).__name__}: {error}")
    manifest.write(directory / MANIFEST, files=hashes(directory))
    return test


def train(
    job: Job,
    progress: bool,
    log: Log,
    threads: int = 0,
    keep: Callable[[TaskGradients], Checkpoints] | None = None,
    ranks: Alone | None = None,
    before: Sequence[Callback] = (),
) -> list[Epoch]:
    """`fit` with the settings of the job's experiment, and a line to `log` for each epoch."""
    e, counts = job.experiment, job.parts.train.class_counts
    gradients = TaskGradients(tuple(job.model.heads), e.task_gradients, job.plan.steps_per_epoch)
    weights = {head: class_weights(counts(head), e.class_weighting) for head in job.model.heads}
    own = {"class_weights": weights, "threads": threads or e.threads or None, "progress": progress}
    settings = TrainingSettings(**(e.of_fields(TrainingSettings) | own))
    return fit(
        job.model,
        job.rows["train"],
        job.rows["validation"],
        job.plan.optimizer,
        settings,
        schedule=job.plan,
        task_weights=job.task_weights,
        callbacks=[*before, gradients, EpochTable(log, e.epochs), *([keep(gradients)] if keep else [])],
        ranks=ranks,
        rng=np.random.default_rng(e.seed).spawn(1)[0],  # so that runs with one seed see the same batches
    )


def stack(job: Job, progress: bool, log: Log = lambda line: None) -> Answers:
    """How the trained model should answer, by its validation rows: temperatures, words and thresholds.

    `log` gets a line for each head, and one for what its thresholds do.
    """
    e, held_out, rows = job.experiment, job.parts.validation, job.rows["validation"]
    words = BagOfWords.fit(job.parts.train, characters=True, progress=progress) if e.wide else None
    vectors = job.model.encoder.encode_ids(rows.sequences, show_progress_bar=progress)
    how: dict[str, Any] = {"words": words, "texts": held_out.texts, "calibrate": e.calibrate, "aims": e.decide}
    answers = fit_answers(job.model.logits(vectors), rows.labels, job.model.classes, **how, say=log)
    for head, classes in job.model.classes.items():
        log(answers.told(head, classes))
    return answers


def judge(
    job: Job, bag_of_words: BagOfWords, progress: bool
) -> tuple[dict[str, Report], dict[str, Report], dict[str, np.ndarray]]:
    """The only look at the test rows: a report for each head, and for each question that two heads answer together.

    And the probabilities (N, C) that each head gave, of which pictures are made.
    """
    rows, texts = job.rows["test"], job.parts.test.texts
    vectors = job.model.encoder.encode_ids(rows.sequences, show_progress_bar=progress)
    test = bag_of_words.beside(evaluate(job.model, rows, vectors, texts), job.parts.test)
    stages = two_stage_reports(job.experiment.two_stage, job.model, rows, vectors, texts)
    return test, stages, job.model.probabilities(vectors, texts)


def chosen_by(experiment: Experiment) -> str:
    """The figure that chooses the epoch, in words."""
    return experiment.select or "the mean of accuracy and macro-F1 of the heads that train"


def metrics_of(job: Job, best: Epoch) -> dict[str, object]:
    """What metrics.json says of the run itself."""
    return {
        "experiment": plain(job.experiment),
        "data": {name: value for name, value in vars(job.audit).items() if name != "unknown"},  # which is of evaluate
        "rows": {name: len(part) for name, part in job.parts._asdict().items()},
        "leakage": job.leakage.to_dict(),
        "texts_cut": job.texts_cut,
        "weights": job.model.num_parameters(),
        "best_epoch": best.number,
        "task_weights": job.task_weights.current(),
        "chosen_by": chosen_by(job.experiment),
        "score": best.score,
        "validation": {head: report.to_dict() for head, report in best.validation.items()},
    }


def history_row(epoch: Epoch) -> dict[str, float]:
    """Flat numbers: `epoch`, `seconds`, and `train_sentiment_loss` and the like for each part, head, metric."""
    row = {"epoch": epoch.number, "seconds": epoch.seconds, "tokens_per_second": epoch.tokens_per_second}
    for part, reports in (("train", epoch.train), ("validation", epoch.validation)):
        for head, report in reports.items():
            for metric in ("loss", "accuracy", "macro_f1"):
                row[f"{part}_{head}_{metric}"] = getattr(report, metric)
    return row | epoch.more | {f"task_weight_{head}": factor for head, factor in epoch.task_weights.items()}


def draw(epochs: list[Epoch], test: dict[str, Report], directory: Path, source: str) -> None:
    """The pictures of a run."""
    training_curves(epochs, directory / "curves.png", source)
    if len(test) > 1 and any(math.isfinite(value) for epoch in epochs for value in epoch.more.values()):
        task_gradients_picture(epochs, directory / "gradients.png", source)
    for head, result in test.items():
        confusion_picture(result, directory / f"confusion_{head}.png", f"{head}, test split of {source}")


class EpochTable(Callback):
    """A line for each epoch: training loss, then each head on the validation split."""

    def __init__(self, log: Log, epochs: int) -> None:
        self.log, self.epochs = log, epochs

    def on_epoch(self, epoch: Epoch) -> None:
        """The first line comes with the column names, and with what always predicting the largest class would score."""
        reports = epoch.validation.values()
        row = f"{f'{epoch.number}/{self.epochs}':>8}  {sum(report.loss for report in epoch.train.values()):8.3f}"
        row += "".join(f" | {r.loss:6.3f}  {r.accuracy:8.3f}  {r.macro_f1:8.3f}" for r in reports)
        row += f" | {f'{epoch.tokens_per_second:,.0f}' if epoch.tokens_per_second else '-':>8}"
        if epoch.skipped:
            row += f"  {epoch.skipped:,} batches so far were not finite and were left out"
        if epoch.number > 1:
            self.log(row)
            return
        names = f"{'':8}  {'training':>8}" + "".join(f" | {f'{head}, validation':^26}" for head in epoch.validation)
        columns = f"{'epoch':>8}  {'loss':>8}" + f" | {'loss':>6}  {'accuracy':>8}  {'macro-F1':>8}" * len(reports)
        majority = "".join(f" | {'':6}  {r.majority:8.3f}  {r.majority_macro_f1:8.3f}" for r in reports)
        self.log(f"{names}\n{columns} | tokens/s\n{'majority':>8}  {'':8}{majority} |\n{row}")
