"""What the defects of the labs do, measured at full size: regenerates docs/labs.md.

    python -m benchmarks.labs [--out docs] [--seeds 0 1 2 3 4]

takes a quarter of an hour on two cores. `minitx lab all --full` prints the same figures.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from minitx.app.study import StudyResult
from minitx.learn.labs import SEEDS, find_labs
from minitx.learn.labs_table import COLUMNS, cells, verdict
from minitx.writing import write_text

PAGE = """# What the defects of the labs do, measured

```
python -m benchmarks.labs
```

Each [lab](../tutorials/labs) of the course holds one real defect as a difference of one line. Here is what that line
does to the figures of small models on the built-in reviews, made of 4,000 rows before cleaning: means over the seeds
{seeds}, and the 95 % interval of the paired differences, wrong minus right. An interval that contains 0 gives no
verdict. {count} figures have an interval; about one in twenty would have a verdict by chance if no defect did anything.
The tests assert only what holds by construction; the rest is what was measured, and may be otherwise on other data. The
last column has the verdicts on 1,000 rows, which `minitx lab NAME` uses without `--full`.

{table}

{titles}
"""


def labs_table(results: Mapping[str, StudyResult], small: Mapping[str, StudyResult] | None = None) -> str:
    header = ("lab", *COLUMNS, *(["on 1,000 rows"] if small else []))
    rows = [header, ("---",) * len(header)]
    for name, result in results.items():
        for i, row in enumerate(cells(result)):
            rows.append((f"`{name}`" * (not i), *row, *([verdict(small[name], row[0])] if small else [])))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def labs_page(
    results: Mapping[str, StudyResult],
    small: Mapping[str, StudyResult],
    titles: Mapping[str, str],
    seeds: Sequence[int],
) -> str:
    differences = [result.difference("wrong", metric) for result in results.values() for metric in result.metrics]
    return PAGE.format(
        seeds=", ".join(map(str, seeds)),
        count=sum(difference.low < difference.high for difference in differences),
        table=labs_table(results, small),
        titles="\n".join(f"- `{name}`: {title}." for name, title in titles.items()),
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Regenerate docs/labs.md.")
    parser.add_argument("--out", default="docs", metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    a = parser.parse_args(argv)
    labs, results, small = find_labs(), {}, {}
    for name, lab in tqdm(labs.items(), unit=" labs", disable=not sys.stderr.isatty()):
        results[name], small[name] = lab.study(a.seeds, True), lab.study(a.seeds, False)
    titles = {name: lab.title for name, lab in labs.items()}
    write_text(Path(a.out) / "labs.md", labs_page(results, small, titles, a.seeds))


if __name__ == "__main__":
    main()
