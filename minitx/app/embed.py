"""A file of texts becomes a file of vectors: a few thousand at a time, so that memory stays flat, and resumable.

While it grows, the result is `X.npy.partial`, with `X.npy.partial.json` beside it, which says what it is made from. The
length of the file tells how many vectors are finished, so the same command goes on after the last whole one. (A memory
map would need a count of its own, and a full disk would kill the process where writing to a file gives an error.)
"""

import io
import json
import os
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.writing import check_new_file

TEXTS_AT_ONCE = 4096  # enough for batches of one length each


def embed_file(
    encoder: SentenceEncoder,
    source: str | Path,
    out: Path,
    *,
    text_column: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[int, int, int]:
    """Write a vector for every text of `source` to `out`, (N, D) float32 as np.load reads it, in their order.

    Args:
        encoder: what makes the vectors.
        source: see `data.texts.stream_texts`; it is read once to count and check, and once more to embed.
        out: a .npy, which must not exist unless `overwrite`.
        text_column: of a .csv.
        overwrite: replace `out`, and a partial result that is of another model, file or column.
        progress: show a bar.

    Returns:
        How many vectors there are, how many of them were there already, and how many texts were cut.

    Raises:
        InputError: a file or a combination cannot be used; nothing that existed is lost.
    """
    check_new_file(out, ".npy", overwrite)
    width = encoder.config.hidden_size
    total = sum(1 for _ in stream_texts(source, text_column))
    partial, note = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.partial.json")
    sample = encoder.encode("which model is this?")  # tells models apart that were trained into the same directory
    about = [str(source), text_column, total, os.stat(source).st_mtime_ns, width, [round(float(x), 4) for x in sample]]
    made_of = json.dumps(about).encode()
    if partial.exists() and not (note.is_file() and note.read_bytes() == made_of):
        if not overwrite:
            raise InputError(f"{partial} was started with another model or file: delete it, or pass --overwrite")
        partial.unlink()
    note.write_bytes(made_of)
    cut = 0
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        before = done = _resume(file, total, width)
        texts = islice(stream_texts(source, text_column), before, None)
        with tqdm(total=total, initial=before, unit=" texts", disable=not progress) as bar:
            while part := list(islice(texts, TEXTS_AT_ONCE)):
                sequences, too_long = encoder.tokenize_and_cut(part)
                cut += too_long
                file.write(encoder.encode_ids(sequences, show_progress_bar=False).astype("<f4").tobytes())
                file.flush()
                done += len(part)
                bar.update(len(part))
    if done != total:
        raise InputError(f"{source} changed while it was read: there were {total:,} texts, and then {done:,}")
    os.replace(partial, out)
    note.unlink()
    return total, before, cut


def _resume(file: BinaryIO, rows: int, width: int) -> int:
    """Leave `file` where the next row belongs, after a header and whole rows; returns how many rows there are."""
    header, row = io.BytesIO(), 4 * width
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})
    start = header.tell()
    done = max(0, file.seek(0, os.SEEK_END) - start) // row  # a last, half-written row does not count
    file.seek(0)
    file.write(header.getvalue())
    file.truncate(start + done * row)
    file.seek(0, os.SEEK_END)
    return done
