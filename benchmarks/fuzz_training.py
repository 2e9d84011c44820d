"""What `minitx train --resume` and `minitx replay` go by: the manifest, the figures, and the checkpoint."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.fuzz_readers import Reader
from minitx import system
from minitx.app.manifest import HISTORY, MANIFEST, METRICS, Manifest, contents, hashes
from minitx.app.settings import Experiment
from minitx.data.batches import TokenisedRows
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training.epochs import Callback
from minitx.training.optim import AdamW
from minitx.training.progress import load_progress, save_progress
from minitx.training.schedules import LambdaLR, factor
from minitx.training.trainer import TrainingSettings, fit
from minitx.writing import CHECKPOINT, RUN, write_json

CONFIG = EncoderConfig(9, hidden_size=4, num_layers=1, num_heads=1, intermediate_size=4, max_length=4)
ROWS = TokenisedRows([np.array([1, i]) for i in range(1, 9)], {"mood": np.arange(8) % 2})


class Stop(BaseException):
    """Ends a run where it is."""


def _make_run(directory: Path) -> dict[str, list[bytes]]:
    """The manifest of an unfinished run of a CSV that is there."""
    (directory / "d.csv").write_text("content,score\ngood,5\n", encoding="utf-8")
    manifest = Manifest.of(
        Experiment(data=str(directory / "d.csv"), max_grad_norm=float("inf")), overwrite=False, threads=1
    )
    manifest.changes.append("threads 2, then 3")
    manifest.write(directory / RUN)
    return {RUN: []}


def _read_run(path: Path) -> None:
    Manifest.read(path).check(path)


def _make_result(directory: Path) -> dict[str, list[bytes]]:
    """What replay compares of a result."""
    write_json(directory / METRICS, {"best_epoch": 1, "test": {"mood": {"accuracy": 0.5, "f1": [1.0, None]}}})
    frame = pd.DataFrame([{"epoch": 1, "seconds": 2.0, "tokens_per_second": 3.0, "train_mood_loss": 0.5}])
    frame.to_csv(directory / HISTORY, index=False, lineterminator="\n")
    Manifest.of(Experiment(), overwrite=False, threads=1).write(directory / MANIFEST, files=hashes(directory))
    return {METRICS: [], HISTORY: [], MANIFEST: []}


def _read_result(path: Path) -> None:
    Manifest.read(path.with_name(MANIFEST))
    contents(path.parent)


def _fit(callback: Callback) -> None:
    """A training of four steps with all that a checkpoint holds."""
    rng = np.random.default_rng(0)
    model = MultiTaskModel(SentenceEncoder(CONFIG, rng=rng), {"mood": ["bad", "good"]}, rng=rng)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    settings = TrainingSettings(2, batch_size=4, weight_average=0.9, threads=1, progress=False)
    # Without the thread that each call would start for a limit on BLAS: that takes most of the time of such small work.
    with patch.object(system, "one_blas_thread", nullcontext), np.errstate(all="ignore"):
        schedule = LambdaLR(optimizer, factor("linear", 0, 4))
        fit(model, ROWS, ROWS, optimizer, settings, schedule=schedule, callbacks=[callback], rng=rng)


def _make_checkpoint(directory: Path) -> dict[str, list[bytes]]:
    """In the middle of the second epoch, and in the other content at the end of the first."""
    saved: list[bytes] = []

    class Save(Callback):
        def on_start(self, training: Any) -> None:
            self.training = training

        def save(self) -> None:
            save_progress(directory / CHECKPOINT, self.training, run="r", grams=[np.eye(1)])
            saved.append((directory / CHECKPOINT).read_bytes())

        def on_epoch(self, epoch: object) -> None:
            self.save()

        def on_step(self) -> None:
            if self.training.epochs:
                self.save()
                raise Stop

    try:
        _fit(Save())
    except Stop:
        return {CHECKPOINT: saved[:1]}
    raise AssertionError("it should have been stopped")


def _read_checkpoint(path: Path) -> None:
    """It is taken up, as far as its numbers can be computed with."""

    class Load(Callback):
        def on_start(self, training: Any) -> None:
            load_progress(path, training, "r")
            raise Stop

    with suppress(Stop):
        _fit(Load())


READERS = [
    Reader("run.json", _make_run, _read_run),
    Reader("result figures", _make_result, _read_result),
    Reader("checkpoint", _make_checkpoint, _read_checkpoint),
]
