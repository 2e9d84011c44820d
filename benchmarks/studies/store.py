"""Results that were measured: a line of JSON for each run, and whether the code is still the one that measured them."""

import ast
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import minitx
from benchmarks.studies.plan import HERE
from minitx.errors import InputError

PACKAGE = Path(minitx.__file__).parent
RESULTS = HERE / "results"
# What a run goes through. Of `app/experiment.py` one function alone counts: the rest writes files and draws.
ROOTS = ("app/prepare.py", "app/two_stage.py", "training/trainer.py", "evaluation/evaluate.py", "training/trainable.py")
FUNCTIONS = (("app/experiment.py", "train"),)
TIMES = ("seconds", "wall")  # which are never the same twice
ROUNDING = 1e-3  # of an average precision on another processor; up to 5e-4 was seen


class Store:
    """Lines of all files in `folder`, by the key of their run; it is in the file of the study that needed it first."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder, self.lines, self.file_of = folder, dict[str, dict[str, Any]](), dict[str, Path]()
        for path in sorted(folder.glob("*.jsonl")):
            for number, text in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
                if not text.endswith(b"\n"):  # the last line of a process that was killed
                    break
                try:
                    line = json.loads(text)
                    _, _, _, key = line["figures"].items(), line["settings"].items(), line["code"], str(line["key"])
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise InputError(f"{path}, line {number}: no result of a run: {text[:60]!r}") from None
                self.lines[key], self.file_of[key] = line, path

    def get(self, key: str, code: str) -> dict[str, Any] | None:
        """The figures of a run, if this code measured them."""
        line = self.lines.get(key)
        return line["figures"] if line and line["code"] == code else None

    def add(self, study: str, key: str, line: dict[str, Any]) -> None:
        """Keep a run, on the disk at once; in place of what other code measured."""
        path = self.file_of.get(key, self.folder / f"{study}.jsonl")
        replaced = key in self.lines
        self.lines[key], self.file_of[key] = {"key": key, **line}, path
        if replaced or _is_torn(path):
            self.rewrite([path])
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(self.lines[key]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def stale(self, code: str) -> list[str]:
        """Keys of what other code measured."""
        return [key for key, line in self.lines.items() if line["code"] != code]

    def restamp(self, keys: Iterable[str], code: str) -> None:
        """Take these for measured by this code, after a recheck has found that it measures the same."""
        for key in keys:
            self.lines[key]["code"] = code
        self.rewrite(sorted(set(self.file_of.values())))

    def rewrite(self, paths: Iterable[Path]) -> None:
        """Write files anew, each whole or not at all."""
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line) + "\n" for key, line in self.lines.items() if self.file_of[key] == path)
            new = path.with_suffix(".new")
            new.write_text(text, encoding="utf-8", newline="\n")
            os.replace(new, path)


def _is_torn(path: Path) -> bool:
    """The last line of a file has no end."""
    return path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two measurements of one run do not agree on; times are left out.

    Another processor rounds the last bits otherwise: numbers agree to 1e-12, and average precision, which ranks
    probabilities, to `ROUNDING`.
    """
    return [
        f"{name}: {old[name]}, now {new.get(name)}"
        for name in old
        if name not in TIMES and not _agree(old[name], new.get(name), ROUNDING if " AP of " in name else 1e-12)
    ]


def _agree(old: Any, new: Any, within: float) -> bool:
    if isinstance(old, float) and isinstance(new, float | int):
        return abs(old - new) <= within
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return all(_agree(one, other, within) for one, other in zip(old, new, strict=True))
    return bool(old == new)


# --- the code that matters -------------------------------------------------------------------------------------------


@functools.cache
def imported(source: str, package: Path) -> set[Path]:
    """Files of minitx that a source imports: `from minitx.a import b` is a/b.py if there is one, else a.py."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minitx."):
            module = package.joinpath(*str(node.module).split(".")[1:])
            found |= {
                f if (f := module / f"{name.name}.py").exists() else module.with_suffix(".py") for name in node.names
            }
    return {path for path in found if path.exists()}


@functools.cache
def without_words(source: str, only: str = "") -> str:
    """What Python makes of a source, without comments and docstrings; of one function, if only that counts."""
    tree: ast.AST = ast.parse(source)
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
            if getattr(node, "name", "") == only != "":
                tree = node
    return json.dumps(_told(tree))


def _told(node: Any) -> Any:
    """A tree as lists, without what is empty, which versions of Python do not agree on."""
    if isinstance(node, ast.AST):
        given = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *([name, _told(value)] for name, value in given)]
    return [_told(one) for one in node] if isinstance(node, list) else repr(node)


def code_hash(package: Path = PACKAGE, extra: Iterable[Path] = (HERE / "measure.py",)) -> str:
    """Of all that a run goes through: the files of ROOTS, what they import and so on, FUNCTIONS and `extra`."""
    files, new = set[Path](), {package / root for root in ROOTS}
    while new:
        files |= new
        new = {file for path in new for file in imported(path.read_text(encoding="utf-8"), package)} - files
    found = {str(path.relative_to(package)): without_words(path.read_text(encoding="utf-8")) for path in files}
    found |= {f"{f}:{name}": without_words((package / f).read_text(encoding="utf-8"), name) for f, name in FUNCTIONS}
    found |= {path.name: without_words(path.read_text(encoding="utf-8")) for path in extra}
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()[:16]


present_code = functools.cache(code_hash)
