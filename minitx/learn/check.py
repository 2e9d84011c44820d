"""Is a learner's function right, and if not, which mistake is it? `minitx check mine.py:softmax`.

In this order: what it returns on ordinary inputs, on the edge cases, whether it keeps float32 and leaves its inputs
alone, its gradients beside the right ones, and its gradients beside differences of its own forward pass. At the first
thing that is wrong, the known mistakes are tried: one that computes what the learner's function computes is named.
"""

import ast
import ctypes
import inspect
import sys
import textwrap
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.learn.files import course_pieces, load_file
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError
from minitx.learn.piece import UNWATCHED, Arguments, Function, Outcome, Piece, same, simple, tensors_in

TENSOR = tuple(f"minitx.autograd.{name}" for name in ("tensor", "engine", "context", "rows", "anomaly", "profiler"))
FORWARD = ("the type", "the result")
NOTHING_FITS = "no known mistake fits"  # of `gradcheck`
HIDDEN_NAN = "NaN in the gradient: what was NaN or infinite inside and replaced at the end is still so in backward"
SECONDS = 20.0  # that a function may take on one input; the slowest right one takes a tenth of one
ALLOWED = "what you have is NumPy, the standard library and minitx's Tensor"
MAIN = 'if __name__ == "__main__":'
HARMLESS = {
    *("minitx", "minitx.Tensor", "minitx.no_grad", "minitx.gradcheck", "minitx.autograd.tensor"),
    *(f"minitx.autograd.tensor.{name}" for name in ("Tensor", "cat", "stack", "where")),
}
OTHERS = {"torch", "scipy", "sklearn", "jax", "tensorflow", "tokenizers", "transformers", "sentence_transformers"}
DYNAMIC = {"exec", "eval", "compile", "__import__", "importlib", "runpy", "builtins", "sys.modules"}


class NotOwnWork(Exception):
    """The function has something else compute the answer."""


class TooSlow(Exception):
    """The function does not come to an end."""

    def __str__(self) -> str:
        return f"not finished after {SECONDS:.0f} seconds: does a loop never end?"


@dataclass(frozen=True)
class Verdict:
    """What became of one function."""

    piece: Piece
    found: str  # what was right, or the first thing that was wrong
    passed: bool = False
    mistake: str = ""  # the name of the mistake, if it is a known one
    fact: str = ""
    written: bool = True

    def __str__(self) -> str:
        result = "right" if self.passed else "wrong" if self.written else "not written yet"
        lines = [f"{self.piece.signature}: {result}", f"    {self.found}"]
        if self.mistake:
            lines.append(f"    it looks like this: {self.mistake}{self.fact and f' ({self.fact})'}")
        return "\n".join(lines)


def check_function(piece: Piece, function: Function) -> Verdict:
    """Judge one function; the printed verdict says which input, which element, and which mistake.

    Nothing that the function raises is raised here. Several threads may check functions at once.
    """
    examples = list(piece.examples())
    right = {label: piece.outcome(piece.right, arguments) for label, arguments in piece.examples().items()}
    yours: dict[str, Outcome | BaseException] = {}
    for label, arguments in piece.examples().items():
        made = yours[label] = _try(piece, function, arguments)
        if isinstance(made, NotImplementedError):
            return Verdict(piece, str(made) or "it raises NotImplementedError", written=False)
        if isinstance(made, NotOwnWork | TooSlow):
            return Verdict(piece, f"on {label}: {made}")
    for forward in (True, False):  # gradients only when all forward passes are right
        for label in examples:
            difference = _difference(yours[label], right[label], FORWARD if forward else tuple(right[label]))
            if difference:
                part, what = difference
                name, fact = _name_mistake(piece, yours, right, label, part)
                if not name and part.startswith("the gradient"):
                    name = _gradcheck(piece, function)[1].replace(NOTHING_FITS, "")
                    made = yours[label]
                    if not name and isinstance(made, dict) and np.isnan(made[part]).any():
                        name = HIDDEN_NAN
                return Verdict(piece, f"on {label}: {what}", mistake=name, fact=fact)
        if forward and (found := _careless(piece, function, examples[0])):
            return Verdict(piece, f"on {examples[0]}: the numbers are right", mistake=found)
    differentiates, against = _gradcheck(piece, function)
    if against:
        return Verdict(piece, "its gradients are not those of its own forward pass", mistake=against)
    more = "; gradients as by differences" if differentiates else ""
    return Verdict(piece, f"on {len(examples)} inputs; float32 kept; inputs left alone{more}", passed=True)


