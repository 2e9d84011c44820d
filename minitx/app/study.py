"""Is one way of training better than another? The same seeds for every arm, paired differences, intervals.

    study = Study({"everything": Experiment(), "small": Experiment(hidden_size=64)}, seeds=(0, 1, 2))
    result = study.run()
    print(result)
    result.write(Path("runs"), "width")        # width.json, width.png

A seed decides the split, the order of the rows and the random weights, so two arms with the same seed differ only in
what is being compared. What the seed does to both cancels in their difference, whose interval is much narrower than
those of the arms. A difference whose interval contains 0 gets no verdict, unless a `margin` was named within which two
arms count as equal: then "equal" is a verdict, too. Neither is corrected for the number of comparisons.
"""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from minitx.app.experiment import run
from minitx.app.plots import interval_picture
from minitx.app.settings import Experiment
from minitx.errors import InputError, expect
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import Interval, equivalence_p, mean_interval
from minitx.system import Bar
from minitx.writing import write_json

# What a run of one arm with one seed gives: one number, named numbers, or a report for each head.
Outcome = float | Mapping[str, float] | Mapping[str, Report]
Arm = Experiment | Callable[[int], Outcome]
THE_ARM = "this model"  # what `Report.contenders` calls it


@dataclass(frozen=True)
class Study:
    """Arms to compare over the same seeds; the first is the one that the others are compared with.

    Args:
        arms: name -> an Experiment, whose own seed is replaced, or a function of the seed. A function of several
            outcomes returns `{"name": number}`, or the reports that `experiment.run` returns.
        seeds: at least two, each once.
        margin: two arms that differ by less count as equal, on every metric; 0 if none do.

    Raises:
        InputError: arms or seeds that are none, fewer than two of them, a seed twice, or a margin that is negative or
            not finite.
    """

    arms: Mapping[str, Arm]
    seeds: Sequence[int] = (0, 1, 2)
    margin: float = 0.0

    def __post_init__(self) -> None:
        for arm in expect(self.arms, Mapping, "arms by name, as {'small': Experiment(hidden_size=64)}").values():
            if not isinstance(arm, Experiment) and not callable(arm):
                raise InputError(f"an arm is {arm!r:.60}; expected an Experiment, or a function of a seed")
        if len(self.arms) < 2:
            raise InputError(f"a study compares at least 2 arms, not {len(self.arms)}")
        if not isinstance(self.seeds, Collection) or len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds {self.seeds}: expected at least 2 in a tuple, each once, as an interval needs")
        if not 0 <= self.margin < math.inf:
            raise InputError(f"margin is {self.margin}; accepted is a number of at least 0")

    def run(self, progress: bool = True) -> "StudyResult":
        """Run every arm with every seed, all arms of a seed before the next seed.

        `InputError` if two runs measured different things.
        """
        measured: dict[str, dict[str, list[dict[str, float]]]] = {}  # contender -> arm -> figures of each seed
        with Bar(list(product(self.seeds, self.arms)), unit=" runs", disable=not progress) as bar:
            for seed, name in bar:
                bar.set_postfix_str(f"{name}, seed {seed}")
                for contender, figures in _measure(self.arms[name], seed).items():
                    measured.setdefault(contender, {}).setdefault(name, []).append(figures)
        return StudyResult(_rows(measured), list(self.arms), list(self.seeds), self.margin)


