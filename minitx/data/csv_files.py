"""What does a CSV say, and what became of each of its rows? Every cell is a string, as it is written.

Reading is the standard library's `csv`, row by row. The C parser of pandas takes half of its time (0.8 s against
1.6 s for a million reviews), but fills a short row with empty strings in silence and does not count the rows it skips.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

import numpy as np
import pandas as pd

from minitx.errors import InputError
from minitx.system import PathLike, open_text
from minitx.terminal import shown

LONGEST_FIELD, LONGEST_LINE = 1_000_000, 10_000_000  # characters: a row with more is dropped, a file with more refused
# Python's own limit is the process's, shared by its threads. So it is raised here, once, and never lowered again.
csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))


@dataclass
class Audit:
    """What became of every row: read == kept + sum(dropped.values())."""

    source: str
    read: int
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows; a row counts under its first reason only
    unlabelled: dict[str, int] = field(default_factory=dict)  # head -> kept rows that have no label for it

    def drop(self, keep: np.ndarray, bad: np.ndarray, reason: str) -> None:
        """Take the `bad` rows out of `keep`, both (N,) bool, in place; count those that were still in it."""
        count = int(np.count_nonzero(keep & bad))
        keep &= ~bad
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.read:,} rows read, {self.kept:,} kept"]
        lines += [f"  {count:,} dropped: {reason}" for reason, count in self.dropped.items()]
        lines += [f"  {count:,} kept without a label for {head}" for head, count in self.unlabelled.items()]
        return "\n".join(map(shown, lines))


def read_table(path: PathLike, needed: Sequence[str], optional: Sequence[str] = ()) -> tuple[pd.DataFrame, Audit]:
    """The named columns of a CSV, each cell a string; rows that do not fit the header are dropped and counted.

    `InputError` for a file that cannot be read, lacks a needed column, names one twice, or has no rows.
    """
    name, dropped = os.fspath(path), Counter[str]()
    with open_text(path) as file:
        header, rows = csv_rows(name, file)
        wanted = list(dict.fromkeys([*needed, *(column for column in optional if column in header)]))
        cells: list[list[str]] = [[] for _ in wanted]
        targets = list(zip((column.append for column in cells), find_columns(name, header, wanted), strict=True))
        for row, fault in rows:
            if fault:
                dropped[fault] += 1
            else:
                for append, place in targets:
                    append(row[place])
    read = len(cells[0]) + sum(dropped.values())
    if not read:
        raise InputError(f"{name}: a header but no rows")
    frame = pd.DataFrame(dict(zip(wanted, cells, strict=True)), dtype=object)
    legible = os.fsencode(name).decode("utf-8", "backslashreplace")  # a name may be no text, and pictures have titles
    return frame, Audit(legible, read, dropped=dict(dropped))


def csv_rows(name: str, file: TextIO) -> tuple[list[str], Iterator[tuple[list[str], str]]]:
    """The header, without blanks around its names, and the rows below it, each with what is wrong with it, or "".

    Blank lines are left out. `InputError` for a file without a header and for a quote that is never closed.
    """
    records = _records(name, file)
    header = [column.strip() for column in next(records, [])]
    if not header:
        raise InputError(f"{name}: empty file; expected a CSV with a header line")

    def fault(row: list[str]) -> str:
        if len(row) == len(header):
            return f"a field of more than {LONGEST_FIELD:,} characters" * (max(map(len, row)) > LONGEST_FIELD)
        return "too many fields" if len(row) > len(header) else "too few fields" if row else "bad quoting"

    return header, ((row, fault(row)) for row in records)


def find_columns(name: str, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where each wanted column stands in the header; `InputError` if one is missing or there is more than one."""
    missing = [column for column in wanted if column not in header]
    if missing:
        raise InputError(f"{name}: no column {', '.join(missing)}; found {', '.join(header):.300}")
    doubled = [column for column in wanted if header.count(column) > 1]
    if doubled:
        raise InputError(f"{name}: more than one column named {', '.join(doubled)}; names must be unique")
    return [header.index(column) for column in wanted]


def lines_of(name: str, file: TextIO) -> Iterator[str]:
    """The lines of a file; `InputError` at one that is too long, before it fills the memory, as /dev/zero would."""
    for line in iter(partial(file.readline, LONGEST_LINE + 1), ""):
        if len(line) > LONGEST_LINE:
            raise InputError(f"{name}: a line is longer than {LONGEST_LINE:,} characters: {line!r:.60}")
        yield line


def _records(name: str, file: TextIO) -> Iterator[list[str]]:
    """The rows, header first; an empty list stands for a row with broken quoting."""
    reader = csv.reader(lines_of(name, file), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "expected after" not in str(error):  # a quote left open would swallow every row that follows
                raise InputError(f"{name}: from line {line:,} on: {error}; is a quote left open?") from None
            yield []
            continue
        if row is None:
            return
        if row:
            yield row
