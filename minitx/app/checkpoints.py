"""When a run puts down where it stands: after every epoch, every few minutes, and when it is asked to stop."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from minitx.app.task_gradients import TaskGradients
from minitx.training.epochs import Callback, Epoch
from minitx.training.nonfinite import check_finite
from minitx.training.progress import load_progress, save_progress
from minitx.training.ranks import Alone

MINUTES = 5.0  # between two checkpoints of an epoch, if nobody says otherwise


class Stop:
    """Ctrl-C and SIGTERM while a command runs: both are a KeyboardInterrupt, unless there is `patience`.

    `with Stop() as stop:` in the main thread, which alone is told of signals; elsewhere it does nothing.
    """

    def __init__(self) -> None:
        self.patient, self.asked, self.number = False, False, int(signal.SIGINT)

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if main and callable(signal.getsignal(n))]
        heard += [signal.SIGTERM] if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else []
        self.before = {n: signal.signal(n, self.handle) for n in heard}  # what is to be ignored, as by nohup, stays so
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: object) -> None:
        """A signal has come: with patience the first one only asks, to be answered when a step is finished."""
        self.number = number
        if not self.patient or self.asked:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Inside, somebody looks at `asked` from time to time."""
        self.patient = True
        try:
            yield
        finally:
            self.patient = False
        if self.asked:
            raise KeyboardInterrupt


class Checkpoints(Callback):
    """Keeps the file `path` at where the training stands, and takes the training up there if the file exists.

    A training whose weights are not finite is not saved: the file stays the last good one. Of several processes the
    first one saves, and all stop after the same step if any of them is asked to.
    """

    def __init__(
        self, path: Path, run: str, minutes: float, stop: Stop, ranks: Alone, gradients: TaskGradients
    ) -> None:
        self.path, self.run, self.minutes, self.stop, self.ranks = path, run, minutes, stop, ranks
        self.gradients = gradients

    def on_start(self, training: Any) -> None:
        """Take up what was put down."""
        self.training, self.last = training, time.monotonic()
        if self.path.exists():
            self.gradients.grams = load_progress(self.path, training, self.run)["grams"]

    def on_step(self) -> None:
        """Save if it is time."""
        if (asked := self._asked()) or time.monotonic() - self.last > 60 * self.minutes:
            self.save(asked)

    def on_epoch(self, epoch: Epoch) -> None:
        """Save; callbacks that add to the epoch come earlier."""
        self.save(self._asked())

    def _asked(self) -> bool:
        """Whether anybody was, until now: what comes while they tell each other is for the next step."""
        return any(self.ranks.share(self.stop.asked))

    def save(self, stops: bool) -> None:
        """Put down where the training stands; KeyboardInterrupt if it `stops` here."""
        check_finite(self.training.model, f"epoch {len(self.training.epochs) + 1}, step {self.training.done}")
        if not self.ranks.rank:
            save_progress(self.path, self.training, run=self.run, grams=self.gradients.grams)
        self.last = time.monotonic()
        if stops:
            raise KeyboardInterrupt
