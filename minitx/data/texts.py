"""Texts without labels, one after the other, from files of any length."""

import os
from collections.abc import Iterator
from pathlib import Path

from minitx.data.csv_files import csv_rows, find_columns, lines_of
from minitx.errors import InputError
from minitx.system import PathLike, open_text


def stream_texts(path: PathLike, text_column: str | None = None) -> Iterator[str]:
    """Every line of a .txt, or one column (by default `content`, else `text`) of a .csv, holding one row at a time.

    Nothing is dropped, so that text i stays row i; blank texts stay as they are. `InputError` for a file that cannot be
    used; a ragged row, or one that is not UTF-8, raises it when reading gets there.
    """
    name, suffix = os.fspath(path), Path(path).suffix.lower()
    if suffix not in (".txt", ".csv") or (suffix == ".txt" and text_column is not None):
        raise InputError(f"{name}: expected a .csv, or a .txt with one text a line and no column name")
    count = 0
    with open_text(path) as file:
        if suffix == ".txt":
            for line in lines_of(name, file):
                count += 1
                yield line.rstrip("\r\n")
        else:
            header, rows = csv_rows(name, file)
            column = text_column or ("text" if "text" in header and "content" not in header else "content")
            (place,) = find_columns(name, header, [column])
            for row, fault in rows:
                count += 1
                if fault:
                    raise InputError(f"{name}: row {count:,} has {fault}; expected {len(header)}, as in the header")
                yield row[place]
    if not count:
        raise InputError(f"{name}: empty file; expected one text a line" if suffix == ".txt" else f"{name}: no rows")


def read_texts(path: PathLike, text_column: str | None = None) -> list[str]:
    """All texts of a file at once; see `stream_texts`."""
    return list(stream_texts(path, text_column))
