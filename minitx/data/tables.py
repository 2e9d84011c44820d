"""Which kinds of files hold rows? CSV, whatever separates its fields, JSON lines, parquet, Excel, and directories.

What a file is shows in its first bytes, not in its name. Any may be gzipped. Parquet and Excel need pyarrow and
openpyxl (`pip install -e ".[data]"` in a clone installs both), which are imported when such a file comes.
"""

import csv
import glob
import importlib
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from minitx.data.csv_files import csv_rows, find_columns, lines_of
from minitx.errors import InputError
from minitx.system import PathLike, open_text
from minitx.terminal import shown

Rows = Iterator[tuple[list[str], str]]  # each with what is wrong with it, or ""
# How a file begins -> what it is, and the module that reads it.
BINARY = {b"PAR1": ("parquet", "pyarrow.parquet"), b"\xff\xff\xff\xff": ("arrow", "pyarrow.ipc")}
BINARY |= {b"PK\3\4": ("Excel", "openpyxl"), b"\xd0\xcf\x11\xe0": ("old Excel", "xlrd")}
NOTES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # of the library `datasets`
NESTED = "(lists or objects)"  # stands behind the name of a column that has no cells, and so cannot be asked for
OTHER_DATA = "of what is no review file, name the columns: --text COLUMN --label NAME=COLUMN"
SEPARATORS = (",", ";", "\t", "|")
PACKED = {b"BZh": "bzip2", b"\xfd7z": "xz", b"(\xb5/": "zstd", b"%PD": "PDF"}
PACKED |= {b"\x80\4\x95": "pickle", b"\x80\5\x95": "pickle"} | dict.fromkeys((b"<!D", b"<!d", b"<ht", b"<HT"), "HTML")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".xls", ".arrow")


@dataclass
class Audit:
    """What became of every row: read == kept + sum(dropped.values())."""

    source: str
    read: int
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows; a row counts under its first reason only
    unlabelled: dict[str, int] = field(default_factory=dict)  # head -> kept rows that have no label for it
    unknown: dict[str, str] = field(default_factory=dict)  # head -> how many labels are no class of the model, and why

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
        lines += [f"  {line}" for line in self.unknown.values()]
        return "\n".join(map(shown, lines))


def read_table(
    path: PathLike, needed: Sequence[str], optional: Sequence[str] = (), encoding: str = "", hint: str = ""
) -> tuple[pd.DataFrame, Audit]:
    """The named columns of a table, each cell a string; rows that do not fit the header are dropped and counted.

    `InputError` for a file that cannot be read, lacks a needed column (which ends with the `hint`), names one twice,
    or has no rows.
    """
    name, dropped = os.fspath(path), Counter[str]()
    with open_table(path, encoding) as (header, rows):
        wanted = list(dict.fromkeys([*needed, *(column for column in optional if column in header)]))
        cells: list[list[str]] = [[] for _ in wanted]
        places = find_columns(name, header, wanted, hint)
        targets = list(zip((column.append for column in cells), places, strict=True))
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


@contextmanager
def open_table(path: PathLike, encoding: str = "") -> Iterator[tuple[list[str], Rows]]:
    """The header of a table, and its rows one at a time, though parquet and Excel are read at once.

    `InputError` for what cannot be read, and if the files of a directory have different columns.
    """
    with ExitStack() as stack:
        tables = [_open_file(file, encoding, stack) for file in data_files(path)]
        if any(header != tables[0][0] for header, _ in tables):
            raise InputError(f"{os.fspath(path)}: its files have different columns")
        yield tables[0][0], chain.from_iterable(rows for _, rows in tables)


def data_files(path: PathLike) -> list[PathLike]:
    """The files of a table: `path` itself or, in a directory that the library `datasets` laid out, those of a split.

    Of several splits, `DIR/train` names one, be it a folder or train-00000-of-00002.parquet and the like in it or in
    DIR/data. `InputError` if it is not clear which is meant.
    """
    folder, split = Path(path), ""
    if not folder.is_dir():
        if os.path.lexists(path) or folder.suffix or not folder.parent.is_dir():
            if not os.path.lexists(path) and glob.glob(os.fspath(path)):
                raise InputError(f"{os.fspath(path)} is a pattern; expected one file, or the directory of a data set")
            return [path]
        folder, split = folder.parent, folder.name
    if not split and ((folder / "modules.json").exists() or (folder / "config.json").exists()):
        raise InputError(f"{os.fspath(path)} is the directory of a model; expected a file of texts")
    found = [f for pattern in ("*", "data/*") for f in sorted(folder.glob(pattern)) if suffix_of(f) in SUFFIXES]
    names = {f: re.sub(r"-\d+-of-\d+[^.]*", "", f.name) for f in found if f.name not in NOTES}
    chosen = [f for f, name in names.items() if split in ("", name.split(".")[0])]
    choices = {names[f] for f in chosen} or {f.parent.name for f in folder.glob("*/*.arrow") if not split}
    if len(choices) > 1 or (choices and not chosen):
        splits = {name.split(".")[0] for name in choices}
        example = folder / min(splits if len(splits) > 1 else choices)
        raise InputError(f"{os.fspath(path)} holds {', '.join(sorted(choices))}: choose one, as in {example}")
    return [*chosen] or [path]  # which is a file that is not there, or a directory


def suffix_of(path: PathLike) -> str:
    """In lower case, without .gz."""
    return os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))[1]


