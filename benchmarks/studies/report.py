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
from benchmarks.studies.power import detectable, holm, seeds_needed
from benchmarks.studies.runner import Bench
from minitx.evaluation.statistics import Interval, difference_p, equivalence_p, mean_interval
from minitx.writing import write_text

LEVEL = 0.05
BEGIN, END = "<!-- studies: begin -->", "<!-- studies: end -->"
PICTURE = "![A line for each comparison: both intervals, the margin in grey, the verdict](pictures/studies.png)"
COLOURS = {"higher": "#d95f02", "lower": "#7570b3", "equal": "#1b7f5c", "no verdict": "#7f8c8d", "not run": "#bbbbbb"}
BESIDE = ("sentiment accuracy", "sentiment macro-F1", "sentiment recall of neutral", "engagement AP of high")
BESIDE += ("sentiment gap", "trainable")


@dataclass
class Comparison:
    """An arm beside the one it is compared with, on the study's metric."""

    study: Question
    arm: Arm
    pairs: list[np.ndarray]  # (n,) paired differences of each look that is complete
    overlap: float  # of `evaluation.statistics`
    differs: float = 1.0  # p values, corrected for looks and for the family: the comparisons of the study
    equals: float = 1.0
    strict: tuple[float, float] = (1.0, 1.0)  # likewise, were all comparisons of all studies one family
    level: float = LEVEL  # that a further verdict of the study would need, so corrected

    @property
    def values(self) -> np.ndarray:
        """(n,) paired differences of the last look; none before the first."""
        return self.pairs[-1] if self.pairs else np.zeros(0)

    def look(self) -> np.ndarray:
        """Of the look that tells most about a difference: a verdict that was given once is not taken back."""
        return min(self.pairs, key=lambda values: difference_p(values, self.overlap))

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
            return "higher" if self.look().mean() > 0 else "lower"
        return "equal" if self.equals < LEVEL else "no verdict"

    @property
    def verdict(self) -> str:
        """The verdict in words, and without one how many seeds would give one."""
        margin = plain(self.study.metric, self.study.margin)
        if self.word in ("higher", "lower"):
            return f"**{self.word}**{self.mark}" + f", by less than {margin}" * (self.equals < LEVEL)
        if self.word == "equal":
            return f"**equal** within {margin}{self.mark}"
        if self.word == "not run":
            return "not run yet"
        needed = seeds_needed(self.paired.mean, self.spread, self.study.margin, self.overlap, self.level)
        would = f"about {needed} seeds would give one" if needed else "no number of seeds: more test rows would"
        next_look = f"; the look at {self.study.looks[len(self.pairs)]} is to come" if self.waits else ""
        return f"no verdict ({would}{next_look})"

    @property
    def waits(self) -> bool:
        """Whether it has no verdict yet, and a further look is planned."""
        return self.word == "no verdict" and len(self.pairs) < len(self.study.looks)

    @property
    def mark(self) -> str:
        """A dagger if its word stands even when all comparisons of all studies are one family."""
        differs, equals = self.strict
        p = {"higher": differs, "lower": differs, "equal": equals}.get(self.word, 1.0)
        return " †" * (p < LEVEL)

    @property
    def smallest(self) -> float:
        """The smallest effect that so many seeds detect in 80 of 100 studies."""
        return detectable(self.spread, len(self.values), self.overlap, self.level)


def comparisons(bench: Bench, chosen: Mapping[str, Question]) -> list[Comparison]:
    """All primary comparisons of all studies that can run; a study has two families, of differences and of equalities.

    What has not run counts as p = 1, so that a verdict cannot be lost when the rest has run.
    """
    found = []
    for study in chosen.values():
        for arm in study.ways() if not study.waits_for() else []:
            if arm.against:
                pairs = bench.pairs(study, arm, value)
                found.append(Comparison(study, arm, pairs, overlap_of(bench, arm) if pairs else 0.0))
    correct(found)
    for one in found:
        one.strict = one.differs, one.equals
    for study in chosen.values():
        correct([one for one in found if one.study is study])
    return found


