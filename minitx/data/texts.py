"""Texts without labels, one after the other, from files of any length."""

import os
from collections.abc import Iterator

from minitx.data.csv_files import find_columns, lines_of
from minitx.data.tables import SUFFIXES, data_files, open_table, suffix_of
from minitx.errors import InputError
from minitx.system import PathLike, open_text


def stream_texts(
    path: PathLike, text_column: str | None = None, encoding: str = "", empty: bool = False
) -> Iterator[str]:
    """Every line of a .txt, or one column (by default `content`, else `text`) of a table, holding one row at a time.

    Nothing is dropped, so that text i stays row i; blank texts stay as they are. `InputError` for a file that cannot be
    used, or has no rows unless it may be `empty`; a ragged row, or one that is not UTF-8, raises it when reading gets
    there. Tables are those of `data.tables`.
    """
    name, plain, count = os.fspath(path), suffix_of(path) == ".txt", 0
    known = plain or suffix_of(path) in SUFFIXES or data_files(path) != [path]
    if not known and not os.path.lexists(path):
        raise InputError(f"{name}: no such file of texts (in Python, texts themselves are a list)")
    if not known or (plain and text_column is not None):
        kinds = " ".join(SUFFIXES)
        raise InputError(f"{name}: expected one of {kinds}, or a .txt with one text a line and no column name")
    if empty and suffix_of(path) in (".jsonl", ".ndjson") and os.path.isfile(path) and not os.path.getsize(path):
        return
    if plain:
        with open_text(path, encoding) as file:
            for line in lines_of(name, file):
                count += 1
                yield line.rstrip("\r\n")
    else:
        with open_table(path, encoding) as (header, rows):
            column = text_column or ("text" if "text" in header and "content" not in header else "content")
            if text_column is None and column not in header:
                near = [f"did you mean --text {c}?" for c in header if c.lower() in ("content", "text")]
                hint = (near or ["choose the column of texts with --text (text= in Python)"])[0]
                raise InputError(f"{name}: no column content or text; the header has {', '.join(header):.300}; {hint}")
            (place,) = find_columns(name, header, [column])
            for count, (row, fault) in enumerate(rows, start=1):
                if fault:
                    raise InputError(f"{name}: row {count:,} has {fault}; expected {len(header)}, as in the header")
                yield row[place]
    if not count and not empty:
        raise InputError(f"{name}: empty file; expected one text a line" if plain else f"{name}: no rows")


def read_texts(path: PathLike, text_column: str | None = None, encoding: str = "", empty: bool = False) -> list[str]:
    """All texts of a file at once; see `stream_texts`."""
    return list(stream_texts(path, text_column, encoding, empty))
