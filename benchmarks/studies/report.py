"""What the studies have found: verdicts, the table of docs/studies.md, and one picture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies.measure import value
from benchmarks.studies.plan import Arm, Question, untestable
from benchmarks.studies.runner import Bench
from minitx.evaluation.statistics import (
    Interval,
    detectable,
    difference_p,
    equivalence_p,
    holm,
    mean_interval,
    seeds_needed,
)
from minitx.writing import write_text

LEVEL = 0.05
BEGIN, END = "<!-- studies: begin -->", "<!-- studies: end -->"
PICTURE = "![A line for each comparison: both intervals, the margin in grey, the verdict](pictures/studies.png)"
COLOURS = {"higher": "#1b7837", "lower": "#b2182b", "equal": "#2166ac", "no verdict": "#7f8c8d", "not run": "#bbbbbb"}
BESIDE = ("sentiment accuracy", "sentiment macro-F1", "engagement AP of high", "sentiment gap", "seconds", "trainable")


@dataclass
class Comparison:
    """An arm beside the one it is compared with, on the study's metric."""

    study: Question
    arm: Arm
    values: np.ndarray  # (n,) paired differences, none before the first look is complete
    overlap: float  # of `evaluation.statistics`
    differs: float = 1.0  # p values, corrected for looks and for the family
    equals: float = 1.0
    level: float = LEVEL  # that a further verdict would need, so corrected

    @property
    def paired(self) -> Interval:
        """95 %, as if test rows were not shared between seeds, and as if it were the only comparison."""
        return mean_interval(self.values)

    @property
    def corrected(self) -> Interval:
        """95 %, for shared test rows."""
        return mean_interval(self.values, self.overlap)

    @property
    def spread(self) -> float:
        """Standard deviation of the paired differences."""
        return float(self.values.std(ddof=1))

    @property
    def word(self) -> str:
        """The verdict in a word."""
        if not len(self.values):
            return "not run"
        if self.differs < LEVEL:
            return "higher" if self.values.mean() > 0 else "lower"
        return "equal" if self.equals < LEVEL else "no verdict"

    @property
    def verdict(self) -> str:
        """The verdict in words, and without one how many seeds would give one."""
        margin = plain(self.study.metric, self.study.margin)
        if self.word in ("higher", "lower"):
            return f"**{self.word}**" + f", by less than {margin}" * (self.equals < LEVEL)
        if self.word == "equal":
            return f"**equal** within {margin}"
        if self.word == "not run":
            return "not run yet"
        needed = seeds_needed(self.paired.mean, self.spread, self.study.margin, self.overlap, self.level)
        would = (
            f"about {needed} seeds would give one" if needed else "no number of seeds gives one: more test rows would"
        )
        return f"no verdict ({would})"

    @property
    def smallest(self) -> float:
        """The smallest effect that so many seeds detect in 80 of 100 studies."""
        return detectable(self.spread, len(self.values), self.overlap, self.level)


def comparisons(bench: Bench, chosen: Mapping[str, Question]) -> list[Comparison]:
    """All primary comparisons of all studies that can run, in two families: of differences, and of equalities.

    What has not run counts as p = 1, so that a verdict cannot be lost when the rest has run.
    """
    found = []
    for study in chosen.values():
        for arm in study.ways() if not study.waits_for() else []:
            if arm.against:
                values = bench.pairs(study, arm, study.metric, value)
                found.append(Comparison(study, arm, values, overlap_of(bench, arm) if len(values) else 0.0))
    ran = [one if len(one.values) else None for one in found]
    looks = [len(one.study.looks) for one in found]
    differs = [difference_p(one.values, one.overlap) if one else 1.0 for one in ran]
    equals = [equivalence_p(one.values, one.study.margin, one.overlap) if one else 1.0 for one in ran]
    p, q = (holm(np.minimum(1, np.array(family) * looks)) for family in (differs, equals))
    for one, number, x, y in zip(found, looks, p, q, strict=True):
        one.differs, one.equals = float(x), float(y)
        one.level = LEVEL / number / max(1, np.count_nonzero(p >= LEVEL))
    return found


