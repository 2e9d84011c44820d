"""Where is the course, and how is a file that a learner wrote turned into functions?"""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from minitx.errors import InputError
from minitx.learn.piece import Piece


def course_directory() -> Path:
    """The folder of the lessons: `tutorials` beside the package in a clone, `course` inside an installed package."""
    package = Path(__file__).parents[1]
    beside = package.parent / "tutorials"
    return beside if (beside / "pieces").is_dir() else package / "course"


def load_file(path: Path) -> ModuleType:
    """Run a file of Python and return it as a module; its own folder is where it may import from.

    Each call runs the file anew. `InputError` if it cannot be read, or if it raises anything.
    """
    name, folder, before = f"file {path.resolve()}", str(path.resolve().parent), set(sys.modules)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is no file of Python: expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # under no name that an `import` could mean; dataclasses look for their module there
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a stranger's file may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        at = f", line {line}" if line else ""
        raise InputError(f"cannot import {path}{at}: {type(error).__name__}: {error}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        for other in set(sys.modules) - before - {name}:  # a helper beside it, which another folder may have, too
            if str(getattr(sys.modules[other], "__file__", None)).startswith(folder):
                del sys.modules[other]
    return module


def write_whole(path: Path, text: str) -> None:
    """Write a file of text, and put it in the place of an old one only when all of it is there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# In the order in which they can be built: none needs a later one.
ORDER = (
    *("topological_order", "unbroadcast", "softmax", "cross_entropy", "layer_norm", "embedding_gradient", "attention"),
    *("multi_head_attention", "mean_pool", "adamw_step", "bpe_merges", "length_batches", "leak_free_split"),
)


def course_pieces() -> dict[str, Piece]:
    """The thirteen pieces by name."""
    files = sorted((course_directory() / "pieces").glob("*.py"))
    pieces = {piece.name: piece for path in files for piece in load_file(path).PIECES}
    return {name: pieces[name] for name in ORDER}


def ask_terminal(prompt: str) -> str | None:
    """What is typed; None where nobody sits at a terminal, or at the end of the input."""
    if not sys.stdin.isatty():
        return None
    try:
        return input(prompt)
    except EOFError:
        return None
