"""What does a real defect do to the figures? Right and wrong side by side, a guess, and the damage, measured.

A lab is a file NAME.py in the course's folder `labs`. It defines `right` and `wrong`, which differ by one line;
`measure(variant, seed, full)`, which runs one of them and returns figures by name; and `LAB`. Its docstring has a title
and tells where the defect was seen. What the defect does is never written down: it comes from a `Study`, seed by seed.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minitx.app.study import Study, StudyResult
from minitx.errors import InputError, suggestion
from minitx.learn.files import ask_terminal, course_directory, load_file
from minitx.learn.labs_table import WIDTH, lab_table, side_by_side, verdict

SEEDS = (0, 1, 2, 3, 4)
VERDICTS = ("raises", "lowers", "no verdict")
Ask = Callable[[str, Sequence[str]], str | None]


@dataclass(frozen=True)
class Lab:
    """What is asked before a lab runs, and told after it."""

    question: str
    metric: str  # of those that `measure` returns, the one that the question is about
    caught_by: str
    lesson: str  # what to take from it, whatever the figures are
    check: Callable[[], object] | None = None  # the check that catches it; what it returns or raises is shown


@dataclass(frozen=True)
class Found:
    """A lab in its file."""

    name: str
    about: str  # the docstring, with the title as its first line
    lab: Lab
    right: Callable[..., Any]
    wrong: Callable[..., Any]
    measure: Callable[..., Mapping[str, float]]  # (right or wrong, seed, full)

    @property
    def title(self) -> str:
        """The defect in plain words."""
        return self.about.strip().splitlines()[0]

    def study(self, seeds: Sequence[int], full: bool) -> StudyResult:
        """Right and wrong with every seed."""
        arms = {f.__name__: partial(self.measure, f, full=full) for f in (self.right, self.wrong)}
        return Study(arms, seeds).run(progress=sys.stderr.isatty())

    def difference(self) -> str:
        """What right and wrong are to do, and their sources, the line that differs marked."""
        sources = [inspect.getsource(f).rstrip().splitlines() for f in (self.right, self.wrong)]
        body = side_by_side(*([def_line, *code] for def_line, _docstring, *code in sources))
        return f"{inspect.getdoc(self.right)}\n\n{textwrap.indent(body, '    ')}"


def find_labs(directory: Path | None = None) -> dict[str, Found]:
    """Name -> lab, for every file of a folder, by default the course's."""
    labs = {}
    for path in sorted((directory or course_directory() / "labs").glob("[a-z]*.py")):  # _small.py is what they share
        lab = load_file(path)
        labs[path.stem] = Found(path.stem, lab.__doc__ or "", lab.LAB, lab.right, lab.wrong, lab.measure)
    return labs


def ask_guess(question: str, choices: Sequence[str]) -> str | None:
    """The choice that is typed, the first letter being enough; None where nobody sits at a terminal."""
    print(f"{question} ({' / '.join(choices)})")
    while (typed := ask_terminal("Your guess: ")) is not None:
        for choice in choices:
            if typed.strip() and choice.startswith(typed.strip().lower()):
                return choice
    return None


def run_lab(
    name: str | None,
    *,
    full: bool = False,
    seeds: Sequence[int] = SEEDS,
    ask: Ask = ask_guess,
) -> int:
    """Run a lab; without a name, list them; with `all`, run every lab without asking.

    Args:
        name: of a lab; `InputError` if there is none of that name.
        full: measure on more rows: minutes, not seconds.
        seeds: at least two.
        ask: (question, choices) -> a choice, or None for no guess.
    """
    labs = find_labs()
    if name is None:
        print("\n".join(f"{lab.name:{max(map(len, labs))}}  {lab.title}" for lab in labs.values()))
    elif name == "all":
        print("\n\n".join(f"{lab.name}\n{lab_table(lab.study(seeds, full))}" for lab in labs.values()))
    elif name in labs:
        _show(labs[name], full, seeds, ask)
    else:
        raise InputError(f"no lab {name}: {suggestion(name, ['all', *labs])}")
    return 0


def _show(found: Found, full: bool, seeds: Sequence[int], ask: Ask) -> None:
    lab = found.lab
    print(f"{found.about.strip()}\n\n{found.difference()}\n")
    guess = ask(lab.question, VERDICTS)
    result = found.study(seeds, full)
    measured = verdict(result, lab.metric)
    print(f"\nMeasured with the seeds {', '.join(map(str, seeds))}:\n\n{lab_table(result)}\n")
    told = f"no verdict on {lab.metric}" if measured == "no verdict" else f"it {measured} {lab.metric}"
    print(
        f"So {told}.{'' if guess is None else f' Your guess, {guess}, was ' + ('wrong.', 'right.')[guess == measured]}"
    )
    print(f"\n{textwrap.fill(f'Caught by: {lab.caught_by}', WIDTH)}")
    if lab.check is not None:
        try:
            print(lab.check())
        except (ValueError, RuntimeError) as error:
            print(f"{type(error).__name__}: {error}")
    print(f"\n{textwrap.fill(lab.lesson, WIDTH)}")