def _open_file(path: PathLike, encoding: str, stack: ExitStack) -> tuple[list[str], Rows]:
    name, start = os.fspath(path), b""
    if re.match(r"\w+://", name):
        raise InputError(f"{name} is an address: download the file, and give its name")
    if os.path.isfile(path):  # a pipe cannot be read twice
        with suppress(OSError), open(path, "rb") as binary:
            start = binary.read(4)
    if start[:3] in PACKED:
        kinds = " ".join(SUFFIXES)
        raise InputError(f"{name} is of the kind {PACKED[start[:3]]}; accepted are {kinds}, each also as .gz")
    if start == b"PK\3\4" and "xl/workbook.xml" not in _names_in(name):
        raise InputError(f"{name} is a zip archive, but not an .xlsx: give what is inside, or save it as .csv")
    if start in BINARY:
        frame = _read_frame(name, *BINARY[start])
        nested = [c for c in frame if any(isinstance(v, list | dict | np.ndarray) for v in frame[c])]
        header = [f"{c} {NESTED}" if c in nested else str(c).strip() for c in frame]
        return header, (([*map(_cell, row)], "") for row in frame.itertuples(False, None))
    file = stack.enter_context(open_text(path, encoding))
    lines = lines_of(name, file)
    head = [*islice(lines, 2)]
    mark = re.fullmatch(r"sep=(.)\s*", head[0]) if head else None  # Excel's own way to say it
    if found := re.match(r"\s*(\{(?=\s*(\"(?:\\.|[^\"\\])*\"\s*:|\}|$))|\[\s*(\{|\]|$))", "".join(head)):
        return _json_rows(name, file, found[1][0] == "[" or head[0].strip() == "{")
    separator = mark[1] if mark else "\t" if suffix_of(path) == ".tsv" else _separator(head)
    return csv_rows(name, chain(head[bool(mark) :], lines), separator)


def _names_in(archive: str) -> list[str]:
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(archive) as opened:
        return opened.namelist()
    return ["xl/workbook.xml"]  # damaged: its reader says how


def _read_frame(name: str, kind: str, module: str) -> pd.DataFrame:
    """What needs a package of its own; of an Excel file, the one sheet that holds something."""
    try:
        reader = importlib.import_module(module)
        if not module.startswith("pyarrow"):
            sheets = pd.read_excel(name, sheet_name=None, dtype=object, keep_default_na=False)
            full = {sheet: frame for sheet, frame in sheets.items() if len(frame.columns)}
            if len(full) > 1:
                raise InputError(f"{name} has the sheets {', '.join(full)}: save the one that is meant as a file")
            return next(iter(full.values()), pd.DataFrame())
        with open(name, "rb") as file:
            table = reader.read_table(file) if kind == "parquet" else reader.open_stream(file).read_all()
        frame = table.to_pandas(integer_object_nulls=True)
        noted = json.loads((table.schema.metadata or {}).get(b"huggingface", "{}"))
        for column, feature in noted.get("info", {}).get("features", {}).items():
            if feature.get("_type") == "ClassLabel":  # numbers whose names stand in the file
                frame[column] = [feature["names"][int(i)] if i is not None and i >= 0 else None for i in frame[column]]
        return frame
    except InputError:
        raise
    except ImportError:
        package = module.split(".")[0]
        raise InputError(f"{name} is of the kind {kind}: `pip install {package}` lets minitx read it") from None
    except Exception as error:  # whatever a damaged file brings about
        raise InputError(f"{name} is a damaged {kind} file, or none: {type(error).__name__}: {error!s:.200}") from None


def _json_rows(name: str, file: TextIO, whole: bool) -> tuple[list[str], Rows]:
    """JSON lines or, as a `whole`, a list or an object; the file is read twice, as any object may bring a new key."""

    def objects() -> Iterator[dict[str, Any]]:
        file.seek(0)
        for number, line in enumerate([file.read()] if whole else lines_of(name, file), start=1):
            try:
                items = json.loads(line) if line.strip() else []
            except (ValueError, RecursionError) as error:
                where = "" if whole else f"line {number:,} "
                raise InputError(f"{name}: {where}is not JSON: {error}") from None
            for item in items if isinstance(items, list) and (whole or not line.strip()) else [items]:
                if not isinstance(item, dict):
                    raise InputError(f"{name}: line {number:,} is {item!r:.60}; expected objects, one on each line")
                yield item

    nested = dict[str, bool]()
    for item in objects():
        for key, value in item.items():
            nested[key] = nested.get(key, True) and isinstance(value, list | dict)
    header = [f"{key} {NESTED}" if no_cell else key for key, no_cell in nested.items()]
    return header, (([_cell(item.get(key)) for key in nested], "") for item in objects())


def _cell(value: Any) -> str:
    """What a cell holds, as text: nothing for what is not known, JSON for a list or an object."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None or value is pd.NaT or value != value else str(value)


def _separator(head: Sequence[str]) -> str:
    """The comma, or what else divides the first two lines of a CSV into as many fields; else what does the header."""
    fields = {mark: [len(next(csv.reader([line], delimiter=mark), [])) for line in head] for mark in SEPARATORS}
    alike = [mark for mark, counts in fields.items() if len({*counts}) == 1 and counts[0] > 1]
    return (alike or sorted(SEPARATORS, key=lambda mark: -fields[mark][0] if head else 0))[0]
