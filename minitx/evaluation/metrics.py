"""Accuracy, precision, recall, F1, confusion; and what always predicting the largest class would have scored.

All from one confusion matrix, so they cannot disagree. Figures equal scikit-learn's with `labels=range(C)` and
`zero_division=0`. That 0 stands for "undefined" and is flagged wherever it entered: a class that was never predicted
has no precision, and to call it 0 in silence hides that the head does not know the class at all.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from minitx.evaluation.calibration import average_precision, brier_score, error_by_luck, expected_calibration_error
from minitx.evaluation.statistics import wilson_interval
from minitx.terminal import shown

Costs = tuple[tuple[float, ...], ...]  # (C, C) of saying column where row is true
CLASS_FIGURES = ("precision", "recall", "f1", "average_precision")  # in to_dict(), for each class


def confusion_matrix(target: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C, C): row = true class, column = predicted class. scikit-learn: `confusion_matrix`.

    `ValueError` unless both are (N,) integers from 0 to C - 1.
    """
    pair, known = (np.asarray(target), np.asarray(predicted)), range(num_classes)
    for y in pair:
        if y.shape != (len(pair[0]),) or y.dtype.kind not in "iub" or not np.isin(y, known).all():
            raise ValueError(f"expected two lists of integers, 0 to {num_classes - 1}, not {target} and {predicted}")
    rows, columns = (y.astype(np.intp) for y in pair)  # whose products fit
    return np.bincount(rows * num_classes + columns, minlength=num_classes**2).reshape(num_classes, num_classes)


