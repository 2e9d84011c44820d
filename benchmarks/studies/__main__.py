"""What the write-ups claim, answered by running:  `python -m benchmarks.studies [NAME ...] --data reviews.csv`

Runs what is missing, from the top of the ranking down, at first up to the first look of every study, then up to the
next one of those without a verdict. What has run is kept in `benchmarks/studies/results`, a line for each run; it can
be stopped at any time, and goes on where it was. Each study is a TOML beside this file, written down before it ran.

    --plan        what is planned, what is missing, and about how long that takes
    --report      the table in docs/studies.md and the picture in docs/pictures, from what has run
    --recheck N   after a change of the code: run N stored runs again; if every figure is equal, all count
    --jobs N      processes, each on a core of its own: a training takes 21 s on one core, and 15 s on two
"""

import argparse
import functools
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.studies import plan, report, runner
from benchmarks.studies.measure import figures
from benchmarks.studies.store import Store, present_code
from minitx.errors import InputError, suggestion
from minitx.system import Bar
from minitx.writing import alone

DOCS = Path(__file__).parents[2] / "docs"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies; all of them if left out")
    parser.add_argument("--data", metavar="CSV", help="a review file; built-in synthetic reviews if left out")
    parser.add_argument("--jobs", type=int, default=1, choices=range(1, 65), metavar="N")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--plan", action="store_true")
    action.add_argument("--report", action="store_true")
    action.add_argument("--recheck", type=int, metavar="N")
    a = parser.parse_args(argv)
    try:
        return act(a)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what has run is kept, and the same command goes on", file=sys.stderr)
        return 130


def act(a: argparse.Namespace) -> int:
    every = plan.studies()
    if strangers := [name for name in a.names if name not in every]:
        raise InputError(f"no study {strangers[0]!r}; {suggestion(strangers[0], list(every))}")
    chosen = {name: study for name, study in every.items() if not a.names or name in a.names}
    store = Store()
    data = Counter(line["data"] for line in store.lines.values()).most_common(1)
    of_most = a.report and a.data is None and data  # a report needs no data, only to know which it is about
    bench = runner.Bench(store, a.data, data[0][0] if of_most else plan.fingerprint(a.data), present_code())
    if stale := bench.store.stale(bench.code):
        print(f"{len(stale)} stored runs are of other code, and count for nothing before a --recheck")
    if a.plan:
        print(planned(bench, chosen, a.jobs))
        return 0
    if a.report:
        report.write(bench, every, DOCS)
        print(f"written: {DOCS / 'studies.md'} and {DOCS / 'pictures' / 'studies.png'}")
        return 0
    bench.store.folder.mkdir(exist_ok=True)
    with alone(bench.store.folder / ".lock", bench.store.folder), tempfile.TemporaryDirectory() as kept:
        measure = functools.partial(figures, kept=Path(kept))
        if a.recheck is not None:
            return again(bench, chosen, a.recheck, measure)
        for look in range(max(len(study.looks) for study in chosen.values())):
            run(bench, every, chosen, look, a.jobs, measure)
    return 0


def run(
    bench: runner.Bench,
    every: dict[str, plan.Question],
    chosen: dict[str, plan.Question],
    look: int,
    jobs: int,
    measure: runner.Measure,
) -> None:
    """One look at all studies: at the second, only at arms without a verdict."""
    here = [study for study in chosen.values() if not study.waits_for() and look < len(study.looks)]
    names = {study.name: report.unsettled(bench, every, study) if look else None for study in here}
    counted: set[str] = set()
    total = sum(runner.missing(bench, study, study.looks[look], names[study.name], counted)[0] for study in here)
    with Bar(total=total, unit=" runs") as bar:
        for study in here:
            runner.go(bench, study, study.looks[look], jobs, bar, measure, names[study.name])


def planned(bench: runner.Bench, chosen: dict[str, plan.Question], jobs: int) -> str:
    """A line for each study."""
    lines = [f"{'rank':>4}  {'study':24} {'arms':>4} {'seeds':>7} {'missing':>8} {'one core':>12}  decided by"]
    total, seconds, counted = 0, 0.0, set[str]()
    for study in chosen.values():
        if waits := study.waits_for():
            lines.append(f"{study.rank:4}  {study.name:24} waits for {waits}")
            continue
        runs, took = runner.missing(bench, study, study.looks[0], None, counted)
        total, seconds = total + runs, seconds + took
        looks = ", ".join(map(str, study.looks))
        lines.append(
            f"{study.rank:4}  {study.name:24} {len(study.arms):4} {looks:>7} {runs:8} {report.hours(took):>12}"
            f"{'' if runs else '  (nothing, or runs of studies above)'}"
            f"  {study.metric}, margin {report.plain(study.metric, study.margin)}"
        )
    several = f", {report.hours(seconds / jobs)} in {jobs} processes" * (jobs > 1)
    on = bench.data or "the built-in synthetic reviews"
    lines.append(f"{on}: {total} runs are missing up to the first look: {report.hours(seconds)} of one core{several}")
    return "\n".join(lines)


def again(bench: runner.Bench, chosen: dict[str, plan.Question], number: int, measure: runner.Measure) -> int:
    """Run some stored runs again."""
    runs = runner.known(bench, chosen)
    keys = runner.draw(bench, number, runs)
    with Bar(total=len(keys), unit=" runs") as bar:
        differ = runner.recheck(bench, keys, runs, bar, measure)
    for line in differ:
        print(line)
    found = "not every figure is the same: nothing was restamped" if differ else "every figure is equal"
    print(f"{len(keys)} runs again: {found}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
