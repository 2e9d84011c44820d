"""What several rooms need of the machine: files that are UTF-8 or refused, cores."""

import codecs
import hashlib
import json
import math
import os
import re
import reprlib
import stat
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from encodings.aliases import aliases
from gzip import GzipFile
from io import BufferedReader, TextIOWrapper
from typing import Any, TextIO
from uuid import uuid4

import threadpoolctl
from tqdm import tqdm

from minitx.errors import InputError, suggestion

__version__ = "0.2.0"  # which pyproject.toml reads here
PathLike = str | os.PathLike[str]
CONFIG, WEIGHTS, MODULES = "config.json", "model.safetensors", "modules.json"  # what makes a directory a model's
MOST_BYTES = 64 << 20  # of a file that is read whole; the largest tokenizer.json that minitx reads has some 30 MB

_asked = os.environ.get("OMP_NUM_THREADS", "")  # once: Dask sets it for processes that it starts, and leaves it set
_blas = threading.Lock()
_blas_users: set[object] = set()
_blas_limits: list[Any] = []  # the limit in force, if there is one; it knows what was before
# From 3.8 on, threadpoolctl obeys the first thread that sets a limit, and silently no other for as long as that lives.
_free_blas = getattr(getattr(threadpoolctl, "OpenBLASController", None), "clear_controlling_thread", lambda force: None)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One BLAS thread inside, for each of the threads that share our work.

    The limit is the whole process's. So whoever comes first sets it and whoever leaves last restores what was before,
    in whatever order blocks in several threads overlap, and also if Ctrl-C comes in the middle of this.
    """
    user = object()
    try:
        _blas_users.add(user)
        _settle_blas()
        yield
    finally:
        _blas_users.discard(user)
        if threading.main_thread().is_alive():  # else Python is ending: it starts no thread, and nobody computes
            _settle_blas()


def _settle_blas() -> None:
    """Limit BLAS if there are users, else take the limit away, from a thread of its own: Ctrl-C leaves that whole."""

    def settle() -> None:
        with _blas:
            _free_blas(force=True)
            if _blas_users and not _blas_limits:
                _blas_limits.append(threadpoolctl.threadpool_limits(1, "blas"))
            elif _blas_limits and not _blas_users:
                _blas_limits.pop().restore_original_limits()
            _free_blas(force=True)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(settle).result()


@contextmanager
def workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, each with one BLAS thread.

    All have ended when the block has: after an error or Ctrl-C, what they have begun is finished and the rest dropped.
    """
    with one_blas_thread():
        pool = ThreadPoolExecutor(threads, name := f"minitx workers {uuid4()}")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            for thread in threading.enumerate():  # of one that starts while Ctrl-C comes, the pool knows nothing
                if thread.name.startswith(name):
                    thread.join()


if hasattr(os, "register_at_fork"):  # not on Windows. A child has none of its parent's threads, so it has no users
    os.register_at_fork(before=_blas.acquire, after_in_parent=_blas.release, after_in_child=_blas.release)
    # ... and nobody who would release tqdm's lock.
    os.register_at_fork(after_in_child=lambda: _blas_users.clear() or tqdm.set_lock(threading.RLock()))  # type: ignore[func-returns-value]


class Bar(tqdm):  # type: ignore[type-arg]
    """A progress bar without tqdm's monitor, a thread that would stay for good, even of a bar that is not shown."""

    monitor_interval = 0


