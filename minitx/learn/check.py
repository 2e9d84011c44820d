"""Is a learner's function right, and if not, which mistake is it? `minitx check mine.py:softmax`.

In this order: what it returns on ordinary inputs, on the edge cases, whether it keeps float32 and leaves its inputs
alone, its gradients beside the right ones, and its gradients beside differences of its own forward pass. At the first
thing that is wrong, the known mistakes are tried: one that computes what the learner's function computes is named.
"""

import inspect
import re
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.learn.files import course_pieces, load_file
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError
from minitx.learn.piece import UNWATCHED, Arguments, Function, Outcome, Piece, same, simple, tensors_in
from minitx.learn.watch import TENSOR, NotOwnWork, TooSlow, Watch, imported_answer

FORWARD = ("the type", "the result")
HIDDEN_NAN = "NaN in the gradient: what was NaN or infinite inside and replaced at the end is still so in backward"
TENSORS = "of a Tensor: x.sum(dim=-1, keepdim=True), x.exp(), where(mask, x, Tensor(0.0))"
CUT_OFF = "no gradient arrives: .data, .detach() or a new Tensor(...) on the way has cut the result off"


@dataclass(frozen=True)
class Verdict:
    """What became of one function."""

    piece: Piece
    found: str  # what was right, or the first thing that was wrong
    passed: bool = False
    mistake: str = ""  # the name of the mistake, if it is a known one
    fact: str = ""
    written: bool = True
    sure: bool = True  # whether the mistake explains every input

    def __str__(self) -> str:
        result = "right" if self.passed else "wrong" if self.written else "not written yet"
        lines = [f"{self.piece.signature}: {result}", f"    {self.found}"]
        if self.mistake and self.mistake not in self.found:
            looks = "it looks like this" if self.sure else "perhaps it is this"
            lines.append(f"    {looks}: {self.mistake}{self.fact and f' ({self.fact})'}")
        return "\n".join(lines)


def check_function(piece: Piece, function: Function, uses: tuple[str, ...] | None = None) -> Verdict:
    """Judge one function; the printed verdict says which input, which element, and which mistake.

    `uses` names the modules of minitx that the function may call: by default what a Tensor consists of, if there are
    tensors among the arguments, and nothing otherwise. Nothing that the function raises is raised here. Several threads
    may check functions at once.
    """
    examples = list(piece.examples())
    if uses is None:
        uses = TENSOR if tensors_in(piece.right, piece.examples()[examples[0]]) else ()
    watch = Watch(uses)
    right = {label: _try(piece, piece.right, arguments) for label, arguments in piece.examples().items()}
    yours: dict[str, Outcome | BaseException] = {}
    for label, arguments in piece.examples().items():
        made = yours[label] = _try(piece, function, arguments, watch)
        if isinstance(made, NotImplementedError):
            return Verdict(piece, str(made) or "it raises NotImplementedError", written=False)
        if isinstance(made, NotOwnWork | TooSlow):
            return Verdict(piece, f"on {label}: {made}")
    tried = {"leaves its inputs alone"}
    for forward in (True, False):  # gradients only when all forward passes are right
        for label in examples:
            difference = _difference(yours[label], right[label], FORWARD if forward else ())
            if difference:
                part, what = difference
                name, fact, sure = _name_mistake(piece, yours, right, label, part)
                if not name and part.startswith("the gradient"):
                    name = _name_gradient(piece, function, yours[label], part, watch)
                return Verdict(piece, f"on {label}: {what}", mistake=name, fact=fact, sure=sure)
        for label in examples if forward else ():
            if wrong := _careless(piece, function, label, watch, tried):
                return Verdict(piece, f"the numbers are right, but on {label} {wrong}", mistake=wrong)
    differentiates, against = _gradcheck(piece, function, watch)
    if against:
        return Verdict(piece, f"its gradients are not those of its own forward pass: {against}")
    tried |= {"gradients agree with differences"} if differentiates else set()
    return Verdict(piece, f"right on {len(examples)} inputs; {'; '.join(sorted(tried))}", passed=True)


# -- a file ------------------------------------------------------------------------------------------------------


def check_file(path: Path, only: str | None = None) -> list[Verdict]:
    """A verdict on every one of the thirteen pieces that a file has, or on the one called `only`; in course order.

    `InputError` if the file cannot be imported, or `only` is no piece. A file without any of the pieces gives [].
    """
    pieces = course_pieces()
    if only is not None and only not in pieces:
        raise InputError(f"no piece {only}: choose from {', '.join(pieces)}")
    return judge_file(path, pieces if only is None else {only: pieces[only]}, missing=only is not None)


