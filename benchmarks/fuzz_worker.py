"""One child of `benchmarks.fuzz`: damage, read, note what was found, until the count is reached or the process ends.

    python -m benchmarks.fuzz_worker ENGINE READER FOLDER FIRST LAST SEED

ENGINE "mutate": input number i is made from the seed, the reader and i alone. ENGINE "coverage": libFuzzer, through
`atheris`, chooses what to mutate by the lines and branches of minitx that an input reached; where atheris is not
installed, mutants that reach a new line of minitx are kept and mutated further.
"""

import faulthandler
import importlib
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import numpy as np

ENGINE = sys.argv[1] if __name__ == "__main__" else ""
try:
    atheris = importlib.import_module("atheris") if ENGINE == "coverage" else None
except ImportError:
    atheris = None
with atheris.instrument_imports(include=["minitx"]) if atheris else nullcontext():
    from benchmarks.fuzz import COUNTS, note, registry
    from benchmarks.fuzz_readers import Corpus

SECONDS, ADDRESS_SPACE, RESIDENT = 5, 2 << 30, 512 << 20  # for one input; the last two above what the start took


class Hang(BaseException):
    """Raised by the alarm, so that no `except Exception` keeps it."""


class Memory(AssertionError):
    """An input took more than RESIDENT."""


def alarm(*_: Any) -> None:
    raise Hang(f"more than {SECONDS} seconds")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def frames_in_package(error: BaseException) -> str:
    """The last three lines of minitx that an error went through: two findings with equal ones are one."""
    package = str(Path(importlib.import_module("minitx").__file__).parent)
    raised = error.__cause__ or error  # an InputError that does not print is the cause
    frames = [f for f in traceback.extract_tb(raised.__traceback__) if f.filename.startswith(package)]
    places = " < ".join(f"{f.filename.removeprefix(package)[1:]}:{f.name}:{f.lineno}" for f in frames[-3:])
    return f"{type(error).__name__} {places}"


class Worker:
    """Attempts, counted in a file that the parent reads too."""

    def __init__(self, reader: str, folder: Path) -> None:
        self.name, self.folder = reader, folder
        self.corpus = Corpus(registry()[reader], folder / "files")
        for name in self.corpus.names:
            for content in self.corpus.valid[name]:
                self.corpus.attempt(name, content)  # what is loaded at first use is part of the start
        self.counts = np.memmap(folder / "counts", np.int64, "r+", shape=(len(COUNTS),))
        self.start = peak()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE,) * 2)
        signal.signal(signal.SIGALRM, alarm)
        (folder / "ready").touch()

    def attempt(self, name: str, content: bytes, about: str) -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                accepted = self.corpus.attempt(name, content)
                if peak() > self.start + RESIDENT:
                    raise Memory(f"more than {RESIDENT >> 20} MB")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            self.counts[1 + accepted] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            trace = "".join(traceback.format_exception(error, limit=-30))
            found = note(self.folder, self.name, name, content, f"{about}\n{trace}", frames_in_package(error))
            self.counts[3] += found
            self.start = max(self.start, peak())
        self.counts[0] += 1


def by_mutation(worker: Worker, numbers: range, seed: int) -> None:
    for number in numbers:
        key = f"{seed} {worker.name} {number}"
        worker.attempt(*worker.corpus.mutant(key), f"engine mutate, seed {key}")


def split(data: bytes, names: list[str]) -> tuple[str, bytes]:
    """libFuzzer knows one string of bytes: the first says which file it is."""
    return names[data[0] % len(names) if data else 0], data[1:]


def by_atheris(worker: Worker, numbers: range, seed: int) -> None:
    """Half of the mutations are libFuzzer's, half those of `fuzz_mutate`."""
    names, corpus = worker.corpus.names, worker.folder / "corpus"
    if not corpus.exists():
        corpus.mkdir()
        for i, name in enumerate(names):
            for j, content in enumerate(worker.corpus.valid[name]):
                (corpus / f"valid-{i}-{j}").write_bytes(bytes([i]) + content)

    def mutator(data: bytes, most: int, number: int) -> bytes:
        rng = Random(number)
        if rng.random() < 0.5 or not data:
            return atheris.Mutate(data, most)
        name, content = split(data, names)
        return (data[:1] + worker.corpus.mutated(rng, name, content))[:most]

    longest = max(len(content) for contents in worker.corpus.valid.values() for content in contents)
    options = [f"-runs={len(numbers)}", f"-seed={seed + numbers.start + 1}", f"-max_len={longest + 4096}"]
    options += [
        "-timeout=60",
        "-rss_limit_mb=0",
        f"-artifact_prefix={worker.folder}/",
        "-print_final_stats=0",
        "-verbosity=0",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)],
        lambda data: worker.attempt(*split(data, names), "engine coverage (atheris)"),
        custom_mutator=mutator,
    )
    atheris.Fuzz()  # ends the process


def lines_of(work: Callable[[], None], package: str) -> set[tuple[str, int]]:
    """The lines of minitx that are reached."""
    seen: set[tuple[str, int]] = set()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(package) else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return seen


def by_lines(worker: Worker, numbers: range, seed: int) -> None:
    """Without atheris: a corpus of mutants that reached a line which none before them did."""
    corpus = [(name, content) for name in worker.corpus.names for content in worker.corpus.valid[name]]
    package = str(Path(importlib.import_module("minitx").__file__).parent)
    known: set[tuple[str, int]] = set()
    for number in numbers:
        rng = Random(f"{seed} {worker.name} lines {number}")
        name, content = rng.choice(corpus)
        content = worker.corpus.mutated(rng, name, content)
        reached = lines_of(lambda: worker.attempt(name, content, "engine coverage (lines)"), package)  # noqa: B023
        if reached - known and len(content) < 1 << 16:
            known |= reached
            corpus.append((name, content))


def main() -> None:
    _, engine, reader, folder, first, last, seed = sys.argv
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # the parent asks where a hang is that the alarm does not end
    worker = Worker(reader, Path(folder))
    run = by_mutation if engine == "mutate" else by_atheris if atheris else by_lines
    run(worker, range(int(first), int(last)), int(seed))


if __name__ == "__main__":
    main()