def free_memory() -> float:
    """Bytes that a process may still take without being killed for it; infinite where nothing says so."""
    free = [math.inf]
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:
        free += [1024 * int(line.split()[1]) for line in file if line.startswith(("MemAvailable", "SwapFree"))]
        free = [sum(free[1:])]
    with suppress(OSError, ValueError):  # "max": no limit
        limit, used = (int(read_text(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
        free.append(limit - used)
    return min(free)


def cores() -> set[int]:
    """The numbers of the cores that this process may run on, which can be fewer than the machine has."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {*range(os.cpu_count() or 1)}


def usable_cores() -> int:
    """How many they are, or fewer if OMP_NUM_THREADS says so, as Dask does to its workers. Torch: `get_num_threads`."""
    asked = re.fullmatch("([1-9][0-9]{,8})(,.*)?", _asked)  # "4,2": for nested threads
    return min(len(cores()), int(asked[1])) if asked else len(cores())


def check_encoding(name: str) -> None:
    """`InputError` unless Python knows an encoding of this name, or it is ""."""
    try:
        "".encode(name or "utf-8")
    except (LookupError, ValueError):
        near = suggestion(name, sorted(aliases.values()), "expected one that Python knows, as cp1252")
        raise InputError(f"unknown encoding {name!r:.60}; {near}") from None


@contextmanager
def open_text(path: PathLike, encoding: str | None = None) -> Iterator[TextIO]:
    """Open UTF-8 text, with or without a byte order mark, and turn whatever goes wrong into an InputError.

    With an `encoding`, it is somebody's data: it may be gzipped, and UTF-16 if its mark says so; "" stands for UTF-8.
    """
    name, hint = os.fspath(path), "save it as UTF-8" + ", or say its --encoding, as in cp1252" * (encoding == "")
    hint = "leave --encoding out if it is UTF-8" if encoding else hint
    check_encoding(encoding or "")
    try:
        try:
            os.stat(path)
        except ValueError as error:  # a NUL in the name, or what the file system's encoding cannot spell
            raise InputError(f"{name!r}: {error}; expected a readable file") from None
        with open(path, "rb") as raw:
            packed = encoding is not None and raw.peek(2)[:2] == b"\x1f\x8b"
            binary: Any = BufferedReader(GzipFile(fileobj=raw)) if packed else raw
            marked = encoding == "" and binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            kind = encoding or ("UTF-16" if marked else "UTF-8")
            with TextIOWrapper(binary, encoding="utf-8-sig" if kind == "UTF-8" else kind, newline="") as file:
                try:
                    yield file
                except UnicodeDecodeError as error:  # it counts from the start of the last block, which ends at tell()
                    where = f"not {kind} at byte {binary.tell() - len(error.object) + error.start:,}"
                    raise InputError(f"{name}: {where}; {hint}") from None
                except UnicodeError as error:  # no mark of the order of bytes
                    raise InputError(f"{name}: not {kind}: {error}; {hint}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{name}: a damaged .gz: {error}") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}; expected a readable file") from None


def read_text(path: PathLike) -> str:
    """A whole file as `open_text` reads it, with "\\n" for every end of a line."""
    with open_text(path) as file:
        return file.read().replace("\r\n", "\n").replace("\r", "\n")


def check_file(path: PathLike, most: float = float("inf")) -> None:
    """`InputError` unless `path` is a regular file, of at most `most` bytes.

    For files of a directory that someone else made: a pipe in their place may never answer, a device may never end.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return  # whoever opens it says why
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{os.fspath(path)} is a pipe or a device; expected a regular file")
    if found.st_size > most:
        raise InputError(f"{os.fspath(path)} has {found.st_size:,} bytes; accepted are at most {most:,}")


def file_hash(path: PathLike) -> str:
    """The sha256 of a file; `InputError` if it cannot be read."""
    check_file(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # a name that no system has is a ValueError
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}; expected a readable file") from None


def read_json(path: PathLike) -> Any:
    """A UTF-8 file of JSON in which no key occurs twice: the second of two equal tokens would silently win.

    NaN and Infinity are not JSON, though Python writes and reads them. Of `MOST_BYTES` at most.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise InputError(f"{path}: the key {brief(twice)} occurs twice in one object")
        return result

    def refuse(name: str) -> None:
        raise InputError(f"{path} is not JSON: it has no {name}")

    check_file(path, MOST_BYTES)
    try:
        return json.loads(read_text(path), object_pairs_hook=unique, parse_constant=refuse)
    except InputError:
        raise
    except (RecursionError, MemoryError) as error:
        raise InputError(f"{path}: {'nested too deeply' if isinstance(error, RecursionError) else 'too big'}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None


_repr = reprlib.Repr()  # unlike repr(), it neither recurses without end nor spells out what it then cuts off
_repr.maxstring = _repr.maxlong = _repr.maxother = 60


def brief(value: Any) -> str:
    """A value of a file for a message: in one line, and not longer than one."""
    return f"{_repr.repr(value):.90}"


REQUIRED: Any = object()  # in place of a default
KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
KINDS |= {int: "a whole number", float: "a number"}
MOST = 1e40  # of numbers; transformers writes 1e30 for "no limit"


class Fields:
    """A JSON object and the path to it, so that a value that cannot be used is refused by file and key.

    >>> config = Fields({"heads": "two"}, "config.json")
    >>> config.get("heads", int)
    Traceback (most recent call last):
    minitx.errors.InputError: config.json: heads is 'two'; it must be a whole number
    """

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise InputError(f"{where} holds {brief(data)}; it must be an object")
        self.data, self.where, self.read = data, where, set[str]()

    def get(self, key: str, kind: type, default: Any = REQUIRED, least: int | None = None) -> Any:
        """The value of `key`, of a kind in `KINDS` and, with `least`, no smaller; `default` when absent or null.

        A number must be finite and below `MOST`: what is computed from it then fits a float.
        """
        self.read.add(key)
        value: Any = self.data.get(key)
        if value is None and default is not REQUIRED:
            return default
        kinds = (int, float) if kind is float else kind
        right = isinstance(value, kinds) and isinstance(value, bool) == (kind is bool)  # True is an int to Python
        large = right and kind in (int, float) and not -MOST < value < MOST
        if not right or large or (least is not None and not value >= least):
            found = "is missing" if value is None else f"is {brief(value)}"
            limit = ("" if least is None else f" of at least {least}") + f" below {MOST:g}" * large
            name = repr(key)[1:-1]  # which may itself be from a file
            raise InputError(f"{self.where}: {name:.60} {found}; it must be {KINDS[kind]}{limit}")
        return value

    def within(self, key: str, default: Any = REQUIRED) -> "Fields":
        """The object at `key`."""
        return Fields(self.get(key, dict, default), f"{self.where}: {repr(key)[1:-1]:.60}")

    def each(self, key: str, default: Any = REQUIRED) -> list["Fields"]:
        """The objects of the list at `key`, which are numbered from 0."""
        return [Fields(item, f"{self.where}: {key} {i}") for i, item in enumerate(self.get(key, list, default))]

    def choose(self, key: str, *accepted: Any) -> Any:
        """The value of `key`, which must be one of `accepted`; the first of them when absent or null."""
        self.read.add(key)
        value = self.data.get(key)
        if value is None:
            return accepted[0]
        if value not in accepted:
            names = ", ".join("none" if name is None else str(name) for name in accepted)
            raise InputError(f"{self.where}: {key} {brief(value)} is not implemented; accepted: {names}")
        return value


def read_fields(path: PathLike, optional: bool = False) -> Fields:
    """The object that a file of JSON holds; an empty one if the file is `optional` and not there."""
    return Fields({} if optional and not os.path.lexists(path) else read_json(path), os.fspath(path))
