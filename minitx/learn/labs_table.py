"""How are the figures of labs written down? One table for a terminal, one in Markdown for all labs, and a page."""

import difflib
from collections.abc import Mapping, Sequence

from minitx.app.study import StudyResult

COLUMNS = ("metric", "right", "wrong", "the defect", "wrong - right (95 % interval)")
WIDTH = 116  # beside an indent of 4
PAGE = """# What the defects of the labs do, measured

```
{command}
```

Each [lab](../tutorials/labs) of the course holds one real defect as a difference of one line. Here is what that line
does to the figures of small models on the built-in reviews, made of {rows} rows before cleaning: means over the seeds
{seeds}, and the 95 % interval of the paired differences, wrong minus right. An interval that contains 0 gives no
verdict. There are {count} intervals, so that one or two may have a verdict by chance. The tests assert only what holds
by construction; the rest is what was measured, and may be otherwise on other data.{small}

{table}

{titles}
"""
SMALL = " The last column has the\nverdicts on 1,000 rows, which `minitx lab NAME` uses without `--full`."


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


def labs_table(results: Mapping[str, StudyResult], small: Mapping[str, StudyResult] | None = None) -> str:
    """The figures of all labs, name -> result, in Markdown; with the verdicts of `small`, measured on fewer rows."""
    header = ("lab", *COLUMNS, *(["on 1,000 rows"] if small else []))
    rows = [header, ("---",) * len(header)]
    for name, result in results.items():
        for i, row in enumerate(cells(result)):
            rows.append((f"`{name}`" * (not i), *row, *([verdict(small[name], row[0])] if small else [])))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def labs_page(
    results: Mapping[str, StudyResult],
    small: Mapping[str, StudyResult] | None,
    titles: Mapping[str, str],
    seeds: Sequence[int],
) -> str:
    """The page docs/labs.md: `labs_table` with what it rests on, and the title of each lab."""
    return PAGE.format(
        command=f"minitx lab all{' --full' if small else ''} --out docs",
        rows="4,000" if small else "1,000",
        seeds=", ".join(map(str, seeds)),
        count=sum(len(result.metrics) for result in results.values()),
        small=SMALL if small else "",
        table=labs_table(results, small),
        titles="\n".join(f"- `{name}`: {title}." for name, title in titles.items()),
    )


def side_by_side(right: Sequence[str], wrong: Sequence[str]) -> str:
    """Two sources of as many lines, the lines that differ marked with `>`; a unified diff if that is too wide."""
    half = max(map(len, right))
    marks = ["|"] + ["|" if a == b else ">" for a, b in zip(right[1:], wrong[1:], strict=True)]  # both have a def line
    pairs = [f"{a:{half}}  {mark}  {b}".rstrip() for a, mark, b in zip(right, marks, wrong, strict=True)]
    if max(map(len, pairs)) <= WIDTH:
        return "\n".join(pairs)
    return "\n".join(difflib.unified_diff(right, wrong, "right", "wrong", n=len(right), lineterm=""))