class Average(NamedTuple):
    """Mean precision, recall and F1 over the classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Report:
    """How one head did on one set of rows; without a labelled row every figure is NaN: n/a in text, null in JSON."""

    classes: tuple[str, ...]
    confusion: np.ndarray  # (C, C), row = true, column = predicted
    loss: float  # mean cross-entropy of the rows, each counting the same; NaN without rows
    bag_of_words: "Report | None" = None  # on the same rows: training.baseline, what a model must be read beside
    parts: Mapping[str, "Report"] = field(default_factory=dict)  # of a model of two: what each would do by itself
    calibration_error: float = np.nan  # these three as in evaluation.calibration; NaN if no probabilities are known
    brier: float = np.nan
    average_precision: tuple[float, ...] = ()  # (C,) of each class
    error_by_luck: float = np.nan  # as in evaluation.calibration, as well
    costs: Costs = field(default=(), repr=False)  # () if all errors cost the same
    mean_cost: float = np.nan  # of a row, where each is said to be of the class that is expected to cost least
    ordered: bool = False  # whether the classes have an order

    @property
    def rows(self) -> int:
        """Number of rows, N."""
        return int(self.confusion.sum())

    @property
    def support(self) -> np.ndarray:
        """(C,) rows of each class."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of rows predicted right."""
        return float(np.trace(self.confusion) / self.rows) if self.rows else np.nan

    @property
    def steps(self) -> np.ndarray:
        """(C, C), how many classes lie between row and column, if they have an order."""
        return np.abs(np.subtract.outer(np.arange(len(self.classes)), np.arange(len(self.classes))))

    @property
    def mean_distance(self) -> float:
        """How many classes too far, for each row; NaN unless the classes have an order."""
        return float((self.confusion * self.steps).sum() / self.rows) if self.ordered and self.rows else np.nan

    @property
    def majority(self) -> float:
        """Accuracy of always predicting the largest class: what any accuracy must be read beside."""
        return float(self.support.max() / self.rows) if self.rows else np.nan

    @property
    def precision(self) -> np.ndarray:
        """(C,) of the rows predicted as a class, the share that are; NaN (undefined) where none was predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """(C,) of the rows of a class, the share found; NaN (undefined) where there are none."""
        return _ratio(np.diag(self.confusion), self.support)

    @property
    def f1(self) -> np.ndarray:
        """(C,) harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where nothing was found."""
        f1 = _ratio(2 * np.diag(self.confusion), self.confusion.sum(axis=0) + self.support)
        return np.nan_to_num(f1) if self.rows else f1

    @property
    def macro(self) -> Average:
        """Means over all C classes, so that small ones count as much as large ones; what is undefined counts as 0."""
        return self._average(np.full(len(self.classes), 1 / len(self.classes)))

    @property
    def weighted(self) -> Average:
        """Means over the classes by their rows: large ones count for more; what is undefined counts as 0."""
        return self._average(self.support / max(1, self.rows))

    def _average(self, shares: np.ndarray) -> Average:
        figures = (self.precision, self.recall, self.f1)
        return Average(*(float(np.nan_to_num(x) @ shares) if self.rows else np.nan for x in figures))

    @property
    def macro_f1(self) -> float:
        """`macro.f1`."""
        return self.macro.f1

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that have rows: accuracy, were all classes of one size.

        scikit-learn: `balanced_accuracy_score`.
        """
        return float(np.nanmean(self.recall)) if self.rows else np.nan

    @property
    def majority_macro_f1(self) -> float:
        """Macro-F1 of always predicting the largest class."""
        return 2 * self.majority / (1 + self.majority) / len(self.classes)

    @property
    def majority_balanced_accuracy(self) -> float:
        """Balanced accuracy of always predicting the largest class: one class found of those that have rows."""
        return 1 / np.count_nonzero(self.support) if self.rows else np.nan

    @property
    def undefined(self) -> dict[str, str]:
        """Class -> what cannot be computed for it and why; such a figure is NaN, and 0 in the averages."""
        whys = {"precision undefined: never predicted": self.precision, "recall undefined: no such rows": self.recall}
        found = {name: [why for why, x in whys.items() if np.isnan(x[i])] for i, name in enumerate(self.classes)}
        return {name: ", ".join(parts) for name, parts in found.items() if parts}

    def _by_class(self) -> Iterator[tuple[Any, ...]]:
        ranked = self.average_precision or (np.nan,) * len(self.classes)
        return zip(self.classes, self.precision, self.recall, self.f1, ranked, self.support, strict=True)

    def to_dict(self) -> dict[str, object]:
        """Everything, as plain numbers for JSON; undefined ones are null."""
        return {
            "rows": self.rows,
            "loss": _number(self.loss) if self.rows else None,
            "calibration_error": _number(self.calibration_error),
            "calibration_error_by_luck": _number(self.error_by_luck),
            "brier": _number(self.brier),
            "accuracy": _number(self.accuracy),
            "balanced_accuracy": _number(self.balanced_accuracy),
            "macro_f1": _number(self.macro_f1),
            "mean_cost": _number(self.mean_cost),
            "mean_distance": _number(self.mean_distance),
            "majority_accuracy": _number(self.majority),
            "majority_balanced_accuracy": _number(self.majority_balanced_accuracy),
            "majority_macro_f1": _number(self.majority_macro_f1),
            "macro": {name: _number(value) for name, value in self.macro._asdict().items()},
            "weighted": {name: _number(value) for name, value in self.weighted._asdict().items()},
            "undefined": self.undefined,
            "classes": {
                name: dict(zip(CLASS_FIGURES, map(_number, figures), strict=True)) | {"support": int(support)}
                for name, *figures, support in self._by_class()
            },
            "confusion": self.confusion.tolist(),
            **{name.replace(" ", "_"): part.to_dict() for name, part in self.reports().items() if part is not self},
        }

    def __str__(self) -> str:
        tables = f"{self.per_class()}\n\n{self.beside()}"
        return tables if self.rows else f"no row has a label for this head: nothing was measured\n{tables}"

    def per_class(self) -> str:
        """The table of classes and their averages."""
        width = max(len(shown(name)) for name in (*self.classes, "weighted average"))
        undefined = self.undefined if self.rows else {}
        lines = [f"{'':{width}}  precision  recall      F1  avg. precision    rows"]
        for name, *figures, support in self._by_class():
            note = f"  {undefined[name]}; counts as 0" if name in undefined else ""
            lines.append(f"{shown(name):{width}}  {_row(figures, (9, 6, 6, 14))}  {support:6,}{note}")
        for name, average in (("macro average", self.macro), ("weighted average", self.weighted)):
            lines.append(f"{name:{width}}  {_row(average, (9, 6, 6))}  {'':14}  {self.rows:6,}")
        return "\n".join(lines)

    def beside(self) -> str:
        """The head's figures beside those of the two baselines; a constant's probabilities are of no interest."""
        columns = (*self._figures(), "calibration error", "Brier score")
        lines = [f"{'':24}  {'  '.join(columns)}"]
        for (name, figures), report in zip_longest(self.contenders().items(), self.reports().values()):
            calibration = (report.calibration_error, report.brier) if report else ()
            lines.append(f"{name:24}  {_row((*figures.values(), *calibration), (*map(len, columns),))}")
        if self.rows:
            low, high = wilson_interval(int(np.trace(self.confusion)), self.rows)
            many = f"{self.rows:,} row{'s' * (self.rows > 1)}"
            lines.append(f"by luck alone, with {many}: an accuracy from {low:.3f} to {high:.3f} (95 %)")
            if not np.isnan(self.error_by_luck):
                lines[-1] += (
                    f"; a calibration error of {self.error_by_luck:.3f} on average if all probabilities were right"
                )
        return "\n".join(lines)

    def reports(self) -> dict[str, "Report"]:
        """This report, those of the model's parts, and that of the bag of words if it is known."""
        rival = {"bag of words": self.bag_of_words} if self.bag_of_words else {}
        return {"this model": self, **self.parts, **rival}

    def contenders(self) -> Mapping[str, Mapping[str, float]]:
        """Accuracy, balanced accuracy, macro-F1, mean cost and distance: of `reports()`, and of a constant.

        The constant's last two are of the class that costs least, and of the one that is nearest to all.
        """
        constant = [self.majority, self.majority_balanced_accuracy, self.majority_macro_f1]
        for prices in [np.array(self.costs)] * bool(self.costs) + [self.steps] * self.ordered:
            constant.append(float((self.support @ prices).min() / self.rows) if self.rows else np.nan)
        rows = {name: report._figures() for name, report in self.reports().items()}
        return rows | {"always the largest class": dict(zip(self._figures(), constant, strict=True))}

    def _figures(self) -> dict[str, float]:
        figures = {"accuracy": self.accuracy, "balanced accuracy": self.balanced_accuracy, "macro-F1": self.macro_f1}
        figures |= {"mean cost": self.mean_cost} if self.costs else {}
        return figures | ({"mean distance": self.mean_distance} if self.ordered else {})