def correct(family: list[Comparison]) -> None:
    """p values and level of the comparisons of one family: Holm, after as many looks as were planned."""
    looks = np.array([len(one.study.looks) for one in family])
    differs = [min((difference_p(x, one.overlap) for x in one.pairs), default=1.0) for one in family]
    equals = [min((equivalence_p(x, one.study.margin, one.overlap) for x in one.pairs), default=1.0) for one in family]
    p, q = (holm(np.minimum(1, np.array(raw) * looks)) for raw in (differs, equals))
    for one, number, x, y in zip(family, looks, p, q, strict=True):
        one.differs, one.equals = float(x), float(y)
        one.level = LEVEL / float(number) / max(1, np.count_nonzero(p >= LEVEL))


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


def unit(metric: str) -> str:
    """What a metric is counted in."""
    return "steps" if " steps to " in metric else "seconds" if metric == "seconds" else "share"


def plain(metric: str, number: float) -> str:
    """A margin or another size."""
    return f"{number:.3f}" if unit(metric) == "share" else f"{number:.3g} {unit(metric)}"


def signed(metric: str, number: float) -> str:
    """A difference."""
    return f"{number:+.3f}" if unit(metric) == "share" else f"{number:+.1f}"


def span(metric: str, interval: Interval) -> str:
    """Both ends."""
    return f"{signed(metric, interval.low)} to {signed(metric, interval.high)}"


def page(bench: Bench, chosen: Mapping[str, Question]) -> str:
    """The generated part of docs/studies.md."""
    found = comparisons(bench, chosen)
    words = [one.word for one in found]
    count = ", ".join(f"{words.count(word)} {word}" for word in COLOURS if word in words)
    waiting = sum(one.waits for one in found)
    later = f"; for {waiting} of those without a verdict a second look, at more seeds, is to come" * bool(waiting)
    lines = [f"{len(found)} comparisons in {len(chosen)} studies: {count}{later}.", ""]
    lines += [PICTURE, ""] if any(len(one.values) for one in found) else []
    lines += ["| study | asked | found |", "|---|---|---|"]
    for study in chosen.values():
        own = [one for one in found if one.study is study]
        lines.append(f"| [{study.name}](#{anchor(study)}) | {study.question} | {glance(study, own)} |")
    lines.append("")
    for study in chosen.values():
        lines += section(bench, study, [one for one in found if one.study is study])
    lines += ["### What no run can test here", "", "| claim | from | why not |", "|---|---|---|"]
    lines += [f"| {row['says']} | {row['source']} | {row['reason']} |" for row in untestable()]
    return "\n".join(lines)


def anchor(study: Question) -> str:
    """Where the heading of its section is: letters, digits and hyphens, as GitHub makes it."""
    kept = "".join(c for c in f"{study.name}: {study.question}".lower() if c.isalnum() or c in "-_ ")
    return kept.replace(" ", "-")


def glance(study: Question, found: list[Comparison]) -> str:
    """Its verdicts in a few words."""
    if study.waits_for() or all(one.word == "not run" for one in found):
        return "not run yet"
    return "; ".join(f"{one.arm.name}: {one.word}{one.mark}" for one in found)


