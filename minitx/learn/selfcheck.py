"""Are all gradients of minitx right, or that of an op of your own? Checked numerically: `minitx gradcheck`.

What is checked is the rows of `cases`, one for every op and layer.
"""

import importlib
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.learn.cases import LAYERS, OPS, Case
from minitx.learn.files import load_file
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError, compare

TOLERANCE = 1e-6  # worst relative error of a right gradient, in float64
HOW_TO = (
    "an op is a function of Tensors that returns Tensor.from_op(y, (x, ...), backward), where backward(dy) returns "
    "one derivative for each of (x, ...); docs/your-own-op.md has a template"
)


@dataclass
class Row:
    """What became of one case."""

    case: Case
    worst: float  # relative error; inf if there was nothing to compare
    seconds: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Under the tolerance; NaN is not."""
        return self.worst < TOLERANCE


def check_all(progress: bool = False) -> list[Row]:
    """Check every op and layer numerically in float64, under a random cotangent; `progress` shows a bar."""
    rows = []
    with tqdm([*OPS, *LAYERS], disable=not progress, leave=False, unit=" ops") as bar:
        for case in bar:
            bar.set_postfix_str(case.name, refresh=False)
            start, note = time.perf_counter(), ""
            try:
                worst = compare(*case.build(), eps=1e-5).worst  # the step at which two kinds of error balance
            except GradcheckError as error:
                worst, note = np.inf, str(error)
            rows.append(Row(case, worst, time.perf_counter() - start, note))
    return rows


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a table: op or layer, shapes, worst relative error, seconds, pass or FAIL; and a summary."""
    name_width, shape_width = (max(len(text(row)) for row in rows) for text in (lambda r: r.case.name, _shapes))
    lines = [f"{'op or layer':{name_width}}  {'shapes':{shape_width}}  worst error  seconds  result"]
    lines += [
        f"{row.case.name:{name_width}}  {_shapes(row):{shape_width}}  {row.worst:11.1e}  {row.seconds:7.2f}  "
        f"{'pass' if row.passed else 'FAIL'}{row.note and f' ({row.note})'}"
        for row in rows
    ]
    failed, seconds = sum(not row.passed for row in rows), sum(row.seconds for row in rows)
    verdict = f"{failed} of {len(rows)} FAILED" if failed else f"all {len(rows)} passed"
    lines.append(f"{verdict}: worst relative error {max(row.worst for row in rows):.1e}, {seconds:.1f} seconds")
    return "\n".join(lines)


def _shapes(row: Row) -> str:
    return " ".join(str(shape).replace(" ", "") for shape in row.case.shapes_of()) or "ids"


def load_op(target: str) -> Callable[..., Tensor]:
    """The function that `module:name` or `path/to/file.py:name` names; `InputError` if there is none."""
    path, colon, name = target.rpartition(":")
    if not (path and colon and name):
        raise InputError(f"expected module:function, as in my_ops:swish, not {target!r}; {HOW_TO}")
    file = Path(path if path.endswith(".py") else f"{path.replace('.', '/')}.py")
    try:
        module = load_file(file) if file.is_file() else importlib.import_module(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"cannot import {path}: {type(error).__name__}: {error}") from error
    op = getattr(module, name, None)
    if not callable(op):
        names = [n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__]
        raise InputError(f"{path} has no function {name}; it has: {', '.join(names) or 'none'}")
    return op


def check_op(target: str, shapes: Sequence[tuple[int, ...]], seed: int = 0) -> str:
    """Check a user's op on random inputs of these shapes: its derivatives, and that it keeps float32.

    Returns:
        One line that says what was found right.

    Raises:
        GradcheckError: a derivative is wrong; the message says where, and what it looks like.
        InputError: the op cannot be found, or cannot be called with these shapes.
    """
    if seed < 0:
        raise InputError(f"the seed must be at least 0, not {seed}")
    op, rng = load_op(target), np.random.default_rng(seed)
    if not shapes:
        raise InputError(f"give a shape for each argument of {target}{inspect.signature(op)}: --shape 3,4 --shape 4")
    drawn, domain = [rng.normal(size=shape) for shape in shapes], "normally distributed"
    try:
        with np.errstate(all="ignore"):
            y = op(*(Tensor(x) for x in drawn))
            if isinstance(y, Tensor) and not np.isfinite(y.data).all():  # log, sqrt, ...
                drawn, domain = [rng.uniform(0.5, 1.5, shape) for shape in shapes], "positive"
        y = op(*(Tensor(x.astype(np.float32)) for x in drawn))
    except Exception as error:  # whatever a stranger's function may raise
        raise InputError(f"{target} on shapes {[*shapes]} raised {type(error).__name__}: {error}") from error
    if not isinstance(y, Tensor):
        raise InputError(f"{target} returned {type(y).__name__}, not a Tensor: {HOW_TO}")
    if y.dtype != np.float32:
        raise GradcheckError(f"{target} returned {y.dtype} for float32 inputs: an op keeps its inputs' dtype")
    inputs = [Tensor(x, requires_grad=True) for x in drawn]
    gradcheck(op, inputs, seed=seed)
    worst = compare(op, inputs, eps=1e-5, seed=seed).worst
    return (
        f"{target} is right on {domain} inputs of shapes {[*shapes]}: worst relative error {worst:.1e}; keeps float32"
    )


def main(target: str | None, shapes: Sequence[tuple[int, ...]], seed: int) -> int:
    """`minitx gradcheck`: every op and layer or, with a `target`, an op of your own; 1 if a gradient is wrong."""
    if target is None and shapes:
        raise InputError("--shape goes with an op of your own, as in minitx gradcheck my_ops:swish --shape 3,4")
    try:
        if target is not None:
            print(check_op(target, shapes, seed))
            return 0
        rows = check_all(progress=sys.stderr.isatty())
        print(f"{format_table(rows)}\n\nyour own: {HOW_TO}")
        if not all(row.passed for row in rows):
            raise GradcheckError("a gradient of minitx is wrong")
    except GradcheckError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
