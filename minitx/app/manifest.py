"""What a run was made of, so that it can be gone on with and done again: versions, settings, threads, data by hash."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_info

from minitx.app.settings import Experiment, experiment_of
from minitx.data.samples import SENTENCES_NAME, SYNTHETIC_NAME
from minitx.data.tables import data_files
from minitx.errors import InputError
from minitx.models.hub import find_directory
from minitx.system import file_hash, read_fields
from minitx.training.checkpoint import SETTINGS
from minitx.writing import write_json

MANIFEST, METRICS, HISTORY = "manifest.json", "metrics.json", "history.csv"
FORMAT = "minitx run 2"


@dataclasses.dataclass
class Manifest:
    """What decides a run's every bit."""

    experiment: Experiment
    threads: int  # of all processes, that share a batch; the shares, and so the last bits, depend on it
    overwrite: bool  # whether the directory's old result may be replaced
    directory: str  # that relative paths start from
    inputs: dict[str, str]  # file -> sha256
    versions: dict[str, str]  # of minitx and what it rests on: with others the last bits may differ
    changes: list[str] = dataclasses.field(default_factory=list)  # what was different when the run was resumed
    processes: int = 1  # that the threads are of; with more than two threads, the last bits depend on it

    @classmethod
    def of(cls, experiment: Experiment, overwrite: bool, threads: int, processes: int = 1) -> "Manifest":
        """That of a run which begins now; `InputError` for a file that cannot be read."""
        inputs = {str(file): file_hash(file) for file in _input_files(experiment)}
        return cls(experiment, threads, overwrite, os.getcwd(), inputs, _versions(), processes=processes)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """That of an earlier run; `InputError` for a file that is not one."""
        fields = read_fields(path)
        fields.choose("format", FORMAT)
        settings = fields.within("experiment").data
        if settings.get("max_grad_norm") == "inf":
            settings = settings | {"max_grad_norm": math.inf}
        experiment = experiment_of(settings)
        threads, overwrite = fields.get("threads", int, least=1), fields.get("overwrite", bool)
        tables = (fields.within(name) for name in ("inputs", "versions"))
        inputs, versions = ({key: table.get(key, str) for key in table.data} for table in tables)
        changes = [str(change) for change in fields.get("changes", list, [])]
        directory, processes = fields.get("directory", str), fields.get("processes", int, 1, least=1)
        return cls(experiment, threads, overwrite, directory, inputs, versions, changes, processes)

    def write(self, path: Path, **more: Any) -> None:
        """As JSON, with `more` entries."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self), "experiment": plain(self.experiment), **more})

    @property
    def identity(self) -> str:
        """Tells the checkpoints of different runs apart."""
        settings = plain(self.experiment) | {"on_nan": ""}  # which may be changed on the way
        return hashlib.sha256(json.dumps([settings, self.inputs], default=dict).encode()).hexdigest()

    @property
    def from_labels_alone(self) -> bool:
        """Whether the encoder will have seen nothing but labels, in this run and in those it goes on from."""
        e = self.experiment
        return not (e.pretraining and e.pretraining_epochs) and (
            not e.pretrained or from_labels_alone(find_directory(e.pretrained))
        )

    def data(self, where: Path) -> str | None:
        """Where the data lies, seen from anywhere; `InputError` if it is not what the run in `where` began with."""
        if self.experiment.data in (None, SYNTHETIC_NAME, SENTENCES_NAME):
            return self.experiment.data
        path = os.path.join(self.directory, self.experiment.data)
        for file in map(Path, data_files(path)):
            if not file.is_file() or self.inputs.get(str(file.absolute())) != file_hash(file):
                raise InputError(f"{file} is not what {where} began with: put that back, or give --data FILE")
        return path

    def check(self, where: Path, processes: int = 1) -> list[str]:
        """What is different now and may change the last bits.

        `InputError` for another version of minitx, if a file that the run began with is gone or has changed, and if its
        paths start from another directory.
        """
        given = (self.experiment.data, self.experiment.pretrained)
        here = [name for name in given if name and not os.path.isabs(name) and os.path.exists(name)]
        if self.directory != os.getcwd() and here:
            raise InputError(f"{where} was begun in {self.directory}, where its paths start from: go there first")
        now = _versions()
        if self.versions.get("minitx") != now["minitx"]:
            theirs = self.versions.get("minitx")
            raise InputError(f"{where} was begun by minitx {theirs}, this is {now['minitx']}: use that, or start anew")
        for name, before in self.inputs.items():
            if file_hash(Path(name)) != before:
                raise InputError(f"{name} is not what {where} began with (sha256 {before[:12]}...): put that back")
        pairs = [(name, self.versions.get(name), value) for name, value in now.items()]
        if self.threads > 2:  # two sums are added in any order
            pairs.append(("processes", str(self.processes), str(processes)))
        return [f"{name} {before}, then {value}" for name, before, value in pairs if before != value]


def from_labels_alone(directory: Path) -> bool:
    """Whether the encoder of a result began at random and has seen nothing but labels; False if nothing says so.

    minitx.json says it; of a result that is older, the manifest does.
    """
    try:
        said = read_fields(directory / SETTINGS, optional=True).get("from_labels_alone", bool, None)
        manifest = read_fields(directory / MANIFEST, optional=True).within("experiment", {})
        return said if said is not None else manifest.get("pretrained", str, None) == ""
    except InputError:  # these files are not needed for the vectors, so they must not stand in the way
        return False


def plain(experiment: Experiment) -> dict[str, Any]:
    """The settings as JSON has them, which knows no infinity."""
    settings = dataclasses.asdict(experiment)
    return settings | {"max_grad_norm": "inf"} if experiment.max_grad_norm == math.inf else settings


def hashes(directory: Path, pattern: str = "*") -> dict[str, str]:
    """File -> sha256, of the files of a directory and below."""
    files = sorted(file for file in directory.rglob(pattern) if file.is_file())
    return {file.relative_to(directory).as_posix(): file_hash(file) for file in files}


def _input_files(e: Experiment) -> Iterator[Path]:
    """The data, and what decides the vectors of a pretrained encoder; absolute."""
    if e.data not in (None, SYNTHETIC_NAME, SENTENCES_NAME):
        yield from (Path(file).absolute() for file in data_files(str(e.data)))
    if e.pretrained:
        files = find_directory(e.pretrained).absolute().rglob("*")
        yield from sorted(file for file in files if file.suffix in (".json", ".txt", ".safetensors") and file.is_file())


def _versions() -> dict[str, str]:
    blas = sorted({f"{lib['internal_api']} {lib['version']} {lib.get('architecture')}" for lib in threadpool_info()})
    names = {name: importlib.metadata.version(name) for name in ("minitx", "numpy", "pandas", "matplotlib")}
    code = hashlib.sha256(json.dumps(hashes(Path(__file__).parents[1], "*.py")).encode()).hexdigest()[:12]
    return {**names, "code": code, "python": platform.python_version(), "blas": ", ".join(blas)}


def contents(directory: Path) -> dict[str, str]:
    """What a result is compared by: every figure of metrics.json, and of history.csv but its times, else files' hashes.

    `InputError` if these files cannot be read; another that is not there is "gone".
    """
    try:
        figures = _flat(read_fields(directory / METRICS).data)
        history = pd.read_csv(directory / HISTORY, dtype=str)
        files = read_fields(directory / MANIFEST).within("files").data
    except (OSError, ValueError) as error:
        raise InputError(f"{directory} is not a result that can be compared: {error}") from None
    untimed = history.drop(columns=["seconds", "tokens_per_second"], errors="ignore")
    now = hashes(directory)
    return {
        **{f"{METRICS}: {name}": str(value) for name, value in figures.items()},
        **{f"{HISTORY}: {name}": " ".join(map(str, values)) for name, values in untimed.items()},
        **{name: now.get(name, "gone") for name in files if name not in (METRICS, HISTORY)},
    }


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The values of tables within tables, by names with points."""
    inner = [_flat(value, f"{above}{key}.") for key, value in table.items() if isinstance(value, dict)]
    own = {f"{above}{key}": value for key, value in table.items() if not isinstance(value, dict)}
    return dict(item for part in (own, *inner) for item in part.items())


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A short line for each thing in which the contents of two results differ."""
    pairs = [(name, before.get(name, "none"), after.get(name, "none")) for name in sorted(before.keys() | after.keys())]
    return [f"{name}: {old:.60} before, {new:.60} now" for name, old, new in pairs if old != new]
