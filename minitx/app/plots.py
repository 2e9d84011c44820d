"""Every picture. Figures are drawn without pyplot, so nothing is global and no window system is needed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minitx.evaluation.calibration import precision_recall_curve, reliability
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import mean_interval, wilson_interval
from minitx.terminal import shown
from minitx.training.epochs import Epoch, best_epoch

TRAIN, VALIDATION, BASELINE = "#7f8c8d", "#1f77b4", "#c0392b"
MOST_CLASSES, MOST_NUMBERED = 60, 20  # in a confusion picture: of more, the most frequent; counts in the cells
MOST_CURVES = 8  # classes whose precision and recall are drawn, the most frequent
MOST_PIXELS = 12_000  # of a side: a picture that would be larger is drawn more coarsely


def words(text: str, most: int = 100) -> str:
    """A text from the data as matplotlib has to have it: in one short line, and no formula between dollar signs."""
    return shown(text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whose memory has a bound."""
    figure.savefig(path, dpi=min(120, MOST_PIXELS / max(figure.get_size_inches())))


def epoch_axis(axes: Axes, epochs: Sequence[Epoch]) -> None:
    """All epochs of a run below the picture, as whole numbers, even if only some are drawn or there is only one."""
    axes.set(xlabel="epoch", xlim=(0.7, len(epochs) + 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def training_curves(epochs: Sequence[Epoch], path: Path, title: str) -> None:
    """One row for each head: loss, accuracy and macro-F1 by epoch, beside what the largest class alone would score."""
    heads, best = epochs[0].validation, best_epoch(epochs).number
    figure = Figure(figsize=(12, 3.2 * len(heads) + 0.6), layout="constrained")
    figure.suptitle(words(title))
    for (head, first), panels in zip(heads.items(), figure.subplots(len(heads), 3, squeeze=False), strict=True):
        baselines = {"loss": None, "accuracy": first.majority, "macro_f1": first.majority_macro_f1}
        for axes, (metric, baseline) in zip(panels, baselines.items(), strict=True):
            for part, colour in (("train", TRAIN), ("validation", VALIDATION)):
                values = [getattr(getattr(epoch, part)[head], metric) for epoch in epochs]
                axes.plot([epoch.number for epoch in epochs], values, "o-", color=colour, markersize=3, label=part)
            if baseline is not None:
                axes.axhline(baseline, color=BASELINE, linestyle="--", label="always the largest class")
                axes.set_ylim(0, 1)
            axes.axvline(best, color="black", linewidth=0.8, linestyle=":", label=f"kept: epoch {best}")
            axes.set_title(f"{head}: {metric.replace('macro_f1', 'macro-F1')}", fontsize=10)
            epoch_axis(axes, epochs)
            axes.grid(alpha=0.25)
        panels[1].legend(fontsize=8, loc="lower right")
    save(figure, path)


def confusion_picture(report: Report, path: Path, title: str) -> None:
    """The confusion matrix: counts as text, each row coloured by the share of its true class.

    Without the counts above 20 classes, and of more than 60 the most frequent, which the title then says.
    """
    kept = np.sort(np.argsort(-report.support, kind="stable")[:MOST_CLASSES])
    counts, names = report.confusion[np.ix_(kept, kept)], [words(report.classes[i], 30) for i in kept]
    shares = counts / np.maximum(report.support[kept, None], 1)
    numbered = len(kept) <= MOST_NUMBERED
    size = 1.1 * len(kept) + 2.2 if numbered else 0.3 * len(kept) + 4
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts if numbered else counts[:0]):
        colour = "white" if shares[i, j] > 0.6 else "black"
        axes.text(j, i, f"{count}\n{shares[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(names)), names, rotation=30 if numbered else 90, ha="right" if numbered else "center")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    part = f"; the {len(kept)} most frequent of {len(report.classes)} classes" * (len(kept) < len(report.classes))
    figures = f"accuracy {report.accuracy:.3f}, macro-F1 {report.macro_f1:.3f}{part}"
    axes.set_title(f"{words(title)}\n{figures}", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    save(figure, path)


def calibration_picture(target: np.ndarray, probabilities: np.ndarray, report: Report, path: Path, title: str) -> None:
    """How often a head is right beside how sure it is, and precision and recall of each class at every threshold.

    `target` (N,) and `probabilities` (N, C) are those of the `report`; rows without a label are left out.
    """
    target, probabilities = target[target >= 0], probabilities[target >= 0]
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    figure.suptitle(words(title))
    left, right = figure.subplots(1, 2)
    rows, confidence, accuracy = reliability(target, probabilities).T
    left.plot([0, 1], [0, 1], "--", color=BASELINE, label="as often right as it says")
    ends = [wilson_interval(round(n * share), round(n)) for n, share in zip(rows, accuracy, strict=True)]
    left.vlines(
        confidence, *np.reshape(ends, (-1, 2)).T, color=VALIDATION, linewidth=1, alpha=0.7, label="95 % interval"
    )
    areas = 12 + 400 * rows / rows.sum()
    left.scatter(confidence, accuracy, areas, color=VALIDATION, alpha=0.7, clip_on=False, label="area: share of rows")
    left.set(xlabel="probability of the most probable class", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    error = f"calibration error {report.calibration_error:.3f} (on average {report.error_by_luck:.3f} if exactly right)"
    left.set_title(f"{error}, Brier score {report.brier:.3f}", fontsize=9)
    shown = np.sort(np.argsort(-report.support, kind="stable")[:MOST_CURVES])
    for c in shown[report.support[shown] > 0]:
        precision, recall = precision_recall_curve(target == c, probabilities[:, c])
        share, area = report.support[c] / report.rows, report.average_precision[c]
        name = words(report.classes[c], 30)
        steps = np.append(0, recall), np.append(precision[:1], precision)
        right.plot(*steps, drawstyle="steps-pre", label=f"{name}: {area:.2f} (guessing {share:.2f})")
    right.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    right.set_title("precision and recall as the threshold falls; in the key, average precision", fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, loc="best", markerscale=0.4)
    save(figure, path)


def interval_picture(rows: Mapping[str, Mapping[str, np.ndarray]], arms: Sequence[str], path: Path, title: str) -> None:
    """One panel for each metric: a line for each row, with a dot for each value, their mean and its 95 % interval.

    `rows` maps a name to metric -> (n,); those that are not `arms` are baselines, in another colour and shape.
    """
    metrics = list(rows[arms[0]])
    columns, lines = min(3, len(metrics)), math.ceil(len(metrics) / 3)
    figure = Figure(figsize=(1.8 + 3.6 * columns, 1.1 + lines * (0.9 + 0.34 * len(rows))), layout="constrained")
    figure.suptitle(words(title), fontsize=11)
    for number, metric in enumerate(metrics):
        axes = figure.add_subplot(lines, columns, number + 1)
        for y, (name, measured) in enumerate(rows.items()):
            if metric in measured:
                colour, marker = (VALIDATION, "o") if name in arms else (BASELINE, "D")
                mean = mean_interval(measured[metric])
                axes.plot([mean.low, mean.high], [y, y], color=colour, linewidth=2, alpha=0.6)
                axes.plot(mean.mean, y, color=colour, marker=marker, markersize=7)
                axes.plot(measured[metric], np.full(mean.n, y + 0.22), ".", color=TRAIN, markersize=5)
        axes.set_yticks(range(len(rows)), [words(row) for row in rows] if number % columns == 0 else [""] * len(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(words(metric), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(alpha=0.25)
    save(figure, path)
