"""What a run was made of, so that it can be gone on with and done again: versions, settings, threads, data by hash."""

import dataclasses
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_info

from minitx.app.settings import Experiment, experiment_of
from minitx.data.samples import SENTENCES_NAME, SYNTHETIC_NAME
from minitx.errors import InputError
from minitx.models.hub import find_directory
from minitx.system import read_fields, read_json, usable_cores
from minitx.writing import write_json

MANIFEST, METRICS, HISTORY = "manifest.json", "metrics.json", "history.csv"
FORMAT = "minitx run 1"


@dataclasses.dataclass
class Manifest:
    """What decides a run's every bit."""

    experiment: Experiment
    threads: int  # that share a batch; the shares, and so the last bits, depend on it
    overwrite: bool  # whether the directory's old result may be replaced
    directory: str  # that relative paths start from
    inputs: dict[str, str]  # file -> sha256
    versions: dict[str, str]  # minitx, python, numpy, blas: with others the last bits may differ

    @classmethod
    def of(cls, experiment: Experiment, overwrite: bool) -> "Manifest":
        """That of a run which begins now; `InputError` for a file that cannot be read."""
        inputs = {str(file): file_hash(file) for file in _input_files(experiment)}
        return cls(experiment, experiment.threads or usable_cores(), overwrite, os.getcwd(), inputs, _versions())

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """That of an earlier run; `InputError` for a file that is not one."""
        fields = read_fields(path)
        fields.choose("format", FORMAT)
        experiment = experiment_of(fields.within("experiment").data)
        threads, overwrite = fields.get("threads", int, least=1), fields.get("overwrite", bool)
        tables = (fields.within(name) for name in ("inputs", "versions"))
        texts = ({key: table.get(key, str) for key in table.data} for table in tables)
        return cls(experiment, threads, overwrite, fields.get("directory", str), *texts)

    def write(self, path: Path, **more: Any) -> None:
        """As JSON, with `more` entries."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self), **more})

    def check(self, where: Path) -> str:
        """What is different now and may change the last bits, as a note, or "".

        `InputError` for another minitx, or if a file that the run began with is gone or has changed.
        """
        now = _versions()
        if self.versions.get("minitx") != now["minitx"]:
            theirs = self.versions.get("minitx")
            raise InputError(f"{where} was begun by minitx {theirs}, this is {now['minitx']}: use that, or start anew")
        for name, before in self.inputs.items():
            if file_hash(Path(name)) != before:
                raise InputError(f"{name} is not what {where} began with (sha256 {before[:12]}...): put that back")
        pairs = [(name, self.versions.get(name), value) for name, value in now.items()]
        other = [f"{name} {before}, now {value}" for name, before, value in pairs if before != value]
        return f"begun with {'; '.join(other)}: the last bits may differ" if other else ""


def file_hash(path: Path) -> str:
    """The sha256 of a file; `InputError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a readable file") from None


def hashes(directory: Path) -> dict[str, str]:
    """File -> sha256, of all files of a directory and below."""
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    return {file.relative_to(directory).as_posix(): file_hash(file) for file in files}


def _input_files(e: Experiment) -> Iterator[Path]:
    """The data, and what decides the vectors of a pretrained encoder; absolute."""
    if e.data not in (None, SYNTHETIC_NAME, SENTENCES_NAME):
        yield Path(str(e.data)).absolute()
    if e.pretrained:
        files = find_directory(e.pretrained).absolute().rglob("*")
        yield from sorted(file for file in files if file.suffix in (".json", ".txt", ".safetensors"))


def _versions() -> dict[str, str]:
    blas = sorted({f"{lib['internal_api']} {lib['version']} {lib.get('architecture')}" for lib in threadpool_info()})
    names = {name: importlib.metadata.version(name) for name in ("minitx", "numpy")}
    return {**names, "python": platform.python_version(), "blas": ", ".join(blas)}


def compare(old: Path, new: Path) -> tuple[int, list[str]]:
    """How many figures and files of two results were compared, and a line for each that differs.

    Every figure of metrics.json and of history.csv but its times, and the bytes of every other file.
    """
    before, after = _contents(old), _contents(new)
    differ = [
        f"{name}: {before.get(name, 'absent')} before, {after.get(name, 'absent')} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return len(before), differ


def _contents(directory: Path) -> dict[str, str]:
    """Every figure and every file's hash, by name."""
    figures = pd.json_normalize(read_json(directory / METRICS)).iloc[0]
    history = pd.read_csv(directory / HISTORY, dtype=str).drop(columns=["seconds", "tokens_per_second"])
    files = read_fields(directory / MANIFEST).within("files").data
    return {
        **{f"{METRICS}: {name}": str(value) for name, value in figures.items()},
        **{f"{HISTORY}: {name}": " ".join(map(str, values)) for name, values in history.items()},
        **{name: digest for name, digest in files.items() if name not in (METRICS, HISTORY)},
    }
