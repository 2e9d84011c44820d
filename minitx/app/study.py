"""Is one way of training better than another? The same seeds for every arm, paired differences, intervals.

    study = Study({"everything": Experiment(), "small": Experiment(hidden_size=64)}, seeds=(0, 1, 2))
    result = study.run()
    print(result)
    result.write(Path("runs"), "width")        # width.json, width.png

A seed decides the split, the order of the rows and the random weights, so two arms with one seed differ in nothing but
what makes them two. What the seed does to both cancels in their difference, whose interval is then much narrower than
those of the arms. A difference whose interval holds 0 gets no verdict.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minitx.app.experiment import Experiment, run
from minitx.app.plots import interval_picture
from minitx.errors import InputError
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import Interval, mean_interval
from minitx.system import write_json

# What a run of one arm with one seed gives: one number, named numbers, or a report for each head.
Outcome = float | Mapping[str, float] | Mapping[str, Report]
Arm = Experiment | Callable[[int], Outcome]


@dataclass(frozen=True)
class Study:
    """Arms to compare over the same seeds; the first is the one that the others are compared with.

    Args:
        arms: name -> an Experiment, whose own seed is replaced, or a function of the seed. A function of several
            outcomes returns `{"name": number}`, or the reports that `experiment.run` returns.
        seeds: at least two, each once.

    Raises:
        InputError: fewer than two arms or seeds, or a seed twice.
    """

    arms: Mapping[str, Arm]
    seeds: Sequence[int] = (0, 1, 2)

    def __post_init__(self) -> None:
        if len(self.arms) < 2:
            raise InputError(f"a study compares at least 2 arms, not {len(self.arms)}")
        if len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds {tuple(self.seeds)}: an interval needs at least 2, each of them once")

    def run(self, progress: bool = True) -> "StudyResult":
        """Run every arm with every seed, all arms of a seed before the next seed.

        `InputError` if two runs measured different things.
        """
        values: dict[str, list[dict[str, float]]] = {}
        with tqdm(total=len(self.arms) * len(self.seeds), unit=" runs", disable=not progress) as bar:
            for seed in self.seeds:
                for name, arm in self.arms.items():
                    bar.set_postfix_str(f"{name}, seed {seed}")
                    start = time.perf_counter()
                    outcome = _run(arm, seed)
                    for row, measured in _measured(outcome, name, time.perf_counter() - start).items():
                        values.setdefault(row, []).append(measured)
                    bar.update()
        return StudyResult.of(values, list(self.arms), list(self.seeds))


@dataclass(frozen=True)
class StudyResult:
    """What was measured: rows are the arms and then their baselines, which take no part in the comparison."""

    values: dict[str, dict[str, np.ndarray]]  # arm or baseline -> metric -> (n,), one for each seed
    arms: list[str]
    seeds: list[int]

    @classmethod
    def of(
        cls, values: Mapping[str, Sequence[Mapping[str, float]]], arms: list[str], seeds: list[int]
    ) -> "StudyResult":
        """From one dict of metrics for each row and seed; a baseline equal to one before it is left out."""
        metrics = list(values[arms[0]][0])
        rows: dict[str, dict[str, np.ndarray]] = {}
        for name in [*arms, *(name for name in values if name not in arms)]:
            measured = values[name]
            if name in arms and any(list(one) != metrics for one in measured):
                raise InputError(f"{name} measured {', '.join(measured[0])}; {arms[0]} measured {', '.join(metrics)}")
            row = {metric: np.array([one[metric] for one in measured]) for metric in measured[0]}
            for metric, numbers in row.items():
                if not np.isfinite(numbers).all():
                    raise InputError(f"{name}: {metric} is {numbers.tolist()}; only finite numbers can be compared")
            baselines = [other for label, other in rows.items() if label not in arms]
            if name in arms or not any(_same(row, other) for other in baselines):
                rows[name] = row
        return cls(_short_names(rows, arms), arms, seeds)

    @property
    def metrics(self) -> list[str]:
        """What was measured of each arm."""
        return list(self.values[self.arms[0]])

    def mean(self, row: str, metric: str) -> Interval:
        """Mean and 95 % interval of an arm or baseline over the seeds."""
        return mean_interval(self.values[row][metric])

    def difference(self, arm: str, metric: str, than: str | None = None) -> Interval:
        """Mean and 95 % interval of `arm` minus `than` (by default the first arm), seed by seed."""
        return mean_interval(self.values[arm][metric] - self.values[than or self.arms[0]][metric])

    def reading(self) -> list[str]:
        """One sentence for each metric and each arm but the first."""
        lines = []
        for metric in self.metrics:
            for arm in self.arms[1:]:
                d = self.difference(arm, metric)
                found = f"{d.mean:+.3f} (95 % interval {d.low:+.3f} to {d.high:+.3f}, n = {d.n})"
                told = d.verdict != "no verdict"
                pair = f"{arm} is {d.verdict} than {self.arms[0]}" if told else f"no verdict, {arm} or {self.arms[0]}"
                lines.append(f"{metric}: {pair}: {found}")
        return lines

    def __str__(self) -> str:
        width = max(len(name) for name in self.values)
        columns = {metric: max(len(metric), 15) for metric in self.metrics}
        lines = [f"mean ± half of the 95 % interval, seeds {', '.join(map(str, self.seeds))}", ""]
        lines.append(f"{'':{width}}" + "".join(f"  {metric:>{columns[metric]}}" for metric in self.metrics))
        for name, row in self.values.items():
            cells = (self._cell(name, metric) if metric in row else "" for metric in self.metrics)
            lines.append(
                f"{name:{width}}" + "".join(f"  {c:>{w}}" for c, w in zip(cells, columns.values(), strict=True))
            )
        count = len(self.metrics) * (len(self.arms) - 1)
        lines += ["", *self.reading()]
        if count > 1:
            lines.append(f"({count} comparisons: where nothing truly differs, 1 in 20 gets a verdict all the same)")
        return "\n".join(lines)

    def _cell(self, name: str, metric: str) -> str:
        mean = self.mean(name, metric)
        return f"{mean.mean:.3f} ± {mean.high - mean.mean:.3f}"

    def to_dict(self) -> dict[str, object]:
        """Every value, interval and difference, as plain JSON types."""
        means = {row: {m: self.mean(row, m)._asdict() for m in measured} for row, measured in self.values.items()}
        differences = {
            arm: {m: {**(d := self.difference(arm, m))._asdict(), "verdict": d.verdict} for m in self.metrics}
            for arm in self.arms[1:]
        }
        return {
            "seeds": self.seeds,
            "values": {row: {m: x.tolist() for m, x in measured.items()} for row, measured in self.values.items()},
            "means": means,
            f"differences from {self.arms[0]}": differences,
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


def _run(arm: Arm, seed: int) -> Outcome:
    if not isinstance(arm, Experiment):
        return arm(seed)
    with tempfile.TemporaryDirectory() as directory:
        return run(dataclasses.replace(arm, seed=seed), Path(directory) / "run", progress=False, log=lambda line: None)


def _same(row: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return row.keys() == other.keys() and all(np.array_equal(row[metric], other[metric]) for metric in row)


def _short_names(rows: dict[str, dict[str, np.ndarray]], arms: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """A baseline that all arms share, since they have the same rows, needs no arm in its name."""
    kinds = {name: name.rpartition(", ")[0] for name in rows if name not in arms}
    shared = {name: kind for name, kind in kinds.items() if list(kinds.values()).count(kind) == 1}
    return {shared.get(name, name): row for name, row in rows.items()}


def _measured(outcome: Outcome, arm: str, seconds: float) -> dict[str, dict[str, float]]:
    """Row of the table -> metric -> value: the arm, and for reports the baselines, which are as good as an arm."""
    if not isinstance(outcome, Mapping):
        return {arm: {"score": float(outcome)}}
    rows: dict[str, dict[str, float]] = {arm: {}}
    for key, value in outcome.items():
        if not isinstance(value, Report):
            rows[arm][key] = float(value)
            continue
        for contender, figures in value.contenders().items():
            row = rows.setdefault(arm if contender == "this model" else f"{contender}, {arm}", {})
            row[f"{key} accuracy"], row[f"{key} macro-F1"] = figures["accuracy"], figures["macro-F1"]
    if any(isinstance(value, Report) for value in outcome.values()):
        rows[arm]["seconds"] = seconds
    return rows