@dataclass(frozen=True)
class StudyResult:
    """What was measured: rows are the arms and then their baselines, which take no part in the comparison."""

    values: dict[str, dict[str, np.ndarray]]  # arm or baseline -> metric -> (n,), one for each seed
    arms: list[str]
    seeds: list[int]
    margin: float = 0.0

    @property
    def metrics(self) -> list[str]:
        """What was measured of each arm."""
        return list(self.values[self.arms[0]])

    def mean(self, row: str, metric: str) -> Interval:
        """Mean and 95 % interval of an arm or baseline over the seeds."""
        return mean_interval(self.values[row][metric])

    def difference(self, arm: str, metric: str, than: str | None = None) -> Interval:
        """Mean and 95 % interval of `arm` minus `than` (by default the first arm), seed by seed."""
        return mean_interval(self._pairs(arm, metric, than))

    def _pairs(self, arm: str, metric: str, than: str | None = None) -> np.ndarray:
        return self.values[arm][metric] - self.values[than or self.arms[0]][metric]

    def verdict(self, arm: str, metric: str) -> str:
        """Of an arm beside the first: "higher", "lower", "equal within 0.02" if a margin was named, or "no verdict"."""
        found = self.difference(arm, metric).verdict
        equal = self.margin and equivalence_p(self._pairs(arm, metric), self.margin) < 0.05
        return f"equal within {self.margin:g}" if equal and found == "no verdict" else found

    def reading(self) -> list[str]:
        """One sentence for each metric and each arm but the first."""
        lines = []
        for metric, arm in product(self.metrics, self.arms[1:]):
            d = self.difference(arm, metric)
            found = f"{d.mean:+.3f} (95 % interval {d.low:+.3f} to {d.high:+.3f}, n = {d.n})"
            verdict = self.verdict(arm, metric)
            pair = f"{arm} is {verdict} than {self.arms[0]}"
            if verdict.startswith("equal"):
                pair = f"{arm} and {self.arms[0]} are {verdict}"
            if verdict == "no verdict":
                pair = f"no verdict, {arm} or {self.arms[0]}"
            lines.append(f"{metric}: {pair}: {found}")
        return lines

    def __str__(self) -> str:
        means = {row: {m: self.mean(row, m) for m in measured} for row, measured in self.values.items()}
        cells = {row: {m: f"{i.mean:.3f} ± {i.high - i.mean:.3f}" for m, i in by.items()} for row, by in means.items()}
        lines = [f"mean ± half of the 95 % interval, seeds {', '.join(map(str, self.seeds))}", ""]
        lines += [pd.DataFrame(cells, index=self.metrics).T.fillna("").to_string(), "", *self.reading()]
        comparisons = len(self.metrics) * (len(self.arms) - 1)
        if comparisons > 1:
            lines.append(f"({comparisons} comparisons: even if nothing truly differs, 1 in 20 gets a verdict)")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Every value, interval and difference, as plain JSON types."""
        return {
            "seeds": self.seeds,
            "values": {row: {m: x.tolist() for m, x in measured.items()} for row, measured in self.values.items()},
            "means": {row: {m: self.mean(row, m)._asdict() for m in measured} for row, measured in self.values.items()},
            f"differences from {self.arms[0]}": {
                arm: {m: {**self.difference(arm, m)._asdict(), "verdict": self.verdict(arm, m)} for m in self.metrics}
                for arm in self.arms[1:]
            },
            "reading": self.reading(),
        }

    def write(self, directory: Path, name: str) -> None:
        """NAME.json and NAME.png in `directory`, which is made if need be; files of these names are replaced."""
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / f"{name}.json", self.to_dict())
        title = f"{name}: mean and 95 % interval, a dot for each of the seeds {', '.join(map(str, self.seeds))}"
        interval_picture(self.values, self.arms, directory / f"{name}.png", title)


def compare(a: Arm, b: Arm, seeds: Sequence[int] = (0, 1, 2), progress: bool = True) -> StudyResult:
    """A study of two arms, "a" and "b": is b better than a?

    >>> result = compare(lambda seed: 0.80 + 0.01 * seed, lambda seed: 0.83 + 0.012 * seed, progress=False)
    >>> result.reading()
    ['score: b is higher than a: +0.032 (95 % interval +0.027 to +0.037, n = 3)']
    """
    return Study({"a": a, "b": b}, seeds).run(progress)


def _measure(arm: Arm, seed: int) -> dict[str, dict[str, float]]:
    """Run an arm: contender -> metric -> value; beside the arm itself, the baselines of its reports, if it has any."""
    start = time.perf_counter()
    if isinstance(arm, Experiment):
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "run"
            outcome: Outcome = run(dataclasses.replace(arm, seed=seed), out, progress=False, log=lambda line: None)
    else:
        outcome = arm(seed)
    seconds = time.perf_counter() - start
    if not isinstance(outcome, Mapping):
        return {THE_ARM: {"score": float(outcome)}}
    figures: dict[str, dict[str, float]] = {THE_ARM: {}}
    for name, value in outcome.items():
        if not isinstance(value, Report):
            figures[THE_ARM][name] = float(value)
            continue
        for contender, scores in value.contenders().items():
            row = figures.setdefault(contender, {})
            row[f"{name} accuracy"], row[f"{name} macro-F1"] = scores["accuracy"], scores["macro-F1"]
    if len(figures) > 1:
        figures[THE_ARM]["seconds"] = seconds
    return figures


def _rows(measured: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> dict[str, dict[str, np.ndarray]]:
    """The rows of a result; a baseline that is the same for all arms, as when they train on the same rows, is one row.

    `InputError` if two arms measured different things, or something that is not finite.
    """
    rows: dict[str, dict[str, np.ndarray]] = {}
    first, *others = measured[THE_ARM].items()
    for arm, figures in others:
        if [list(one) for one in figures] != [list(one) for one in first[1]]:
            raise InputError(f"{arm} measured {', '.join(figures[0])}; {first[0]} measured {', '.join(first[1][0])}")
    for contender, arms in measured.items():
        table = {arm: {m: np.array([one[m] for one in figures]) for m in figures[0]} for arm, figures in arms.items()}
        for arm, row in table.items():
            for metric, values in row.items():
                if not np.isfinite(values).all():
                    raise InputError(f"{arm}: {metric} is {values.tolist()}; only finite numbers can be compared")
        if contender != THE_ARM and all(figures == arms[first[0]] for figures in arms.values()):
            rows[contender] = table[first[0]]
        else:
            rows |= {arm if contender == THE_ARM else f"{contender}, {arm}": row for arm, row in table.items()}
    return rows