def judge_file(path: Path, pieces: Mapping[str, Piece], missing: bool = True) -> list[Verdict]:
    """A verdict on each of the pieces: functions of a file. Those that are `missing` count as not written, or not.

    If the file imports the answers, that is the only verdict. `InputError` if it cannot be imported.
    """
    recursion_limit = sys.getrecursionlimit()
    module = load_file(path)
    borrowed, verdicts = imported_answer(Path(str(module.__file__))), list[Verdict]()
    for name, piece in pieces.items():
        function = getattr(module, name, None)
        if callable(function) and borrowed:
            return [Verdict(piece, borrowed)]
        if callable(function):
            verdicts.append(check_function(piece, function))
        elif missing:
            verdicts.append(Verdict(piece, f"{path.name} has no function {name}", written=False))
    sys.setrecursionlimit(recursion_limit)  # a file may have raised it, for itself alone
    return verdicts


# -- running a stranger's function -------------------------------------------------------------------------------


def _try(piece: Piece, function: Function, arguments: Arguments, watch: Any = UNWATCHED) -> Outcome | BaseException:
    try:
        with np.errstate(all="ignore"):
            return piece.outcome(function, arguments, watch)
    except (Exception, SystemExit, GeneratorExit, TooSlow) as error:  # it is a stranger's code: it may raise anything
        return error


def _difference(
    yours: Outcome | BaseException, right: Outcome | BaseException, parts: Sequence[str]
) -> tuple[str, str] | None:
    """Which of the `parts`, by default of all, differs first, and how; None if none does."""
    assert not isinstance(right, BaseException), right
    if isinstance(yours, BaseException):
        usual = re.search("argument '(axis|keepdims)'|__array_ufunc__|'float' object has no attribute", str(yours))
        return "", f"it raises {type(yours).__name__}: {yours}{_line_of(yours)}{f'; {TENSORS}' if usual else ''}"
    for part in parts or right:
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
    if isinstance(right, np.ndarray) and right.ndim and isinstance(yours, np.ndarray) and yours.dtype.kind in "fiub":
        if yours.shape != right.shape:
            return f"yours has the shape {yours.shape}, right is {right.shape}"
        if yours.dtype != right.dtype and yours.dtype.kind == "f":
            return f"yours is {yours.dtype}, right is {right.dtype}"
        with np.errstate(all="ignore"):
            gap = np.nan_to_num(np.abs(yours - right), nan=np.inf)
        at = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
        return f"at {at} yours is {yours[at]:.6g}, right is {right[at]:.6g}"
    if isinstance(right, list) and isinstance(yours, list) and len(right) == len(yours):
        place = [same(*pair) for pair in zip(yours, right, strict=True)].index(False)
        if isinstance(right[place], list | np.ndarray):
            return f"in place {place}, {_beside(yours[place], right[place])}"
    return f"yours is {textwrap.shorten(repr(yours), 100)}, right is {textwrap.shorten(repr(right), 100)}"


def _careless(piece: Piece, function: Function, label: str, watch: Watch, tried: set[str]) -> str:
    """What is wrong although the values are right: inputs written to, or another dtype, if there is one to keep."""
    arguments, untouched = piece.examples()[label], piece.examples()[label]
    first = _try(piece, function, arguments, watch)
    for name, a, b in zip(inspect.signature(piece.right).parameters, arguments, untouched, strict=False):
        if isinstance(b, list | dict | np.ndarray | Tensor) and not same(simple(a), simple(b)):
            return f"it writes into {name}, which belongs to the caller: work on a copy"
    draws = any(isinstance(value, np.random.Generator) for value in arguments)
    if not draws and isinstance(first, dict) and _difference(_try(piece, function, arguments, watch), first, FORWARD):
        return "a second call with the same arguments gives something else: the first has left marks on them"
    with np.errstate(over="ignore"):
        single = [tuple(map(_in_float32, piece.examples()[label])) for _ in range(2)]
    expected, made = _try(piece, piece.right, single[0]), _try(piece, function, single[1], watch)
    if not isinstance(expected, dict) or np.float32 not in _dtypes(expected["the result"]):
        return ""
    if not isinstance(made, dict):
        return f"in float32 it raises {type(made).__name__}: {made}{_line_of(made)}"
    if _dtypes(made["the result"]) != _dtypes(expected["the result"]):
        usual = "np.sqrt(64), np.zeros(n), np.where(mask, 0.0, 1.0), a count of integers"
        return f"float32 goes in and float64 comes out: one operand is float64, as these are: {usual}"
    mine, right = made["the result"], expected["the result"]
    if not isinstance(right, list) and np.isfinite(right).all() and not same(mine, right, rtol=0.01):
        return f"in float32 the digits are lost: {_beside(mine, right)}"
    tried.add("keeps float32")
    return ""


