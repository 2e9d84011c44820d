"""Files and directories that are there whole or not at all, and that minitx alone has written.

A file is written beside its place, brought to the disk and then renamed, which is one act. A directory of several
files takes its name when the work begins, not when it ends, and grows in a folder of its own inside:

    DIR/minitx-unfinished/lock          held by whoever is at work, and let go of by the system if that is killed
    DIR/minitx-unfinished/writing/      the files, as they are made
    DIR/minitx-unfinished/result/       all of them
    DIR/minitx-unfinished/moving/       those that are not yet moved up to DIR; the old ones there are gone
    DIR/minitx-unfinished/...           what a training keeps besides, to go on from: see `app.experiment.resume`

Nothing else in DIR is ever touched, and a kill at any instant leaves the old result, or the new one, or both.
"""

import glob
import json
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

from filelock import FileLock, Timeout

from minitx.errors import InputError
from minitx.system import CONFIG, MODULES, WEIGHTS

UNFINISHED, WRITING, RESULT, MOVING = "minitx-unfinished", "writing", "result", "moving"
LOCK, RUN, CHECKPOINT = "lock", "run.json", "checkpoint.safetensors"  # in DIR/minitx-unfinished, of a training
# What minitx itself writes into a directory, and so may replace or remove there.
OURS: tuple[str, ...] = (CONFIG, WEIGHTS, MODULES, "1_Pooling/config.json", "tokenizer.json", "tokenizer_config.json")
OURS += ("sentence_bert_config.json", "config_sentence_transformers.json", "minitx.json", "heads.safetensors")
OURS += ("baseline.safetensors", "words.safetensors", "manifest.json", "metrics.json", "history.csv", "trainable.txt")
OURS += ("timeline.png", "curves.png", "gradients.png", "curve.png", "masked.png", "distilled.csv")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to; when the block ends without an error, it is on the disk and has the name.

    `InputError` if it cannot be written; what was there is then as it was.
    """
    path = Path(os.path.realpath(path))  # through a symlink, which stays
    partial = path.with_name(f"{_start(path)}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        to_disk(partial)
        take_place(partial, path, overwrite=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(path: Path) -> None:
    """Remove what kills have left of `whole_file`s at `path`, where nobody else writes one now."""
    for partial in path.parent.glob(f"{glob.escape(_start(path))}-{'[0-9a-f]' * 8}{glob.escape(path.suffix)}"):
        partial.unlink()


def _start(path: Path) -> str:
    """How the names of a file's partials begin: those of no other file do, though its name may be too long for it."""
    return f".{path.stem[:40]}-{zlib.crc32(os.fsencode(path.name)):08x}"


def take_place(partial: Path, path: Path, overwrite: bool = False) -> None:
    """Give a finished file its name; `InputError` without `overwrite` if that is taken, even if only just now."""
    try:
        if overwrite:
            os.replace(partial, path)
        else:
            os.link(partial, path)  # fails if there is one, where os.replace() would not
            partial.unlink()
    except FileExistsError:
        raise InputError(f"{path} has appeared meanwhile: it will not be replaced") from None
    except OSError:  # no second names on this kind of disk
        if overwrite or os.path.lexists(path):
            raise
        os.replace(partial, path)
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Wait until the disk itself has a file, or the names in a directory."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a directory, and does not need it
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """UTF-8 with "\\n" at the end of lines; what UTF-8 cannot hold, half of a pair, as \\udcff, which JSON reads."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """UTF-8, two spaces, a newline at the end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def alone(lock: Path, what: Path) -> Iterator[None]:
    """Hold the file `lock` inside, and remove it at the end; `InputError` if another thread or process holds it."""
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{what} is in use: another minitx is at work there") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it by itself
            lock.unlink()
        held.release()


@contextmanager
def new_directory(path: Path, overwrite: bool = False, go_on: bool = False) -> Iterator[Path]:
    """A folder for the files of `path`, which are moved there once the block has ended without an error.

    The name is taken now. After an error nothing of it is left, except of a training that has a checkpoint.

    Args:
        path: what is to become a directory; see `check_target`.
        overwrite: replace what minitx wrote there earlier.
        go_on: with the unfinished training there; else that is refused, or with `overwrite` given up.

    Raises:
        InputError: `check_target` refuses, the directory cannot be written, or somebody else is writing it.
    """
    if not go_on:
        check_target(path, overwrite)
    work = path / UNFINISHED
    made = not path.exists() or list(path.iterdir()) == [work]
    try:
        work.mkdir(parents=True, exist_ok=True)
        with alone(work / LOCK, path):
            if not go_on:
                if _is_complete(work):  # as what was interrupted has it, the old files may be gone
                    publish(path, overwrite)
                check_target(path, overwrite, locked=True)
                _discard(work)
            _sweep(work)
            (work / WRITING).mkdir()
            try:
                yield work / WRITING
                for file in (work / WRITING).rglob("*"):
                    to_disk(file)
                to_disk(work / WRITING)
                os.replace(work / WRITING, work / RESULT)
                publish(path, overwrite)
            finally:
                _sweep(work)
                if not _is_complete(work) and not (work / CHECKPOINT).exists():
                    _discard(work)
    except BrokenPipeError:  # of whoever reads what is printed
        raise
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # there is something left in them
            work.rmdir()
            if made:
                path.rmdir()