# -- a file ------------------------------------------------------------------------------------------------------


def check_file(path: Path, only: str | None = None) -> list[Verdict]:
    """A verdict on every piece that a file has, or on the one called `only`, in the order of the course.

    `InputError` if the file cannot be imported, or `only` is no piece. A file without any of the pieces gives [].
    """
    pieces = course_pieces()
    if only is not None and only not in pieces:
        raise InputError(f"no piece {only}: choose from {', '.join(pieces)}")
    recursion_limit = sys.getrecursionlimit()
    module = load_file(path)
    borrowed = imported_answer(path.read_text(encoding="utf-8"))
    verdicts = []
    for name, piece in pieces.items():
        function = getattr(module, name, None)
        if only in (None, name) and callable(function):
            verdicts.append(Verdict(piece, borrowed) if borrowed else check_function(piece, function))
        elif only == name:
            verdicts.append(Verdict(piece, f"{path.name} has no function {name}", written=False))
    sys.setrecursionlimit(recursion_limit)  # a file may have raised it, for itself alone
    return verdicts


def imported_answer(source: str) -> str:
    """What a file imports, outside of `if __name__ == "__main__":`, that has the answers; "" if there is nothing."""
    tree = ast.parse(source)
    main = [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)]
    beside = {node for block in main for node in ast.walk(block)}
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Call(func=ast.Name(id=name)) if name in DYNAMIC:
                names = [name]
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                names = ["sys.modules"]
        for name in names if node not in beside else ():
            room = name.partition(".")[0]
            if name not in HARMLESS and (room == "minitx" or room in OTHERS or {name, room} & DYNAMIC):
                return f"{name} is there: {ALLOWED}; what you only compare with goes below {MAIN}"
    return ""


# -- running a stranger's function -------------------------------------------------------------------------------


class OwnWork:
    """While this is entered, the thread's function may call what it wrote itself, and not what has the answer.

    A trace function sees every Python function that is called, however it was imported. A timer stops what does not
    end, by raising in the thread that entered.
    """

    def __init__(self, piece: Piece, arguments: Arguments) -> None:
        default = TENSOR if tensors_in(piece.right, arguments) else ()
        self.uses = (__name__, *(default if piece.uses is None else piece.uses))  # this module has the __exit__

    def __enter__(self) -> None:
        self.before, raise_in = sys.gettrace(), ctypes.pythonapi.PyThreadState_SetAsyncExc
        thread = ctypes.c_ulong(threading.get_ident())
        self.timer = threading.Timer(SECONDS, raise_in, (thread, ctypes.py_object(TooSlow)))
        self.timer.daemon = True
        self.timer.start()
        sys.settrace(self.called)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)
        self.timer.cancel()

    def called(self, frame: FrameType, event: str, _: Any) -> None:
        """The trace function: of every new frame, whose function is it?"""
        name = str(frame.f_globals.get("__name__", ""))
        room = name.partition(".")[0]
        if room == "minitx" and not name.startswith(self.uses):
            raise NotOwnWork(f"it calls {frame.f_code.co_name} of {name}: write it yourself; {ALLOWED}")
        if room in OTHERS:
            raise NotOwnWork(f"it calls {room}: write it yourself; {ALLOWED}")


def _try(piece: Piece, function: Function, arguments: Arguments, watched: bool = True) -> Outcome | BaseException:
    try:
        with np.errstate(all="ignore"):
            return piece.outcome(function, arguments, OwnWork(piece, arguments) if watched else UNWATCHED)
    except (Exception, SystemExit) as error:  # it is a stranger's code: it may raise anything
        return error


def _difference(
    yours: Outcome | BaseException, right: Outcome | BaseException, parts: Sequence[str]
) -> tuple[str, str] | None:
    """Which of the `parts` differs first, and how; None if none does."""
    assert not isinstance(right, BaseException), right
    if isinstance(yours, BaseException):
        return "", f"it raises {type(yours).__name__}: {yours}{_line_of(yours)}"
    for part in parts:
        if not same(yours.get(part), right[part]):
            return part, f"{part} differs: {_beside(yours.get(part), right[part])}"
    return None


