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
    name = f"file {path.resolve()}"  # no name that somebody else's `import` could mean
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is no file of Python: expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a stranger's file may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        at = f", line {line}" if line else ""
        raise InputError(f"cannot import {path}{at}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
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
