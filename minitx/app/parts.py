"""Many files, a result for each, on the workers of a Dask cluster: `embed` and `predict` of parts.

    OUT/NAME.npy        the result of the part NAME.csv or NAME.parquet, written whole
    OUT/parts.log       what all results are made of, and then a line for each that is finished

A part is the work of one worker, which loads the model once. The same command goes on with the parts that are not
finished, so that a kill costs what was at work, and of vectors no more than a block (`app.embed`).

Rocklin 2015, "Dask: Parallel Computation with Blocked algorithms and Task Scheduling".
"""

import argparse
import atexit
import glob
import hashlib
import importlib
import json
import logging
import os
import re
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from pydoc import locate
from threading import Lock
from typing import Any

from minitx.app.embed import embed_file
from minitx.app.predict import Count, blocks, say_count, trained_column, write_file
from minitx.data.tables import NOTES, SUFFIXES, suffix_of
from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import FILES, find_directory
from minitx.models.multitask import MultiTaskModel
from minitx.system import Bar, __version__, cores, file_hash
from minitx.training.checkpoint import load_model
from minitx.writing import alone, remove_partials, to_disk, write_text

NOTE, LOCK = "parts.log", "parts.lock"  # no result has these endings
COUNTED = ("rows", "blank", "cut", "broken")  # of each part that is finished
VERSION = "minitx.system.__version__"
TOLD = 5  # of what went wrong with files
TIMEOUT = 10.0  # seconds in which a scheduler has to answer
_loading = Lock()


@dataclass(frozen=True)
class Job:
    """What is done to each part: all that a worker needs to know, which may be another machine."""

    command: str  # "embed" or "predict"
    directory: str
    model: str  # the checksum of what is in it
    column: str | None
    encoding: str
    format: str  # of a result: its suffix


def on_dask(a: argparse.Namespace) -> None:
    """`minitx embed` and `minitx predict` with `--engine dask`; `InputError` if something cannot be used."""
    embed = "data" not in a
    pattern, text = (a.file, a.text) if embed else (a.data, a.column)
    if not pattern or not a.out or (not embed and a.text):
        raise InputError(f"--engine dask takes {'FILE' if embed else 'no TEXT but --data'} 'PATTERN' --out DIRECTORY")
    suffix = ".npy" if embed else ".jsonl" if a.format == "json" else ".csv"
    job = new_job("embed" if embed else "predict", a.model, text, a.encoding, suffix)
    level = logging.root.manager.disable
    logging.disable()  # of a worker that died Dask writes much, and another does its part
    try:
        found = run_parts(job, pattern, Path(a.out), a.scheduler, a.overwrite, sys.stderr.isatty())
    except KeyboardInterrupt as error:
        # A cluster that had not started yet cannot be closed, and says so in a traceback; its workers end with us.
        atexit.unregister(getattr(sys.modules.get("distributed.deploy.spec"), "close_clusters", print))
        error.add_note(f"{a.out} has what is finished; the same command{' without --overwrite' * a.overwrite} goes on")
        raise
    finally:
        logging.disable(level)
    rows, blank, cut, broken = (sum(part[what] for part in found) for what in COUNTED)
    if before := sum(not part["new"] for part in found):
        print(f"{before:,} of {len(found):,} files were finished already")
    if cut:
        print(f"warning: {cut:,} of {rows:,} texts were too long and cut", file=sys.stderr)
    where = next((f"{part['part']}: {part['where']}" for part in found if part.get("where")), "")
    what = "vectors" if embed else "answers"
    say_count(Count(rows, blank, cut, broken, where), f"{a.out}, of {len(found):,} files", what)


def new_job(command: str, model: str, text: str | None, encoding: str, suffix: str) -> Job:
    """A job with a model's directory or name; `InputError` if there is no such model."""
    folder = find_directory(model).resolve()
    return Job(command, str(folder), _of_model(folder), text, encoding, suffix)


def _of_model(folder: Path) -> str:
    """The checksum of all files that can belong to a model: no pictures, and no vectors though they grow there."""
    files = sorted({file for pattern in FILES for file in folder.rglob(pattern) if ".npy.partial" not in file.name})
    sums = [f"{file.relative_to(folder)} {file_hash(file)}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `embed` and `predict` take beside their own arguments."""
    help = "the file is a pattern, as 'data/*.parquet', and --out a directory: one result for each, by Dask's workers"
    parser.add_argument("--engine", choices=("dask",), help=help)
    help_scheduler = "of Dask's scheduler; by default workers start here"
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help=help_scheduler)


