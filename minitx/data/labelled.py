"""Any CSV with a column of texts and columns of labels, which need not be app reviews."""

import os
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from minitx.data.reviews import drop_blank, finish, review_ids
from minitx.data.rules import MOST_CLASSES, NO_LABEL
from minitx.data.split import LabelledTexts
from minitx.data.tables import Audit, read_table
from minitx.errors import InputError
from minitx.system import PathLike

FEW_CLASSES, LONGEST_CLASS = 20, 200  # classes that may have a row each; characters of a name
# What is rather not a class, if there are more than a few:
NO_CLASSES = {"dates": r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b", "texts": r"(\S+\s+){7}", "measurements": r"[+-]?\d*\.\d+$"}


def read_labelled(
    path: PathLike,
    text_column: str,
    label_columns: dict[str, str],
    *,
    classes: dict[str, tuple[str, ...]] | None = None,
    encoding: str = "",
) -> tuple[LabelledTexts, Audit]:
    """Read any labelled table; `label_columns` maps a head to its column. See `label_frame`."""
    if text_column in label_columns.values():
        raise InputError(f"{os.fspath(path)}: {text_column} cannot be both the text and a label: choose another column")
    unknown = [head for head in label_columns if classes is not None and head not in classes]
    if unknown or not label_columns:
        heads = "at least one" if classes is None else ", ".join(classes)
        raise InputError(f"{os.fspath(path)}: labels {', '.join(label_columns) or 'missing'}; expected {heads}")
    frame, audit = read_table(path, [text_column, *label_columns.values()], ["reviewId"], encoding)
    return label_frame(frame, text_column, label_columns, audit, classes=classes)


def label_frame(
    frame: pd.DataFrame,
    text_column: str,
    label_columns: dict[str, str],
    audit: Audit,
    *,
    classes: dict[str, tuple[str, ...]] | None = None,
) -> tuple[LabelledTexts, Audit]:
    """Clean a frame of strings that has a column of texts and one of labels for each head.

    A blank label is none (-100): the row teaches and tests the other heads only, and is dropped if it has no label at
    all. Class names are the distinct strings of the column, sorted, as numbers if all are. To evaluate a trained model
    give its `classes` instead: any other label is then none, and counted. Raises InputError as `read_reviews` does.
    """
    keep = np.ones(len(frame), dtype=bool)
    drop_blank(frame[text_column], keep, audit, f"{text_column} missing or blank")
    labels, names = {}, {}
    for head, column in label_columns.items():
        values = frame[column].fillna("").str.strip()
        blank = values == ""
        found = values[keep & ~blank]
        names[head] = _class_names(found, audit.source, column) if classes is None else tuple(classes[head])
        codes = pd.Index(names[head]).get_indexer(pd.Index(values)).astype(np.int64)
        if not (other := found[codes[found.index] < 0]).empty:
            strange = f"labels of {head} that are none of its classes: {len(other):,}, as {other.iloc[0]!r:.40}"
            audit.unknown[head] = f"{strange}; it knows {', '.join(names[head]):.200}"
        labels[head] = np.where(codes < 0, NO_LABEL, codes)
    return finish(LabelledTexts(frame[text_column].tolist(), labels, names, review_ids(frame)), keep, audit)


def are_numbers(names: Iterable[str]) -> bool:
    """Whether their order is that of numbers."""
    return all(re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", name) for name in names)


def _class_names(values: pd.Series, source: str, column: str) -> tuple[str, ...]:
    """The distinct labels, sorted; `InputError` if they are rather ids or texts, too many or too long to be learnt."""
    numbers = are_numbers(values)
    names = tuple(sorted(set(values), key=lambda name: (float(name) if numbers else 0.0, name)))
    kind = next((kind for kind, form in NO_CLASSES.items() if all(re.match(form, name) for name in names)), "ids")
    most, accepted = FEW_CLASSES, "of such values"
    if kind == "ids":
        most, accepted = min(MOST_CLASSES, max(FEW_CLASSES, len(values) // 2)), "of two rows on average"
    if len(names) > most:
        found = f"{len(names):,} different values in {len(values):,} rows, as {kind} have"
        raise InputError(f"{source}: {column} has {found}; accepted are {most} classes, {accepted}")
    if long := next((name for name in names if len(name) > LONGEST_CLASS), None):
        raise InputError(f"{source}: {column} holds {long!r:.60}...; a class has at most {LONGEST_CLASS} characters")
    return names