def overlap_of(bench: Bench, arm: Arm) -> float:
    """q / (1 - q), q the share of all rows that a test split holds."""
    one: Any = bench.found(bench.seeds(arm, 1)[0])
    share = one["rows"][2] / one["kept rows"]
    return float(share / (1 - share))


def unsettled(bench: Bench, chosen: Mapping[str, Question], study: Question) -> set[str]:
    """Arms of a study without a verdict, and those that they are compared with."""
    open_ = [one for one in comparisons(bench, chosen) if one.study is study and one.word in ("no verdict", "not run")]
    return {one.arm.name for one in open_} | {one.arm.against for one in open_}


# --- the page --------------------------------------------------------------------------------------------------------


def plain(metric: str, number: float) -> str:
    """A margin: points of a share as 0.020, steps as 5."""
    return f"{number:g}" if " steps to " in metric else f"{number:.3f}"


def signed(metric: str, number: float) -> str:
    """A difference, likewise."""
    return f"{number:+.1f}" if " steps to " in metric or metric == "seconds" else f"{number:+.3f}"


def span(metric: str, interval: Interval) -> str:
    """Both ends."""
    return f"{signed(metric, interval.low)} to {signed(metric, interval.high)}"


def page(bench: Bench, chosen: Mapping[str, Question]) -> str:
    """The generated part of docs/studies.md."""
    found = comparisons(bench, chosen)
    words = [one.word for one in found]
    count = ", ".join(f"{words.count(word)} {word}" for word in COLOURS if word in words)
    lines = [f"{len(found)} comparisons in {len(chosen)} studies: {count}.", ""]
    lines += [PICTURE, ""] if any(len(one.values) for one in found) else []
    for study in chosen.values():
        lines += section(bench, study, [one for one in found if one.study is study])
    lines += ["### What no run can test here", "", "| claim | from | why not |", "|---|---|---|"]
    lines += [f"| {row['says']} | {row['source']} | {row['reason']} |" for row in untestable()]
    return "\n".join(lines)


