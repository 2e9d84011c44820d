"""Runs what is missing: from the top of the ranking down, resumable, in one process or in several."""

import itertools
import multiprocessing
import os
import platform
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.studies.plan import TUNING, Arm, Question, Run
from benchmarks.studies.store import Store, differences
from minitx.app.prepare import read_parts
from minitx.app.settings import Experiment
from minitx.system import Bar

Measure = Callable[[Run], dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """Where results are, which data and which code they are of."""

    store: Store
    data: str | None
    print: str  # of the data
    code: str

    def found(self, run: Run) -> dict[str, Any] | None:
        """The figures of a run, if they are known."""
        return self.store.get(run.key(self.print), self.code)

    def tuning(self, arm: Arm) -> list[Run]:
        """The runs that choose an arm's values."""
        ways = arm.candidates()
        return [arm.run(self.data, seed, way) for seed in TUNING for way in ways] if len(ways) > 1 else []

    def chosen(self, arm: Arm) -> dict[str, Any] | None:
        """The values with the best mean validation score, the first of equals; None before they are known."""
        ways = arm.candidates()
        if len(ways) == 1:
            return ways[0]
        found = [[self.found(arm.run(self.data, seed, way)) for seed in TUNING] for way in ways]
        if any(one is None for row in found for one in row):
            return None
        scores = [np.mean([one["validation score"] for one in row if one]) for row in found]
        return ways[int(np.argmax(scores))]

    def seeds(self, arm: Arm, number: int) -> list[Run]:
        """The runs of an arm with seeds 0, 1, ...; none before its values are chosen."""
        chosen = self.chosen(arm)
        return [] if chosen is None else [arm.run(self.data, seed, chosen) for seed in range(number)]

    def pairs(self, study: Question, arm: Arm, read: Callable[[dict[str, Any], str], float]) -> list[np.ndarray]:
        """Arm minus the arm it is compared with, (n,) for every look that both have reached."""
        other, pairs = next(way for way in study.ways() if way.name == arm.against), []
        for look in study.looks:
            found = [[self.found(run) for run in self.seeds(way, look)] for way in (arm, other)]
            if all(len(row) == look and None not in row for row in found):
                ours, theirs = ([read(one, study.metric) for one in row if one] for row in found)
                pairs.append(np.array(ours) - np.array(theirs))
        return pairs


def stages(bench: Bench, study: Question, number: int, names: set[str] | None = None) -> Iterator[list[Run]]:
    """What is missing of a study up to so many seeds: first what chooses values, then all arms of a seed together."""
    arms = [arm for arm in study.ways() if names is None or arm.name in names]
    yield [run for run in unique(run for arm in arms for run in bench.tuning(arm)) if not bench.found(run)]
    rows = itertools.zip_longest(*(bench.seeds(arm, number) for arm in arms))
    yield [run for run in unique(run for row in rows for run in row if run) if not bench.found(run)]


def unique(runs: Iterable[Run]) -> list[Run]:
    """Each once: two arms may be the same training."""
    return list({repr(run): run for run in runs}.values())


def missing(
    bench: Bench, study: Question, number: int, names: set[str] | None = None, counted: set[str] | None = None
) -> tuple[int, float]:
    """How many runs are missing, and about how many seconds of one core they take; of `counted` each counts once."""
    runs: list[Run] = []
    for arm in study.ways():
        if names is None or arm.name in names:
            chosen = bench.chosen(arm) or arm.candidates()[0]
            runs += [*bench.tuning(arm), *(arm.run(bench.data, seed, chosen) for seed in range(number))]
    open_ = {run.key(bench.print): run for run in runs if not bench.found(run)}
    for key in counted or ():
        open_.pop(key, None)
    if counted is not None:
        counted.update(open_)
    return len(open_), sum(estimate(run, bench) for run in open_.values())


def go(
    bench: Bench, study: Question, number: int, jobs: int, bar: Bar, measure: Measure, names: set[str] | None = None
) -> None:
    """Run what is missing of a study."""
    for runs in stages(bench, study, number, names):
        for run, found in spread(runs, jobs, measure):
            line = {"code": bench.code, "data": bench.print, "machine": machine(), **run.told(), "figures": found}
            bench.store.add(study.name, run.key(bench.print), line)
            bar.set_postfix_str(f"{study.name}, {found.get('wall', 0):.0f} s")
            bar.update(1)


def spread(runs: list[Run], jobs: int, measure: Measure) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Runs with what was measured, as they end; in `jobs` processes, each of which stays on a core of its own."""
    if jobs == 1:
        yield from ((run, measure(run)) for run in runs)
        return
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for core in itertools.islice(itertools.cycle(own), jobs):
        cores.put(core)
    waiting, busy = list(runs), dict[Future[dict[str, Any]], Run]()
    with ProcessPoolExecutor(jobs, context, _settle, (cores,)) as pool:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                run = waiting.pop(next_of(waiting, [other.begins_with() for other in busy.values()]))
                busy[pool.submit(measure, run)] = run
            done, _ = wait(busy, return_when=FIRST_COMPLETED)
            for future in done:
                yield busy.pop(future), future.result()


def next_of(waiting: list[Run], begun: list[Experiment | None]) -> int:
    """The first run that does not begin with what another process may be learning at this moment."""
    free = (i for i, run in enumerate(waiting) if (first := run.begins_with()) is None or first not in begun)
    return next(free, 0)


def _settle(cores: Any) -> None:
    """Stay on one core: evaluation would else take all of them in every process."""
    if hasattr(os, "sched_setaffinity"):  # not on Windows and macOS
        os.sched_setaffinity(0, {cores.get()})


def known(bench: Bench, chosen: Mapping[str, Question]) -> dict[str, Run]:
    """Every run that the studies may ask for, by key."""
    runs = (
        arm.run(bench.data, seed, way)
        for study in chosen.values()
        if not study.waits_for()
        for arm in study.ways()
        for way in arm.candidates()
        for seed in (*range(study.looks[-1]), *TUNING)
    )
    return {run.key(bench.print): run for run in runs}


def draw(bench: Bench, number: int, known: Collection[str]) -> list[str]:
    """Keys of some runs that other code measured, at random; of as many different studies as there are."""
    stale = [key for key in bench.store.stale(bench.code) if key in known]
    random.Random(bench.code).shuffle(stale)
    files = [bench.store.file_of[key] for key in stale]
    return [stale[i] for i in sorted(range(len(stale)), key=lambda i: files[:i].count(files[i]))][:number]


def recheck(bench: Bench, keys: list[str], runs: Mapping[str, Run], bar: Bar, measure: Measure) -> list[str]:
    """Run these again with the present code: what differs. If nothing does, all stored runs count as measured by it."""
    differ = []
    for key in keys:
        old, new = bench.store.lines[key]["figures"], measure(runs[key])
        differ += [f"{bench.store.file_of[key].stem} {key}: {one}" for one in differences(old, new)]
        bar.update(1)
    if keys and not differ:
        bench.store.restamp([key for key in bench.store.stale(bench.code) if key in runs], bench.code)
    return differ


# --- what it takes ---------------------------------------------------------------------------------------------------

SHARING = 4  # arms of a seed and an objective, of different sizes, that begin with one pretraining
PER_ROW, PER_TEXT, SCRATCH = 0.018, 0.0035, 0.1  # seconds of one core: MiniLM's training and reading; without it


@cache
def sizes(data: str | None) -> tuple[int, int, int]:
    """Rows of the three parts of the data, of seed 0."""
    parts = read_parts(Experiment(data=data), lambda line: None)[0]
    return len(parts.train), len(parts.validation), len(parts.test)


def estimate(run: Run, bench: Bench) -> float:
    """Seconds: what another seed took, or a guess from the numbers of rows and epochs."""
    if run.first:
        return estimate(Run(run.first), bench) / 2 + estimate(Run(run.experiment), bench)  # two arms share the first
    e, told = run.experiment, {**run.told()["settings"], "seed": 0}
    train, validation, test = sizes(e.data)
    rows = min(e.train_rows or train, train)
    per_row, per_text = (PER_ROW, PER_TEXT) if e.pretrained else (PER_ROW * SCRATCH, PER_TEXT * SCRATCH)
    labels_later = train * e.pretraining_epochs * PER_TEXT / SHARING if e.pretraining else 0.0
    for line in bench.store.lines.values():
        if {**line["settings"], "seed": 0} == told and not line.get("first"):
            alone = float(line["figures"]["seconds"])  # a clock also counts what others do
            return labels_later + alone + per_text * (rows + test)
    frozen, epochs = "backbone" in e.freeze, e.epochs
    passes = per_text * (rows + validation) if frozen else epochs * (rows * per_row + validation * per_text)
    looks = 0 if not run.every else epochs * rows / e.batch_size / run.every * validation * per_text
    return labels_later + passes + looks + per_text * (rows + test)


@cache
def machine() -> str:
    """What may change the last digits."""
    with ThreadPoolExecutor(1) as pool:  # as the trainings have it
        kernels = pool.submit(
            lambda: [f"{one['internal_api']} {one.get('architecture', '')}" for one in threadpool_info()]
        )
    return f"Python {platform.python_version()}, NumPy {np.__version__}, {', '.join(kernels.result())}"
