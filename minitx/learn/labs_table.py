"""How are a lab's figures and its two sources set side by side?"""

import difflib
from collections.abc import Sequence

from minitx.app.study import StudyResult

COLUMNS = ("metric", "right", "wrong", "the defect", "wrong - right (95 % interval)")
WIDTH = 116  # beside an indent of 4


def verdict(result: StudyResult, metric: str) -> str:
    """What wrong does to a metric of right, by the interval of the paired differences."""
    return {"higher": "raises", "lower": "lowers"}.get(result.difference("wrong", metric).verdict, "no verdict")


def cells(result: StudyResult) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each metric."""
    rows = []
    for metric in result.metrics:
        d = result.difference("wrong", metric)
        told = f"{_number(d.mean, '+')} ({_number(d.low, '+')} to {_number(d.high, '+')})"
        if d.low == d.high:
            told = f"{_number(d.mean, '+') if d.mean else '0'} with every seed"
        means = (_number(result.mean(arm, metric).mean) for arm in ("right", "wrong"))
        rows.append((metric, *means, verdict(result, metric), told))
    return rows


def _number(x: float, sign: str = "") -> str:
    return f"{x:{sign}.3f}" if abs(x) < 100 else f"{x:{sign},.0f}"


def lab_table(result: StudyResult) -> str:
    """The figures of one lab, for a terminal."""
    rows = [COLUMNS, *cells(result)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def side_by_side(right: Sequence[str], wrong: Sequence[str]) -> str:
    """Two sources of as many lines, the lines that differ marked with `>`; a unified diff if that is too wide."""
    half = max(map(len, right))
    marks = ["|"] + ["|" if a == b else ">" for a, b in zip(right[1:], wrong[1:], strict=True)]  # both have a def line
    pairs = [f"{a:{half}}  {mark}  {b}".rstrip() for a, mark, b in zip(right, marks, wrong, strict=True)]
    if max(map(len, pairs)) <= WIDTH:
        return "\n".join(pairs)
    return "\n".join(difflib.unified_diff(right, wrong, "right", "wrong", n=len(right), lineterm=""))