def report_probabilities(
    target: np.ndarray,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    said: np.ndarray | None = None,
    costs: Costs = (),
    ordered: bool = False,
) -> Report:
    """The report of class probabilities (N, C) for targets (N,); rows with a negative target have no label.

    `said` (N,) is the class that each row was given, by default the most probable one; `costs` and `ordered` are kept
    as of a `Report`.
    """
    kept = target >= 0
    predicted = (probabilities.argmax(axis=1) if said is None else said)[kept]
    target, probabilities = target[kept], probabilities[kept]
    table, rows = np.array(costs), len(target)
    confidence = np.maximum(probabilities[np.arange(len(target)), target], np.finfo(probabilities.dtype).tiny)
    return Report(
        classes,
        confusion_matrix(target, predicted, len(classes)),
        float(-np.log(confidence).mean()) if rows else np.nan,
        calibration_error=expected_calibration_error(target, probabilities),
        brier=brier_score(target, probabilities),
        average_precision=tuple(average_precision(target == c, p) for c, p in enumerate(probabilities.T)),
        error_by_luck=error_by_luck(probabilities),
        costs=costs,
        mean_cost=float(table[target, (probabilities @ table).argmin(axis=1)].mean())
        if table.size and rows
        else np.nan,
        ordered=ordered,
    )


def report_heads(
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    classes: Mapping[str, tuple[str, ...]],
    decide: Callable[[str, np.ndarray], np.ndarray] | None = None,
    costs: Mapping[str, Costs] | None = None,
    ordered: Collection[str] = (),
) -> dict[str, Report]:
    """`report_probabilities` for each head: `labels` head -> (N,), `probabilities` head -> (N, C).

    `decide` gives the classes (N,) a head says, by default the most probable ones: `Answers.decide`. Some heads have
    `costs`, and the `ordered` ones classes in an order.
    """
    said = {head: decide(head, p) for head, p in probabilities.items()} if decide else {}
    more = {head: (said.get(head), (costs or {}).get(head, ()), head in ordered) for head in classes}
    return {h: report_probabilities(labels[h], probabilities[h], names, *more[h]) for h, names in classes.items()}


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _number(value: float) -> float | None:
    """A plain number for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)


def _row(figures: Iterable[float], widths: tuple[int, ...]) -> str:
    """Figures with three digits, right-aligned; n/a for what is undefined. Widths may be left over."""
    cells = ("n/a" if np.isnan(figure) else f"{figure:.3f}" for figure in figures)
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
