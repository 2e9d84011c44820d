"""Where is the course, and how is a file that a learner wrote turned into functions?"""

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
    path, before = path.resolve(), set(sys.modules)
    name, folder = f"file {path}", str(path.parent)  # a name that no `import` could mean
    if path.suffix != ".py" or not path.is_file():
        why = "is no file of Python, as in mine.py" if path.exists() else "is not there: expected a file, as in mine.py"
        raise InputError(f"{path} {why}")
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where dataclasses look for their module
    sys.path.insert(0, folder)
    try:
        exec(
            compile(path.read_bytes(), str(path), "exec"), module.__dict__
        )  # no bytecode, which may be of an older text
    except (Exception, SystemExit, GeneratorExit) as error:  # a stranger's file may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        at = f", line {line}" if line else ""
        raise InputError(f"cannot import {path.name}{at}: {type(error).__name__}: {error}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        for other in set(sys.modules) - before - {name}:  # a helper beside it, which another folder may have, too
            if str(getattr(sys.modules[other], "__file__", None)).startswith(folder):
                del sys.modules[other]
    return module


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
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    try:
        return input(prompt)
    except EOFError:
        return None