def check_engine(a: argparse.Namespace) -> None:
    """`InputError` if without --engine something was given that goes with it alone."""
    source = str(getattr(a, "file", None) or getattr(a, "data", ""))
    if a.scheduler and not a.engine:
        raise InputError("--scheduler goes with --engine dask")
    if not a.engine and glob.has_magic(source) and not os.path.exists(source):
        raise InputError(f"{source} is a pattern: --engine dask takes it, with a directory for --out")


def find_parts(pattern: str, out: Path | None = None) -> dict[str, Path]:
    """The files that a pattern ("data/*.parquet") or a directory holds, by their names without the kind of file.

    Those in `out` are results, if anything was begun there. `InputError` if there are none, or two of a name.
    """
    pattern = os.path.join(glob.escape(pattern), "*") if os.path.isdir(pattern) else pattern
    files = [Path(file) for file in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(file)]
    files = [file for file in files if suffix_of(file) in (*SUFFIXES, ".txt") and file.name not in NOTES]
    if out and (out / NOTE).exists():
        files = [file for file in files if out.resolve() not in file.resolve().parents]
    parts = dict[str, Path]()
    for file in files:
        name = Path(re.sub(r"(?i)\.gz$", "", file.name)).stem
        if (other := parts.setdefault(name, file.absolute())) != file.absolute():
            raise InputError(f"{file} and {other} would have results of the same name: rename one")
    if not parts:
        raise InputError(f"no files are found at {pattern}; expected some of the kinds {' '.join(SUFFIXES)} .txt")
    return parts


def run_parts(
    job: Job, pattern: str, out: Path, scheduler: str = "", overwrite: bool = False, progress: bool = True
) -> list[dict[str, Any]]:
    """Do a job for every part of `pattern`, with the results in the directory `out`.

    Args:
        job: see `new_job`.
        pattern: see `find_parts`.
        out: a new or empty directory, or one that this function began for the same job.
        scheduler: the address of a Dask scheduler, whose workers find files and model under the names that they have
            here; by default, workers are started here, one for each core.
        overwrite: begin anew in a directory that was begun for this or another job.
        progress: show a bar.

    Returns:
        Of each part what the note has: "rows", how many of its texts were "blank", "cut" and "broken", checksums; and
        whether it is "new".

    Raises:
        InputError: a part or a combination cannot be used; results that are finished stay.
    """
    parts = find_parts(pattern, out)
    with ExitStack() as stack:
        try:
            if out.is_file():
                raise InputError(f"--out {out} is a file: expected the name of a directory")
            out.mkdir(exist_ok=True)
            stack.enter_context(alone(out / LOCK, out))
            known = _begin(out / NOTE, job, overwrite)
            dask, client = stack.enter_context(_cluster(scheduler, len(parts)))
            work = [(source, out.absolute() / f"{name}{job.format}", known.get(name)) for name, source in parts.items()]
            futures = [client.submit(do_part, job, *one, key=f"{one[1].stem!a}-{secrets.token_hex(4)}") for one in work]
            new, wrong = set[str](), []
            bar = stack.enter_context(Bar(total=len(parts), unit=" parts", disable=not progress))
            for future in dask.as_completed(futures):
                if error := future.exception():
                    wrong.append(error)
                    continue
                found, done = future.result()
                future.release()  # else Dask does the part again if the one worker that holds this dies
                if done:
                    if overwrite and not new:  # until now the old results counted
                        _write_note(out / NOTE, job)
                    known[found["part"]] = found
                    new.add(found["part"])
                    with (out / NOTE).open("a", encoding="utf-8", newline="\n") as note:
                        print(json.dumps(found), file=note)
                    to_disk(out / NOTE)
                bar.update()
            if other := [error for error in wrong if not isinstance(error, InputError | OSError)]:
                raise other[0]
            if told := sorted({f"{error!s:.300}" for error in wrong}):
                many = f"{len(wrong):,} of {len(parts):,} files have no result"
                raise InputError(f"{'; '.join(told[:TOLD])}; {many}")
        except OSError as error:
            raise InputError(f"{error.filename or out} cannot be used: {error.strerror or error}") from error
    return [known[name] | {"new": name in new} for name in parts]


