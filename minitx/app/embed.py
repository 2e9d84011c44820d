"""A file of texts becomes a file of vectors: a block at a time, so that memory stays flat, and resumable to the bit.

While it grows, the result is `X.npy.partial`, with `X.npy.partial.json` beside it. The first line there says what the
vectors are made of, and each further line is the checksum of a finished block, written once the disk has the block. So
a kill at any instant costs the block that was at work: the same command checks what is there and goes on after the last
good block, from the same text as a run that was never killed, and hence to the same bytes. (A memory map would need no
writing, but a full disk would kill the process where writing to a file gives an error.)

Behind the vectors, where `np.load` does not look, stands a second array: the checksums of model and texts, so that a
search refuses vectors of a corpus that was sorted or edited since, and those of another model.
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO
from unicodedata import unidata_version

import numpy as np

from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.search import normalized
from minitx.system import Bar, PathLike, check_file
from minitx.writing import alone, check_new_file, take_place, to_disk, whole_file

OURS = b'{"minitx": '  # how a note begins
TEXTS_AT_ONCE = 4096  # a block: enough for batches of one length each
# Another processor, BLAS or table of characters may give other bits: that shows in the vectors of any text.
SAMPLE = "Which MODEL is this, on which machine, by which rules? Ça m'étonne, 漢字 \U0001f621 \u200b\u0301 1234567890!"
# How np.save begins a file of floats (N, D). NumPy itself would also accept a good deal else.
NPY = rb"(?s)\x93NUMPY\x01\0..{'descr': '([<>]f[248])', 'fortran_order': (True|False), 'shape': \((\d+), (\d+)\), } *\n"
MOST_BEHIND = 1000  # bytes behind the vectors
RECORDED = ("model", "file")  # of what vectors are made of
COMPARED, ALIKE = 16, 0.999  # texts that are embedded to check vectors without checksums; the least cosine


def embed_file(
    encoder: SentenceEncoder,
    source: str | Path,
    out: Path,
    *,
    text_column: str | None = None,
    encoding: str = "",
    empty: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[int, int, int, int]:
    """Write a vector for every text of `source` to `out`, (N, D) float32 as np.load reads it, in their order.

    Args:
        encoder: what makes the vectors.
        source: see `data.texts.stream_texts`; it is read once to count and check, and once more to embed.
        out: a .npy, which must not exist unless `overwrite`.
        text_column: of a table.
        encoding: of `source`, if it is not UTF-8.
        empty: it may have no rows.
        overwrite: replace `out`, and a partial result that is of another model or file.
        progress: show a bar.

    Returns:
        How many vectors there are, how many of them were there already; how many texts were cut, how many are blank.

    Raises:
        InputError: a file or a combination cannot be used; nothing that existed is lost, and no finished block.
    """
    check_vectors(out, overwrite)
    partial, note, lock = beside(out)
    try:
        with alone(lock, out):
            how = source, text_column, encoding, empty
            read = [(block, sum(not text.strip() for text in texts)) for texts, block in _in_blocks(stream_texts(*how))]
            blocks, blank = [block for block, _ in read], sum(count for _, count in read)
            made_of = of_encoder(encoder) | _of_texts(blocks)
            partial.touch()
            note.touch()
            to_disk(partial.parent)
            with partial.open("r+b") as file, note.open("r+b") as log:
                _begin(file, log, made_of, overwrite)
                done, cut = _resume(file, log, [rows for rows, _ in blocks], encoder.get_embedding_dimension())
                before, total = (sum(rows for rows, _ in some) for some in (blocks[:done], blocks))
                with Bar(total=total, initial=before, unit=" texts", disable=not progress) as bar:
                    rest = islice(_in_blocks(stream_texts(*how)), done, None)
                    for found, block in zip_longest(rest, blocks[done:]):
                        if found is None or found[1] != block:
                            goes_on = f"with what it was the same command goes on, else delete {partial}"
                            raise InputError(f"{source} changed while it was read: {goes_on}")
                        rows, too_long = _vectors(encoder, found[0])
                        vectors = rows.astype("<f4").tobytes()
                        _write(file, vectors)
                        _write(log, _line(vectors, too_long))  # never claims what the disk does not have
                        cut += too_long
                        bar.update(len(rows))
                _write(file, _trailer(made_of))
            to_disk(partial)
            take_place(partial, partial.with_suffix(""), overwrite)
            note.unlink()
    except OSError as error:
        wrong = f"{error.filename or partial} cannot be written: {error.strerror or error}"
        raise InputError(f"{wrong}; what is finished is kept, and the same command goes on") from error
    return total, before, cut, blank


def beside(out: Path) -> list[Path]:
    """The vectors while they are unfinished, the note about them, and the lock; through a symlink, which stays."""
    out = Path(os.path.realpath(out)) if out.is_symlink() else out
    return [out.with_name(f"{out.name}.partial{end}") for end in ("", ".json", ".lock")]


def check_vectors(out: Path, overwrite: bool = False) -> None:
    """`check_new_file`, after removing what a run left that was killed when `out` had just got its name.

    Also an `InputError` if there is something else than a file where one belongs, finished or not.
    """
    partial, note, lock = beside(out)
    for path in (partial.with_suffix(""), partial, note, lock):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(f"{path} is not a regular file, so minitx has not written it: move it away")
    if any(path.exists() for path in (partial, note, lock)):
        with alone(lock, out):
            if partial.exists() and partial.stat().st_nlink > 1:  # it has got its name
                if out.is_file() and out.samefile(partial):
                    partial.unlink()
                else:  # which may be another by now, and stays as it is
                    with whole_file(partial) as own:
                        shutil.copyfile(partial, own)
            if not partial.exists() and note.exists() and note.stat().st_size:
                if note.read_bytes()[: len(OURS)] != OURS:
                    raise InputError(f"{note} is not what minitx has written: move it away")
                if out.exists():
                    note.unlink()
    check_new_file(out, ".npy", overwrite)


def load_vectors(path: PathLike, encoder: SentenceEncoder, texts: Sequence[str], model: dict[str, str]) -> np.ndarray:
    """The vectors (N, D) of N texts that `embed_file` wrote, mapped into memory; `model` is `of_encoder(encoder)`.

    Those without checksums, from elsewhere or an older minitx, are compared with what the encoder makes of some texts.
    `InputError` for another kind of file, and for vectors of other texts or of another model.
    """
    vectors, trailer = map_vectors(path, (len(texts), encoder.get_embedding_dimension()))
    made_of = model | _of_texts([block for _, block in _in_blocks(iter(texts))])
    wrong = ""
    if trailer and trailer != _trailer(made_of):
        other_model, other_texts = (made_of[what].encode() not in trailer for what in RECORDED)
        damaged = "by minitx, and is damaged at its end"
        wrong = "of other texts, or of the same in another order" if other_texts else damaged
        wrong = "by another model, or with other settings" if other_model else wrong
    some = np.unique(np.linspace(0, len(texts) - 1, COMPARED if texts and not trailer else 0).astype(int))
    rows = [row for row in some if texts[row].strip()]
    ours, _ = _vectors(encoder, [texts[row] for row in rows])
    with np.errstate(invalid="ignore"):  # what is not finite is not alike
        alike = normalized(ours) * normalized(np.asarray(vectors[rows], "f4"))
    if wrong or not (alike.sum(axis=1) > ALIKE).all():
        wrong = wrong or "of other texts, or by another model"
        raise InputError(f"{path} was made {wrong}: `minitx embed` makes it anew")
    return vectors


def map_vectors(path: PathLike, expected: tuple[int, int]) -> tuple[np.ndarray, bytes]:
    """The (N, D) floats of a .npy, mapped into memory, and what stands behind them; `InputError` for another file."""
    check_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(200)
            header = re.match(NPY, start)
            if not header or 10 + int.from_bytes(start[8:10], "little") != header.end():
                raise ValueError("another kind of file or of array")
            if (stored := (int(header[3]), int(header[4]))) == expected:
                place: dict[str, Any] = {"offset": header.end(), "order": "F" if header[2] == b"True" else "C"}
                vectors = np.memmap(path, header[1].decode(), "r", shape=stored, **place)
                file.seek(header.end() + vectors.nbytes)
                return vectors, file.read(MOST_BEHIND)
    except ValueError as error:
        raise InputError(f"{path} is not a .npy file that `minitx embed` wrote, or not the whole of one") from error
    raise InputError(f"{path} holds {stored}; the corpus and the model make {expected}")


def _vectors(encoder: SentenceEncoder, texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """As `encoder.encode`, (N, D), and how many texts were too long, instead of a warning."""
    sequences, cut = encoder.tokenize_and_cut([encoder.prompt_of(encoder.of_role("document")) + text for text in texts])
    return encoder.encode_ids(sequences, show_progress_bar=False)[:, : encoder.truncate_dim], cut


def _trailer(made_of: dict[str, str]) -> bytes:
    """The checksums that stand behind the vectors, as np.save writes them."""
    with io.BytesIO() as file:
        np.save(file, np.frombuffer(json.dumps({what: made_of[what] for what in RECORDED}).encode(), np.uint8))
        return file.getvalue()


def _in_blocks(texts: Iterator[str]) -> Iterator[tuple[list[str], tuple[int, str]]]:
    """Some thousands of texts, and how many and which they are.

    Blocks begin at the same texts whether a run is resumed or not, and so the bits of their vectors are the same.
    """
    while part := list(islice(texts, TEXTS_AT_ONCE)):
        yield part, (len(part), _sha256(json.dumps(part).encode()))


def of_encoder(encoder: SentenceEncoder) -> dict[str, str]:
    """What beside the texts decides about the bits of their vectors, as checksums."""
    weights = [
        (name, w.dtype.str, w.shape, _sha256(np.ascontiguousarray(w).data)) for name, w in encoder.state_dict().items()
    ]
    usage = encoder.max_seq_length, encoder.truncate_dim, encoder.prompt_of(encoder.of_role("document"))
    ids, _ = encoder.tokenize_and_cut([SAMPLE] * 8)  # refuses an encoder without a tokenizer
    made_of = {
        "minitx": "third format",
        "model": (encoder.config, *usage, encoder.tokenizer and encoder.tokenizer.spec, weights),
        "NumPy, Python or processor": (np.__version__, unidata_version, ids, encoder.encode_ids(ids).tobytes()),
    }
    return {what: _sha256(ascii(value).encode()) for what, value in made_of.items()}


def _of_texts(blocks: Sequence[tuple[int, str]]) -> dict[str, str]:
    return {"file": _sha256(ascii(blocks).encode())}


def _begin(file: BinaryIO, log: BinaryIO, made_of: dict[str, str], overwrite: bool) -> None:
    """Leave the note after its first line; `InputError` if it says that the file is of something else."""
    head = json.dumps(made_of).encode() + b"\n"
    found = log.readline(len(head))
    if found != head:
        if file.seek(0, os.SEEK_END) and not overwrite:
            other = next((what for what, value in made_of.items() if value.encode() not in found), "minitx")
            raise InputError(f"{file.name} was started with another {other}: delete it, or pass --overwrite")
        log.seek(0)
        log.truncate()  # so that no block counts
        _write(log, head)


def _resume(file: BinaryIO, log: BinaryIO, blocks: Sequence[int], width: int) -> tuple[int, int]:
    """Leave both where the next block belongs, after a header and good blocks; how many, and how many texts were cut.

    A block is good if the note has the checksum of what is there. From the first that is not, all are made anew.
    """
    header, done, cut = {"descr": "<f4", "fortran_order": False, "shape": (sum(blocks), width)}, 0, 0
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, header)
    ends = file.tell(), log.tell()
    for rows in blocks:
        vectors, line = file.read(4 * width * rows), log.readline(100)
        too_long = int(line[65:-1]) if line[65:-1].isdigit() else 0
        if line != _line(vectors, too_long):
            break
        ends, done, cut = (file.tell(), log.tell()), done + 1, cut + too_long
    for stream, end in zip((file, log), ends, strict=True):
        stream.truncate(end)
        stream.seek(end)
    return done, cut


def _line(vectors: bytes, cut: int) -> bytes:
    """What the note says of a finished block."""
    return f"{_sha256(vectors)} {cut}\n".encode()


def _sha256(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
