"""What `minitx embed` goes on from: the unfinished vectors and the note about them."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.fuzz_readers import Reader, write_model
from minitx import system
from minitx.app import embed
from minitx.models.encoder import SentenceEncoder

TEXTS = [f"great app {'it' * i}!" for i in range(7)]  # a few blocks of two


class Stop(BaseException):
    """Ends a run where it is."""


@cache
def encoder() -> SentenceEncoder:
    with TemporaryDirectory() as folder:
        write_model(Path(folder) / "model")
        return SentenceEncoder.from_pretrained(Path(folder) / "model")


def embed_texts(folder: Path) -> bytes:
    """The vectors that a run gives which begins, or goes on, in `folder`."""
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    # Without the thread that each call would start for a limit on BLAS: that takes most of the time of such small work.
    with patch.object(embed, "TEXTS_AT_ONCE", 2), patch.object(system, "one_blas_thread", nullcontext):
        embed.embed_file(encoder(), folder / "texts.txt", folder / "v.npy", progress=False)
    return (folder / "v.npy").read_bytes()


@cache
def whole() -> bytes:
    with TemporaryDirectory() as folder:
        return embed_texts(Path(folder))


def make(directory: Path) -> dict[str, list[bytes]]:
    """Two of four blocks are finished; in the other contents none, and three."""
    put, names = embed._write, dict[str, list[bytes]]({"v.npy.partial": [], "v.npy.partial.json": []})
    for blocks in (0, 3, 2):
        writes = count()  # the first is the note's head, then come two for a block

        def write(*arguments: Any, writes: Iterator[int] = writes, last: int = 2 * blocks) -> None:
            if next(writes) > last:
                raise Stop
            put(*arguments)

        with patch.object(embed, "_write", write), suppress(Stop):
            embed_texts(directory)
        for name, others in names.items():
            content = (directory / name).read_bytes()
            if blocks != 2:
                others.append(content)
                (directory / name).unlink()
    return names


def read(path: Path) -> None:
    """Whatever is damaged, a run is refused or ends with the right bytes, and leaves nothing else."""
    work = path.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in ("v.npy.partial", "v.npy.partial.json"):
        shutil.copyfile(path.with_name(name), work / name)
    assert embed_texts(work) == whole(), "other bytes"
    assert sorted(file.name for file in work.iterdir()) == ["texts.txt", "v.npy"], "something is left over"


READERS = [Reader("X.npy.partial", make, read)]