def _line_of(error: BaseException) -> str:
    """Where the learner's file was left: ` (line 12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith(str(Path(__file__).parents[1]))]
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""


def _beside(yours: Any, right: Any) -> str:
    """The two values, short; of arrays, where they are furthest apart."""
    if isinstance(right, np.ndarray) and right.ndim and isinstance(yours, np.ndarray):
        if yours.shape != right.shape:
            return f"yours has the shape {yours.shape}, right is {right.shape}"
        gap = np.nan_to_num(np.abs(yours - right), nan=np.inf)
        at = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
        return f"at {at} yours is {yours[at]:.6g}, right is {right[at]:.6g}"
    return f"yours is {textwrap.shorten(repr(yours), 100)}, right is {textwrap.shorten(repr(right), 100)}"


def _careless(piece: Piece, function: Function, label: str) -> str:
    """What is wrong although the values are right: another dtype, or inputs written to."""
    arguments, untouched = piece.examples()[label], piece.examples()[label]
    first = _try(piece, function, arguments)
    for name, a, b in zip(inspect.signature(piece.right).parameters, arguments, untouched, strict=False):
        if isinstance(b, list | dict | np.ndarray | Tensor) and not same(simple(a), simple(b)):
            return f"it writes into {name}, which belongs to the caller: work on a copy"
    draws = any(isinstance(value, np.random.Generator) for value in arguments)
    if not draws and isinstance(first, dict) and _difference(_try(piece, function, arguments), first, FORWARD):
        return "a second call with the same arguments gives something else: the first has left marks on them"
    expected, made = (
        _try(piece, f, tuple(map(_in_float32, piece.examples()[label])), watched=f is function)
        for f in (piece.right, function)
    )
    if not isinstance(expected, dict) or getattr(expected["the result"], "dtype", None) != np.float32:
        return ""
    if not isinstance(made, dict):
        return f"on {label} in float32: it raises {type(made).__name__}: {made}{_line_of(made)}"
    dtype = getattr(made["the result"], "dtype", "no array")
    if dtype != np.float32:
        why = "np.sqrt(64) and np.zeros(n) are float64; math.sqrt(64) and np.zeros(n, x.dtype) take what x is"
        return f"float32 in, {dtype} out: {why}"
    return ""


def _in_float32(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_float32(v) for key, v in value.items()}
    if isinstance(value, Tensor):
        return Tensor(value.data, value.requires_grad, np.float32) if value.dtype == np.float64 else value
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _name_mistake(
    piece: Piece, yours: Mapping[str, Any], right: Mapping[str, Any], label: str, part: str
) -> tuple[str, str]:
    """The known mistake that computes what was found at `label`, and elsewhere as often as any; and its fact."""
    best, most = None, 0
    for mistake in piece.mistakes:
        made = {
            one: _try(piece, mistake.wrong, arguments, watched=False) for one, arguments in piece.examples().items()
        }
        equal = [_equal(yours[one], made[one], part) for one in yours]
        if equal[list(yours).index(label)] and not _equal(made[label], right[label], part) and sum(equal) > most:
            best, most = mistake, sum(equal)
    if best is None:
        return "", ""
    if not part:
        return best.name, best.fact if isinstance(best.fact, str) and "{" not in best.fact else ""
    mine, theirs, fact = yours[label][part], right[label][part], best.fact
    try:  # a sentence made for numbers of this shape; a stranger's may have another
        with np.errstate(all="ignore"):
            if callable(fact):
                return best.name, fact(mine, theirs, *piece.examples()[label])
            a, b = np.asarray(mine, float), np.asarray(theirs, float)
            numbers = {"yours": a.sum(), "right": b.sum(), "ratio": a.sum() / b.sum(), "gap": np.abs(a - b).max()}
            numbers["row"] = np.ravel(a.sum(axis=-1) if a.ndim else a)[0]
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):
        return best.name, "" if callable(fact) or "{" in fact else fact
    return best.name, fact.format(**{name: f"{number:.3g}" for name, number in numbers.items()})


def _equal(yours: Any, other: Any, part: str) -> bool:
    if isinstance(yours, BaseException) or isinstance(other, BaseException):
        return type(yours) is type(other)
    parts = FORWARD if part in FORWARD else yours
    return all(same(yours.get(p), other.get(p)) for p in parts)


def _gradcheck(piece: Piece, function: Function) -> tuple[bool, str]:
    """Whether there was something to differentiate, and what `gradcheck` has against it."""
    arguments = next(iter(piece.examples().values()))
    tensors = list(tensors_in(piece.right, arguments).values())
    if not tensors:
        return False, ""
    try:
        gradcheck(lambda *_: function(*arguments), tensors)
    except GradcheckError as error:
        return True, str(error).splitlines()[-1].strip()
    return True, ""