def _dtypes(value: Any) -> list[Any]:
    return [getattr(one, "dtype", None) for one in (value if isinstance(value, list) else [value])]


def _in_float32(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_float32(v) for key, v in value.items()}
    if isinstance(value, Tensor):
        dtype = np.float32 if value.dtype == np.float64 else value.dtype
        return Tensor(value.data, requires_grad=value.requires_grad, dtype=dtype)
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _name_mistake(
    piece: Piece, yours: Mapping[str, Any], right: Mapping[str, Any], label: str, part: str
) -> tuple[str, str, bool]:
    """The known mistake that computes what was found at `label`, and elsewhere as often as any; its fact; all fit?"""
    best, most = None, 0
    for mistake in piece.mistakes:
        made = {one: _try(piece, mistake.wrong, arguments) for one, arguments in piece.examples().items()}
        equal = [_equal(yours[one], made[one], part) for one in yours]
        if equal[list(yours).index(label)] and not _equal(made[label], right[label], part) and sum(equal) > most:
            best, most = mistake, sum(equal)
    if best is None or 2 * most <= len(yours):
        return "", "", True
    sure = most == len(yours)
    if not part:
        return best.name, best.fact if isinstance(best.fact, str) and "{" not in best.fact else "", sure
    mine, theirs, fact = yours[label][part], right[label][part], best.fact
    try:  # a sentence made for numbers of this shape; a stranger's may have another
        with np.errstate(all="ignore"):
            if callable(fact):
                return best.name, fact(mine, theirs, *piece.examples()[label]), sure
            a, b = np.asarray(mine, float), np.asarray(theirs, float)
            numbers = {"yours": a.sum(), "right": b.sum(), "ratio": a.sum() / b.sum(), "gap": np.abs(a - b).max()}
            numbers["row"] = np.ravel(a.sum(axis=-1) if a.ndim else a)[0]
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):
        return best.name, "" if callable(fact) or "{" in fact else fact, sure
    return best.name, fact.format(**{name: f"{number:.3g}" for name, number in numbers.items()}), sure


def _equal(yours: Any, other: Any, part: str) -> bool:
    if isinstance(yours, BaseException) or isinstance(other, BaseException):
        return type(yours) is type(other) and _said(yours) == _said(other)
    parts = FORWARD if part in FORWARD else yours
    return all(same(yours.get(p), other.get(p)) for p in parts)


def _said(error: BaseException) -> str:
    """The message without its numbers; how deep a recursion went is told in several ways."""
    return "" if isinstance(error, RecursionError) else re.sub(r"\d+", "", str(error))


def _name_gradient(piece: Piece, function: Function, made: Any, part: str, watch: Watch) -> str:
    """What is wrong with a gradient that no known mistake computes; "" if that cannot be told."""
    if np.isnan(made[part]).any():
        return HIDDEN_NAN
    if not made[part].any():
        return CUT_OFF
    said = _gradcheck(piece, function, watch)[1]
    return said.removeprefix("looks like ") if said.startswith("looks like ") else ""


def _gradcheck(piece: Piece, function: Function, watch: Watch) -> tuple[bool, str]:
    """Whether there was something to differentiate, and what `gradcheck` has against it."""
    arguments = next(iter(piece.examples().values()))
    tensors = list(tensors_in(piece.right, arguments).values())

    def watched(*_: Tensor) -> Any:
        with watch:
            return function(*arguments)

    try:
        return bool(tensors) and gradcheck(watched, tensors), ""
    except GradcheckError as error:
        return True, str(error).splitlines()[-1].strip()
    except (Exception, SystemExit, GeneratorExit, TooSlow) as error:  # a stranger's code again
        return True, f"it raises {type(error).__name__}: {error}{_line_of(error)}"