def finish(path: Path, overwrite: bool) -> bool:
    """Move up the files of a `new_directory` that was interrupted when they were all there; False if they were not."""
    if not _is_complete(path / UNFINISHED):
        return False
    with alone(path / UNFINISHED / LOCK, path):
        publish(path, overwrite)
    with suppress(OSError):  # there is something left in it
        (path / UNFINISHED).rmdir()
    return True


def tidy(path: Path) -> None:
    """Remove what is left of a run that was killed before it had anything to go on from, or after it had finished."""
    work = path / UNFINISHED
    if work.exists() and not (work / RUN).exists() and not _is_complete(work):
        with alone(work / LOCK, path):
            _discard(work)
        with suppress(OSError):  # there is something in it
            work.rmdir()


def _is_complete(work: Path) -> bool:
    """All files of a result are there, and wait to be moved up."""
    return any((work / name).exists() for name in (RESULT, MOVING))


def publish(path: Path, overwrite: bool) -> None:
    """Move finished files up to `path`; after an interruption, doing it again goes on where it stopped.

    Without config.json a directory is not complete: of the old files it goes first, of the new ones it comes last.
    """
    result, moving = path / UNFINISHED / RESULT, path / UNFINISHED / MOVING
    if result.exists():
        taken = [path / name for name in _files(result) if os.path.lexists(path / name)]
        if taken and not overwrite:
            raise InputError(f"{taken[0]} has appeared meanwhile; move it away: `minitx train --resume {path}` goes on")
        old = _written(path) if overwrite else []
        (path / CONFIG).unlink(missing_ok=True)
        for file in old:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # other files are in it, as they are in `path`
                file.parent.rmdir()
        to_disk(path)
        os.replace(result, moving)
    for folder in sorted(folder for folder in moving.rglob("*") if folder.is_dir()):
        place = path / folder.relative_to(moving)
        if place.is_symlink():
            raise InputError(f"{place} is a symlink, so minitx has not made it: move it away, and do this again")
        place.mkdir(exist_ok=True)
    for name in _files(moving):
        if name == Path(CONFIG):
            to_disk(path)  # the others first
        os.replace(moving / name, path / name)
    to_disk(path)
    _discard(path / UNFINISHED)


def _written(path: Path) -> list[Path]:
    """The files of a directory that minitx wrote: those its manifest names, or where there is none, by their names."""
    try:
        listed = {"manifest.json", *json.loads((path / "manifest.json").read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        listed = set(OURS)
    pictures = {
        file.name for kind in ("confusion", "calibration") for file in path.glob(f"{kind}_*.png")
    }  # nothing else
    return [path / name for name in sorted(listed & {*OURS, *pictures}) if (path / name).is_file()]


def _files(folder: Path) -> list[Path]:
    """The files in a folder and below, relative to it; config.json comes last."""
    found = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return sorted(found, key=lambda file: (file == Path(CONFIG), file))


def _discard(work: Path) -> None:
    """Remove what minitx has put into a folder of unfinished work, except the lock."""
    (work / RUN).unlink(missing_ok=True)  # first: without it there is nothing to go on with
    (work / CHECKPOINT).unlink(missing_ok=True)
    _sweep(work)
    for folder in (RESULT, MOVING):
        shutil.rmtree(work / folder, ignore_errors=True)


def _sweep(work: Path) -> None:
    """Remove what a kill left half written in a folder of unfinished work."""
    for partial in work.glob(".*"):
        partial.unlink()
    shutil.rmtree(work / WRITING, ignore_errors=True)


def check_target(path: Path, overwrite: bool = False, locked: bool = False) -> None:
    """`InputError` unless a directory may be written to `path`: a new or empty one, or with `overwrite` a model's.

    `locked`: the caller holds its lock.
    """
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise InputError(f"{path} is not a directory, or a symlink that leads nowhere: choose another name")
    if not locked:
        tidy(path)
    unfinished, names = path / UNFINISHED, {entry.name for entry in path.iterdir()} - {UNFINISHED}
    if (unfinished / RUN).exists() and not overwrite and not locked:
        with alone(unfinished / LOCK, path):  # or else it is not unfinished but under way
            pass
        how = f"`minitx train --resume {quote(str(path))}` goes on with it, --overwrite starts anew"
        raise InputError(f"{path} holds an unfinished run: {how}")
    if not names:
        return
    missing = [name for name in (CONFIG, WEIGHTS, MODULES) if not (path / name).is_file()]
    if missing and not _is_complete(unfinished):
        raise InputError(f"{path} exists and is not a model directory (it has no {missing[0]}): choose another name")
    if not overwrite:
        raise InputError(f"{path} exists already: choose another name, or overwrite it (--overwrite, overwrite=True)")


def check_new_file(path: Path, suffix: str, overwrite: bool = False) -> None:
    """`InputError`, before any work is done, if a result may not or cannot be written to the file `path`."""
    if path.suffix != suffix:
        raise InputError(f"{path}: the output is a {suffix} file, so its name must end in {suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a directory")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another file, or overwrite it (--overwrite, overwrite=True)")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()  # os.access() lets root write to /proc
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from error
