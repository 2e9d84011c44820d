"""Where do texts and labels come from? Read a CSV, clean it with an audit, label it by declared rules."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from minitx.data.rules import NO_LABEL, TextRule
from minitx.data.split import LabelledTexts
from minitx.data.tables import OTHER_DATA, Audit, read_table
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
Rules = Sequence[LabelRule | TextRule]
Labelled = tuple[LabelledTexts, Audit]


# --- reading ---------------------------------------------------------------------------------------------------------


def read_reviews(path: PathLike, rules: Rules = REVIEW_RULES, encoding: str = "") -> Labelled:
    """Read a Google-Play review CSV: `content`, the columns of `rules`, `reviewId` if there; other columns are ignored.

    Raises InputError for a file that cannot be used; single rows that cannot be used are dropped and counted.
    """
    frame, audit = read_table(path, ["content", *(rule.column for rule in rules)], ["reviewId"], encoding, OTHER_DATA)
    return label_reviews(frame, rules, audit)


def label_reviews(frame: pd.DataFrame, rules: Rules = REVIEW_RULES, audit: Audit | None = None) -> Labelled:
    """Clean and label a frame of reviews; cells may be strings or numbers. `audit` carries on the count of a reader.

    A row for which a `TextRule` finds no class has the label -100, and is dropped if no head has one for it.
    Raises InputError if no row can be used.
    """
    audit = audit or Audit("frame", read=len(frame))
    keep = np.ones(len(frame), dtype=bool)
    drop_blank(frame["content"], keep, audit, "content missing or blank")
    texts = [str(text) for text in frame["content"]]
    labels = {rule.name: rule.label(texts, _integers(frame, rule, keep, audit)) for rule in rules}
    classes = {rule.name: rule.classes for rule in rules}
    return finish(LabelledTexts(texts, labels, classes, review_ids(frame)), keep, audit)


# --- cleaning and labelling ------------------------------------------------------------------------------------------


def drop_blank(column: pd.Series, keep: np.ndarray, audit: Audit, reason: str) -> None:
    """Drop, for this reason, the rows without a text."""
    # Missing is NaN, None or white space; the strings "None", "NA" and "null" are what somebody wrote.
    audit.drop(keep, np.array([not isinstance(cell, str) or not cell.strip() for cell in column], dtype=bool), reason)


_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,999})(?:\.0*)?\s*", re.ASCII)  # "5" and what pandas makes of it, "5.0"


def _integers(frame: pd.DataFrame, rule: LabelRule | TextRule, keep: np.ndarray, audit: Audit) -> np.ndarray:
    """The numbers (N,) int64 of a rule's column; rows without a usable one are dropped, their number means nothing."""
    column = np.array([str(cell) for cell in frame[rule.column]], dtype=object)
    codes, cells = pd.factorize(column)  # few distinct: parse each once
    matches = [_INTEGER.fullmatch(cell) for cell in cells]
    numbers = [int(match[1]) if match else None for match in matches]  # a Python int cannot overflow
    first, last = rule.allowed[0], rule.allowed[-1]
    for reason, bad in {
        "missing or not an integer": [number is None for number in numbers],
        f"below {first}": [number is not None and number < first for number in numbers],
        f"above {last}": [number is not None and number > last for number in numbers],
    }.items():
        audit.drop(keep, np.array(bad, dtype=bool)[codes], f"{rule.column} {reason}")
    usable = [min(max(number, first), last) if number is not None else first for number in numbers]
    return np.array(usable, dtype=np.int64)[codes]


def review_ids(frame: pd.DataFrame) -> list[str | None]:
    """The reviewId of each row; None where it is blank, or where there is no such column."""
    cells = frame["reviewId"] if "reviewId" in frame else [None] * len(frame)
    return [cell.strip() or None if isinstance(cell, str) else None for cell in cells]


def finish(data: LabelledTexts, keep: np.ndarray, audit: Audit) -> Labelled:
    """The rows marked in `keep` (N,) that have a label, and an audit that says so."""
    missing = {head: labels == NO_LABEL for head, labels in data.labels.items()}
    audit.drop(keep, np.all(list(missing.values()), axis=0), f"no label for {' or '.join(missing)}")
    audit.unlabelled = {head: int(none[keep].sum()) for head, none in missing.items() if none[keep].any()}
    audit.kept = int(np.count_nonzero(keep))
    if not audit.kept:
        dropped = [f"{count:,} dropped: {reason}" for reason, count in audit.dropped.items()]
        reasons = ", ".join([*dropped, *audit.unknown.values()])
        raise InputError(f"{audit.source}: no usable row among {audit.read:,} ({reasons or 'none read'})")
    return data.subset(np.flatnonzero(keep)), audit