def section(bench: Bench, study: Question, found: list[Comparison]) -> list[str]:
    """A study: claims, comparisons, what else was measured, the command."""
    lines = [f"### {study.name}: {study.question}", "", *(f"- {claim}" for claim in study.claims), ""]
    looks, rows = " and then ".join(map(str, study.looks)), study.settings.get("train_rows", 0)
    trained = f"{rows:,} training rows" if rows else "all training rows"
    if any(arm.settings.get("train_rows", 0) != rows for arm in study.ways()):
        trained = "as many training rows as an arm says"
    decided = f"decided by {study.metric}, margin {plain(study.metric, study.margin)}"
    command = f"`python -m benchmarks.studies {study.name} --data reviews.csv`"
    lines += [f"{command}: {looks} seeds, {trained}, {decided}. {study.note}".strip()]
    lines += [""]
    if waits := study.waits_for():
        return [*lines, f"Not run yet: it waits for {waits}.", ""]
    lines += [
        "| arm | compared with | n | difference | 95 %, paired | 95 %, test rows shared | p differs, equals | "
        "detects | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(one) for one in found]
    return [*lines, "", *means(bench, study, found)]


def row(one: Comparison) -> str:
    """A line of the table."""
    metric, cells = one.study.metric, [one.arm.name, one.arm.against]
    if len(one.values):
        cells += [str(len(one.values)), signed(metric, one.paired.mean), span(metric, one.paired)]
        cells += [span(metric, one.corrected), f"{one.differs:.2g}, {one.equals:.2g}", plain(metric, one.smallest)]
    else:
        cells += ["", "", "", "", "", ""]
    return f"| {' | '.join([*cells, one.verdict])} |"


def means(bench: Bench, study: Question, found: list[Comparison]) -> list[str]:
    """Mean and 95 % interval of every arm, of the metric and of others that get no verdict; what was chosen.

    Of the seeds that were compared: an arm may have more, for another study.
    """
    lines: list[str] = []
    chosen: list[str] = []
    for arm in study.ways():
        compared = max(len(one.values) for one in found if arm.name in (one.arm.name, one.arm.against))
        for look in (look for look in reversed(study.looks) if look <= compared):
            runs = [one for run in bench.seeds(arm, look) if (one := bench.found(run))]
            if len(runs) == look:
                break
        else:
            continue
        if not lines:
            names = [name for name in dict.fromkeys((study.metric, *BESIDE)) if " steps " in name or name in runs[0]]
            lines = [f"| arm | n | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
        cells = [about(mean_interval([value(one, name) for one in runs])) for name in names]
        lines.append(f"| {arm.name} | {len(runs)} | {' | '.join(cells)} |")
        if arm.tune:
            chosen.append(f"{arm.name}: {', '.join(f'{k} = {v}' for k, v in (bench.chosen(arm) or {}).items())}")
    if chosen:
        lines += ["", f"Chosen on the validation rows of other seeds: {'; '.join(chosen)}."]
    return [*lines, ""] if lines else []


def about(mean: Interval) -> str:
    """A mean and half of its interval; weights are counted, and have none."""
    if mean.mean > 1000:
        return f"{mean.mean:,.0f}"
    digits = 1 if mean.mean > 2 else 3
    return f"{mean.mean:.{digits}f} ± {mean.high - mean.mean:.{digits}f}"


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
    units = dict.fromkeys(unit(one.study.metric) for one in found)
    panels = [[one for one in found if unit(one.study.metric) == of] for of in units]
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
        mean = one.paired.mean
        if abs(mean) < most:
            axes.plot(mean, y, "o", color=colour, markersize=4)
        else:  # beyond the scale: an arrow with the number
            told = f"← {signed(one.study.metric, mean)}" if mean < 0 else f"{signed(one.study.metric, mean)} →"
            side = "left" if mean < 0 else "right"
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(np.sign(mean) * 0.99 * most, y, told, color=colour, fontsize=7, va="center", ha=side, bbox=box)
        word = f"{one.word}{one.mark}"
        axes.text(1.01, y, word, color=colour, fontsize=7, va="center", transform=axes.get_yaxis_transform())
    axes.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{one.study.name}: {one.arm.name} − {one.arm.against} ({_what(one)}n = {len(one.values)})" for one in panel
    ]
    axes.set_yticks(range(len(panel)), names, fontsize=7)
    axes.set(xlim=(-most, most), ylim=(len(panel) - 0.5, -0.5))
    units = sorted({one.study.metric for one in panel})
    axes.set_xlabel(", ".join(units), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)


def _what(one: Comparison) -> str:
    """The figure that decides, unless it is that of most studies."""
    return f"{one.study.metric}, " * (one.study.metric != "sentiment accuracy" and unit(one.study.metric) == "share")


def hours(seconds: float) -> str:
    """Hours and minutes."""
    return f"{math.floor(seconds / 3600)} h {math.floor(seconds % 3600 / 60):02d} min"
