"""Where do texts and labels come from? Read a CSV, clean it with an audit, label it by declared rules."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from minitx.data.csv_files import Audit, read_table
from minitx.data.rules import NO_LABEL, TextRule
from minitx.data.split import LabelledTexts, group_rows, normalise
from minitx.errors import InputError
from minitx.system import PathLike


@dataclass(frozen=True)
class LabelRule:
    """Classes of an integer column: class i holds the values up to and including upper[i], the last class the rest.

    Values outside `allowed` (by default whatever is not negative and fits int64) are dropped and counted.
    """

    name: str
    column: str
    classes: tuple[str, ...]
    upper: tuple[int, ...]
    allowed: range = range(2**63)

    def __post_init__(self) -> None:
        if len(self.upper) != len(self.classes) - 1 or list(self.upper) != sorted(set(self.upper)):
            raise InputError(f"rule {self.name}: bounds {self.upper} for {self.classes}; expected one less, ascending")

    def label(self, texts: Sequence[str], values: np.ndarray) -> np.ndarray:
        """Class numbers (N,) int64 of values (N,); the texts do not count."""
        return np.searchsorted(self.upper, values, side="left").astype(np.int64)


SENTIMENT = LabelRule("sentiment", "score", ("negative", "neutral", "positive"), upper=(2, 3), allowed=range(1, 6))
ENGAGEMENT = LabelRule("engagement", "thumbsUpCount", ("low", "moderate", "high"), upper=(6, 12))
REVIEW_RULES = (SENTIMENT, ENGAGEMENT)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_reviews(path: PathLike, rules: Sequence[LabelRule | TextRule] = REVIEW_RULES) -> tuple[LabelledTexts, Audit]:
    """Read a Google-Play review CSV: `content`, the columns of `rules`, `reviewId` if there; other columns are ignored.

    Raises InputError for a file that cannot be used; single rows that cannot be used are dropped and counted.
    """
    frame, audit = read_table(path, ["content", *(rule.column for rule in rules)], optional=["reviewId"])
    return label_reviews(frame, rules, audit)


def label_reviews(
    frame: pd.DataFrame, rules: Sequence[LabelRule | TextRule] = REVIEW_RULES, audit: Audit | None = None
) -> tuple[LabelledTexts, Audit]:
    """Clean and label a frame of reviews; cells may be strings or numbers. `audit` carries on the count of a reader.

    A row for which a `TextRule` finds no class has the label -100, and is dropped if no head has one for it.
    Raises InputError if no row can be used.
    """
    audit = audit or Audit("frame", read=len(frame))
    keep = np.ones(len(frame), dtype=bool)
    drop_blank(frame["content"], keep, audit, "content missing or blank")
    texts, labels = [str(text) for text in frame["content"]], {}
    for rule in rules:
        values = _integers(frame[rule.column], rule.column, rule.allowed, keep, audit)
        labels[rule.name] = rule.label(texts, values)
    classes = {rule.name: rule.classes for rule in rules}
    return finish(frame, "content", labels, classes, keep, audit)


# --- cleaning and labelling ------------------------------------------------------------------------------------------


def drop_blank(column: pd.Series, keep: np.ndarray, audit: Audit, reason: str) -> None:
    """Drop, for this reason, the rows without a text."""
    # Missing is NaN, None or white space; the strings "None", "NA" and "null" are what somebody wrote.
    audit.drop(keep, np.array([not isinstance(cell, str) or not cell.strip() for cell in column], dtype=bool), reason)


_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,999})(?:\.0*)?\s*", re.ASCII)  # "5" and what pandas makes of it, "5.0"


def _integers(column: pd.Series, name: str, allowed: range, keep: np.ndarray, audit: Audit) -> np.ndarray:
    """A column's numbers (N,) int64; rows without a usable one are dropped (and get a meaningless number)."""
    codes, cells = pd.factorize(np.array([str(cell) for cell in column], dtype=object))  # few distinct: parse each once
    matches = [_INTEGER.fullmatch(cell) for cell in cells]
    numbers = [int(match[1]) if match else None for match in matches]  # a Python int cannot overflow
    first, last = allowed[0], allowed[-1]
    for reason, bad in {
        "missing or not an integer": [number is None for number in numbers],
        f"below {first}": [number is not None and number < first for number in numbers],
        f"above {last}": [number is not None and number > last for number in numbers],
    }.items():
        audit.drop(keep, np.array(bad, dtype=bool)[codes], f"{name} {reason}")
    usable = [min(max(number, first), last) if number is not None else first for number in numbers]
    return np.array(usable, dtype=np.int64)[codes]


def finish(
    frame: pd.DataFrame,
    text_column: str,
    labels: dict[str, np.ndarray],
    classes: dict[str, tuple[str, ...]],
    keep: np.ndarray,
    audit: Audit,
) -> tuple[LabelledTexts, Audit]:
    """Keep the rows marked in `keep` that have a label, and find their groups."""
    if labels:
        unlabelled = np.stack([values == NO_LABEL for values in labels.values()])
        audit.drop(keep, np.asarray(unlabelled.all(axis=0)), f"no label for {' or '.join(labels)}")
        counts = {head: int(none[keep].sum()) for head, none in zip(labels, unlabelled, strict=True)}
        audit.unlabelled = {head: count for head, count in counts.items() if count}
    audit.kept = int(np.count_nonzero(keep))
    if not audit.kept:
        reasons = ", ".join(f"{count:,} dropped: {reason}" for reason, count in audit.dropped.items())
        raise InputError(f"{audit.source}: no usable row among {audit.read:,} ({reasons or 'none read'})")
    texts = frame[text_column][keep].tolist()
    keys: list[list[Hashable]] = [[normalise(text) for text in texts]]
    ids = []
    if "reviewId" in frame:
        ids = [cell.strip() or None if isinstance(cell, str) else None for cell in frame["reviewId"][keep]]
        keys.append([*ids])
    kept = {head: y[keep] for head, y in labels.items()}
    return LabelledTexts(texts, kept, classes, group_rows(*keys), ids), audit