def section(bench: Bench, study: Question, found: list[Comparison]) -> list[str]:
    """A study: claims, comparisons, what else was measured, the command."""
    lines = [f"### {study.name}: {study.question}", "", *(f"- {claim}" for claim in study.claims), ""]
    looks, rows = " and then ".join(map(str, study.looks)), study.settings.get("train_rows", 0)
    decided = f"decided by {study.metric}, margin {plain(study.metric, study.margin)}"
    command = f"`python -m benchmarks.studies {study.name} --data reviews.csv`"
    lines += [
        f"{command}: {looks} seeds, {f'{rows:,}' if rows else 'all'} training rows, {decided}. {study.note}".strip()
    ]
    lines += [""]
    if waits := study.waits_for():
        return [*lines, f"Not run yet: it waits for {waits}.", ""]
    lines += [
        "| arm | compared with | n | difference | 95 %, paired | 95 %, test rows shared | p differs, equals | "
        "detects | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(one) for one in found]
    return [*lines, "", *means(bench, study)]


def row(one: Comparison) -> str:
    """A line of the table."""
    metric, cells = one.study.metric, [one.arm.name, one.arm.against]
    if len(one.values):
        cells += [str(len(one.values)), signed(metric, one.paired.mean), span(metric, one.paired)]
        cells += [span(metric, one.corrected), f"{one.differs:.2g}, {one.equals:.2g}", plain(metric, one.smallest)]
    else:
        cells += ["", "", "", "", "", ""]
    return f"| {' | '.join([*cells, one.verdict])} |"


def means(bench: Bench, study: Question) -> list[str]:
    """Mean and 95 % interval of every arm, of the metric and of others that get no verdict; what was chosen."""
    lines: list[str] = []
    chosen: list[str] = []
    for arm in study.ways():
        for look in reversed(study.looks):
            runs = [one for run in bench.seeds(arm, look) if (one := bench.found(run))]
            if len(runs) == look:
                break
        else:
            continue
        if not lines:
            names = [name for name in dict.fromkeys((study.metric, *BESIDE)) if " steps " in name or name in runs[0]]
            lines = [f"| arm | n | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
        cells = [mean_interval([value(one, name) for one in runs]) for name in names]
        told = [
            f"{c.mean:.1f} ± {c.high - c.mean:.1f}" if c.mean > 2 else f"{c.mean:.3f} ± {c.high - c.mean:.3f}"
            for c in cells
        ]
        lines.append(f"| {arm.name} | {len(runs)} | {' | '.join(told)} |")
        if arm.tune:
            chosen.append(f"{arm.name}: {', '.join(f'{k} = {v}' for k, v in (bench.chosen(arm) or {}).items())}")
    if chosen:
        lines += ["", f"Chosen on the validation rows of other seeds: {'; '.join(chosen)}."]
    return [*lines, ""] if lines else []


def write(bench: Bench, chosen: Mapping[str, Question], docs: Path) -> None:
    """Put the generated part between the two markers of docs/studies.md, and the picture into docs/pictures."""
    path = docs / "studies.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(path, f"{before}{BEGIN}\n{page(bench, chosen)}\n{END}{after}")
    if found := [one for one in comparisons(bench, chosen) if len(one.values)]:
        forest(found, docs / "pictures" / "studies.png")


# --- the picture -----------------------------------------------------------------------------------------------------


def forest(found: list[Comparison], path: Path) -> None:
    """A line for each comparison, in a panel for each unit: both intervals, margin, verdict as colour and word."""
    panels = [
        [one for one in found if " steps to " not in one.study.metric],
        [one for one in found if " steps to " in one.study.metric],
    ]
    panels = [panel for panel in panels if panel]
    heights = [len(panel) + 1.5 for panel in panels]
    figure = Figure(figsize=(13, 1.2 + 0.27 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, one in zip(panels, axes, strict=True):
        draw_panel(one, panel)
    figure.suptitle(
        "Difference from the arm it is compared with. Thick: 95 %, paired by seed; thin: corrected for shared\n"
        "test rows (Nadeau & Bengio); grey: margin within which two ways count as equal; verdicts after Holm's method",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)


def draw_panel(axes: Axes, panel: list[Comparison]) -> None:
    """The comparisons of one unit."""
    ends = [abs(end) for one in panel for end in (one.paired.low, one.paired.high)]
    most = max(1.15 * float(np.quantile(ends, 0.9)), 2 * max(one.study.margin for one in panel))
    for y, one in enumerate(panel):
        colour = COLOURS[one.word]
        axes.fill_betweenx([y - 0.45, y + 0.45], -one.study.margin, one.study.margin, color="#e5e5e5", linewidth=0)
        axes.plot([one.corrected.low, one.corrected.high], [y, y], color=colour, linewidth=1)
        axes.plot(
            [one.paired.low, one.paired.high], [y, y], color=colour, linewidth=4, alpha=0.7, solid_capstyle="butt"
        )
        axes.plot(np.clip(one.paired.mean, -most, most), y, "o", color=colour, markersize=4)
        axes.text(1.01, y, one.word, color=colour, fontsize=7, va="center", transform=axes.get_yaxis_transform())
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{one.study.name}: {one.arm.name} − {one.arm.against} (n = {len(one.values)})" for one in panel]
    axes.set_yticks(range(len(panel)), names, fontsize=7)
    axes.set(xlim=(-most, most), ylim=(len(panel) - 0.5, -0.5))
    units = sorted({one.study.metric for one in panel})
    axes.set_xlabel(", ".join(units), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)


def hours(seconds: float) -> str:
    """Hours and minutes."""
    return f"{math.floor(seconds / 3600)} h {math.floor(seconds % 3600 / 60):02d} min"