def do_part(job: Job, source: Path, target: Path, known: dict[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """What a worker does: a part, unless it and its result are as `known` says. What the note says then; is it new?"""
    checksum = file_hash(source)
    if known and target.is_file() and (known.get("file"), known.get("result")) == (checksum, file_hash(target)):
        return known, False
    with _loading:  # once, though a worker may have several threads
        model = _load(job)
    with alone(target.with_name(f"{target.name}.lock"), target):  # a worker may outlive the command that it works for
        remove_partials(target)
        if isinstance(model, MultiTaskModel):
            texts = stream_texts(source, job.column or trained_column(job.directory, source), job.encoding, empty=True)
            count = write_file(model, blocks(texts), target, job.encoding)
        else:
            how: Any = {"text_column": job.column, "encoding": job.encoding, "overwrite": True, "progress": False}
            rows, _, cut, blank = embed_file(model, source, target, empty=True, **how)
            count = Count(rows, blank, cut)
        written = {"file": checksum, "result": file_hash(target)}
    return {"part": target.name.removesuffix(job.format), **asdict(count), **written}, True


@lru_cache(1)
def _load(job: Job) -> SentenceEncoder | MultiTaskModel:
    if _of_model(Path(job.directory)) != job.model:
        raise InputError(f"a worker does not find {job.directory}, or finds another model there")
    return load_model(job.directory) if job.command == "predict" else SentenceEncoder.from_pretrained(job.directory)


def _begin(note: Path, job: Job, overwrite: bool) -> dict[str, dict[str, Any]]:
    """What is finished of this job; `InputError` for a directory that is none of ours, or of another job."""
    mine = _told(job)
    remove_partials(note)
    if not note.exists() and (others := [file.name for file in note.parent.iterdir() if file.name != LOCK]):
        raise InputError(f"{note.parent} has no {NOTE} but {others[0]}: choose an empty directory or a new name")
    try:
        lines = note.read_text(encoding="utf-8").split("\n")[:-1] if note.exists() else [json.dumps(mine)]
        found = [json.loads(line) for line in lines]  # without the last one, which is empty or torn
        counts = [line[what] for line in found[1:] for what in COUNTED]
        if found[0]["command"] not in ("embed", "predict") or not all(type(count) is int for count in counts):
            raise ValueError
        known = {line["part"]: line for line in found[1:]}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{note} is not what minitx has written: move it away") from None
    if known and found[0] != mine and not overwrite:
        other = next((key for key in mine if found[0].get(key) != mine[key]), "minitx")
        raise InputError(f"{note.parent} was begun with another {other}: choose another name, or pass --overwrite")
    if not overwrite or not note.exists():
        _write_note(note, job, *known.values())
    return {} if overwrite else known


def _write_note(note: Path, job: Job, *finished: dict[str, Any]) -> None:
    write_text(note, "".join(json.dumps(line) + "\n" for line in (_told(job), *finished)))


def _told(job: Job) -> dict[str, Any]:
    return {key: value for key, value in asdict(job).items() if key != "directory"}  # which may have moved


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Threads and processes that start inside do not hear a terminal's Ctrl-C, which is for the command."""
    sys.warnoptions.append("ignore:resource_tracker")  # it cleans up after an interrupted cluster, and need not say so
    resource_tracker.ensure_running()  # which would else start later, and undo this
    sys.warnoptions.remove("ignore:resource_tracker")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """So many workers on this machine, each a process of one thread."""
    # Dask makes malloc give memory back at once, so that an encoder spends a third of its time on page faults; and it
    # looks a hundred times a second at what each worker does: see docs/many-files.md.
    own: dict[str, Any] = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}
    own["distributed.worker.profile.enabled"] = False
    how = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    config, dask = map(importlib.import_module, ("dask.config", "distributed"))
    with config.set(own):
        with _without_ctrl_c() if os.name == "posix" else nullcontext():
            cluster = dask.LocalCluster(**how, silence_logs=logging.CRITICAL)
        with cluster:
            yield cluster


@contextmanager
def _cluster(scheduler: str, parts: int) -> Iterator[tuple[Any, Any]]:
    """The module `distributed`, and a client of a scheduler, or of workers of our own, of which each has one core."""
    try:
        dask = importlib.import_module("distributed")
    except ImportError:
        raise InputError("`pip install distributed` lets minitx use --engine dask") from None
    with ExitStack() as stack:
        try:
            where = scheduler or stack.enter_context(local_cluster(min(parts, len(cores()))))
            client = stack.enter_context(dask.Client(where, timeout=TIMEOUT))
            client.wait_for_workers(1, timeout=TIMEOUT)
            # Without minitx there, Dask would wait for ever. A worker that dies meanwhile is not asked.
            found = client.run(locate, VERSION, on_error="return").values()
            there = {client.run_on_scheduler(locate, VERSION), *(v for v in found if not isinstance(v, OSError))}
        except (OSError, ValueError, RuntimeError) as error:
            what = f"no Dask scheduler with workers answers at {scheduler}" if scheduler else "Dask has no workers"
            raise InputError(f"{what}: {error!s:.200}") from None
        if other := there - {__version__}:
            raise InputError(f"Dask's processes need minitx {__version__}; one has {other.pop()}: install it there")
        try:
            yield dask, client
        except dask.KilledWorker as error:
            raise InputError(f"a part's workers were killed, one after the other: {error!s:.300}") from None
        except dask.client.FutureCancelledError:
            raise InputError("the Dask scheduler is gone; the same command goes on") from None
