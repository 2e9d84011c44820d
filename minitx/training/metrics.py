"""Accuracy, precision, recall, F1, confusion; and what always predicting the largest class would have scored.

All from one confusion matrix, so they cannot disagree. Figures equal scikit-learn's.
"""

from dataclasses import dataclass

import numpy as np


def confusion_matrix(target: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C, C): row = true class, column = predicted class. scikit-learn: `confusion_matrix`."""
    return np.bincount(target * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Report:
    """How one head did on one set of rows."""

    classes: tuple[str, ...]
    confusion: np.ndarray  # (C, C), row = true, column = predicted
    loss: float  # mean over rows, not over batches; while training, of each batch's (class-weighted) loss

    @property
    def support(self) -> np.ndarray:
        """(C,) rows of each class."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of rows predicted right."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def majority(self) -> float:
        """Accuracy of always predicting the largest class: what any accuracy must be read beside."""
        return float(self.support.max() / self.confusion.sum())

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
        return np.nan_to_num(_ratio(2 * np.diag(self.confusion), self.confusion.sum(axis=0) + self.support))

    @property
    def macro_f1(self) -> float:
        """Mean of F1 over the classes: small ones count as much as large ones."""
        return float(self.f1.mean())

    @property
    def majority_macro_f1(self) -> float:
        """Macro-F1 of always predicting the largest class."""
        return 2 * self.majority / (1 + self.majority) / len(self.classes)

    def to_dict(self) -> dict[str, object]:
        """Everything, as plain numbers for JSON; undefined ones are null."""
        per_class = {
            name: {
                "precision": None if np.isnan(self.precision[i]) else float(self.precision[i]),
                "recall": None if np.isnan(self.recall[i]) else float(self.recall[i]),
                "f1": float(self.f1[i]),
                "support": int(self.support[i]),
            }
            for i, name in enumerate(self.classes)
        }
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "majority_accuracy": self.majority,
            "majority_macro_f1": self.majority_macro_f1,
            "classes": per_class,
            "confusion": self.confusion.tolist(),
        }

    def __str__(self) -> str:
        width = max(len(name) for name in (*self.classes, "accuracy"))
        lines = [f"{'':{width}}  precision  recall      F1  rows"]
        for name, precision, recall, f1, support in zip(
            self.classes, self.precision, self.recall, self.f1, self.support, strict=True
        ):
            undefined = "   (precision undefined: never predicted)" if np.isnan(precision) else ""
            lines.append(f"{name:{width}}  {precision:9.3f}  {recall:6.3f}  {f1:6.3f}  {support:4d}{undefined}")
        lines.append(f"{'accuracy':{width}}  {self.accuracy:.3f}  (always the largest class: {self.majority:.3f})")
        lines.append(
            f"{'macro-F1':{width}}  {self.macro_f1:.3f}  (always the largest class: {self.majority_macro_f1:.3f})"
        )
        return "\n".join(lines)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
