"""What does a CSV say, and what is wrong with each of its rows? Every cell is a string, as it is written.

Reading is the standard library's `csv`, row by row. The C parser of pandas takes half of its time (0.8 s against
1.6 s for a million reviews), but fills a short row with empty strings in silence and does not count the rows it skips.
"""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TextIO

from minitx.errors import InputError, suggestion

LONGEST_FIELD, LONGEST_LINE = 1_000_000, 10_000_000  # characters: a row with more is dropped, a file with more refused
# Python's own limit is the process's, shared by its threads. So it is raised here, once, and never lowered again.
csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))


def csv_rows(
    name: str, lines: Iterator[str], separator: str = ","
) -> tuple[list[str], Iterator[tuple[list[str], str]]]:
    """The header, without blanks around its names, and the rows below it, each with what is wrong with it, or "".

    Blank lines are left out. `InputError` for a file without a header and for a quote that is never closed.
    """
    records = _records(name, lines, separator)
    header = next(records, None)
    if header is None:
        raise InputError(f"{name}: empty file; expected a CSV with a header line")
    if not header:
        raise InputError(f"{name}: the header has text behind a closing quote; expected names, in quotes or without")
    header = [column.strip() for column in header]

    def fault(row: list[str]) -> str:
        if len(row) == len(header):
            return f"a field of more than {LONGEST_FIELD:,} characters" * (max(map(len, row)) > LONGEST_FIELD)
        return "too many fields" if len(row) > len(header) else "too few fields" if row else "bad quoting"

    return header, ((row, fault(row)) for row in records)


def find_columns(name: str, header: Sequence[str], wanted: Sequence[str], hint: str = "") -> list[int]:
    """Where each wanted column stands in the header; `InputError` if one is missing or there is more than one."""
    missing = [column for column in wanted if column not in header]
    if missing:
        near = suggestion(missing[0].strip(), header, hint or " ")
        lacks = ", ".join(c if c == c.strip() else repr(c) for c in missing)  # blanks are seen in quotes
        found = f"no column {lacks}; the header has {', '.join(header):.300}"
        raise InputError(f"{name}: {found}" + f"; {near}" * bool(near.strip()))
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


def _records(name: str, lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    """The rows, header first; an empty list stands for a row with broken quoting."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
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
