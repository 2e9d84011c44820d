"""A file of texts becomes a file of vectors: in pieces, so that memory stays flat, and resumable.

While it grows, the result is `X.npy.partial`, or `X.csv.partial`, with `X.npy.partial.json` beside it, which says what
it is made from. Whoever starts the same command again goes on after the last whole row.
"""

import json
import os
import warnings
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.system import write_json
from minitx.text.tokenizer import TruncationWarning

TEXTS_AT_ONCE = 4096  # enough for batches of one length each
NPY_HEADER = 128  # bytes: what np.save writes before a matrix


class NpyFile:
    """Vectors (N, D) float32 as np.load reads them. N is written last, when it is known."""

    def __init__(self, file: BinaryIO, width: int) -> None:
        self.file, self.width = file, width
        size = file.seek(0, os.SEEK_END)
        self.rows = max(0, size - NPY_HEADER) // (4 * width)  # a last, half-written row does not count
        file.truncate(NPY_HEADER + self.rows * 4 * width)
        file.seek(0, os.SEEK_END)

    def append(self, vectors: np.ndarray) -> None:
        """Add rows."""
        self.file.write(np.ascontiguousarray(vectors, "<f4").data)
        self.rows += len(vectors)

    def finish(self) -> None:
        """Write the header."""
        self.file.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_1_0(self.file, header)
        assert self.file.tell() == NPY_HEADER


class CsvFile:
    """Vectors as text: columns d0, d1, ..., one row each, nine digits, from which float32 is restored exactly."""

    def __init__(self, file: BinaryIO, width: int) -> None:
        self.file, self.rows = file, 0
        header = ",".join(f"d{i}" for i in range(width)).encode() + b"\n"
        end = 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            self.rows += 1
        self.rows = max(0, self.rows - 1)
        file.truncate(end)
        file.seek(0, os.SEEK_END)
        if not end:
            file.write(header)

    def append(self, vectors: np.ndarray) -> None:
        """Add rows."""
        np.savetxt(self.file, vectors, fmt="%.9g", delimiter=",")
        self.rows += len(vectors)

    def finish(self) -> None:
        """Nothing is left to do."""


KINDS: dict[str, type[NpyFile] | type[CsvFile]] = {".npy": NpyFile, ".csv": CsvFile}


def embed_file(
    encoder: SentenceEncoder,
    source: str | Path,
    out: Path,
    *,
    text_column: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[int, int, int]:
    """Write a vector for every text of `source` to `out`, a .npy or a .csv, in their order.

    Args:
        encoder: what makes the vectors.
        source: see `data.texts.stream_texts`; it is read once to count and check, and once more to embed.
        out: must not exist, unless `overwrite`.
        text_column: of a .csv.
        overwrite: replace `out`, and a partial result that is of another model, file or column.
        progress: show a bar.

    Returns:
        How many vectors there are, how many of them were there already, and how many texts were cut.

    Raises:
        InputError: a file or a combination cannot be used; nothing that existed is lost.
    """
    check_out(out, overwrite)
    width = encoder.config.hidden_size
    total = sum(1 for _ in stream_texts(source, text_column))
    partial, note = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.partial.json")
    sample = encoder.encode("which model is this?")  # tells models apart that were trained into the same directory
    about: dict[str, Any] = {
        "file": str(source),
        "column": text_column,
        "texts": total,
        "modified": os.stat(source).st_mtime_ns,
    }
    about |= {"width": width, "sample": [round(float(x), 4) for x in sample[:8]]}
    if partial.exists() and _read_note(note) != about:
        if not overwrite:
            raise InputError(f"{partial} was begun with another model or file: delete it, or pass --overwrite")
        partial.unlink()
    write_json(note, about)
    cut = 0
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        result = KINDS[out.suffix](file, width)
        before = result.rows
        texts = islice(stream_texts(source, text_column), before, None)
        with tqdm(total=total, initial=before, unit=" texts", disable=not progress) as bar:
            while part := list(islice(texts, TEXTS_AT_ONCE)):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", TruncationWarning)
                    result.append(encoder.encode(part, show_progress_bar=False))
                cut += sum(w.message.count for w in caught if isinstance(w.message, TruncationWarning))
                file.flush()
                bar.update(len(part))
        result.finish()
    os.replace(partial, out)
    note.unlink()
    return result.rows, before, cut


def check_out(out: Path, overwrite: bool) -> None:
    """`InputError` if vectors cannot be written to `out`."""
    if out.suffix not in KINDS:
        raise InputError(f"{out}: vectors are written as {' or '.join(KINDS)}")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a directory")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already: choose another file, or pass --overwrite to replace it")


def _read_note(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
