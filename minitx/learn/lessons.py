"""The course at the terminal: a lesson cell by cell, its questions asked first, its exercises checked.

A lesson is a script of cells, `# %%` and `# %% [markdown]`. A question is a paragraph that begins

    **Predict** `expression`: question

and the expression is evaluated after the next cell of code: that is the answer. Exercises are copied to
`exercises/NN.py` where the learner works; what has been done is kept beside them, in `exercises/progress.json`.
"""

import ast
import contextlib
import copy
import inspect
import json
import linecache
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minitx.errors import InputError
from minitx.learn.check import Verdict, judge_file
from minitx.learn.files import ask_terminal, course_directory, course_pieces, load_file
from minitx.learn.piece import Piece
from minitx.writing import write_text

Ask = Callable[[str], str | None]
WIDTH = 100
HINTS = ("Idea", "Line")
EMPTY: dict[str, Any] = {"hits": 0, "asked": 0, "done": [], "hints": {}}  # what is known of a lesson at first


@dataclass(frozen=True)
class Lesson:
    """One lesson, read from its script."""

    number: str  # "07"
    path: Path

    @property
    def source(self) -> str:
        """The script."""
        return self.path.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """`07. Attention on four tokens`: the first heading."""
        return re.search(r"^# # (.*)$", self.source, re.MULTILINE)[1]  # type: ignore[index]  # a test sees to it

    @property
    def minutes(self) -> int:
        """What a person needs."""
        return int(re.search(r"^# \*(\d+) minutes", self.source, re.MULTILINE)[1])  # type: ignore[index]

    def cells(self) -> list[tuple[bool, int, str]]:
        """(whether it is prose, the line it starts on, the text) of every cell; prose without its comment marks."""
        lines = self.source.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
        cells = []
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            prose, body = "[markdown]" in lines[start], lines[start + 1 : end]
            text = "\n".join(re.sub("^# ?", "", line) for line in body) if prose else "\n".join(body)
            cells.append((prose, start + 2, text.strip("\n") if prose else text))
        return cells

    def exercises(self) -> dict[str, tuple[Piece, Callable[..., Any]]]:
        """Name -> what is asked, and a solution."""
        solutions, pieces = self.solutions(), course_pieces()
        asked = [pieces[one] if isinstance(one, str) else one for one in solutions.EXERCISES]
        return {piece.name: (piece, getattr(solutions, piece.name)) for piece in asked}

    def solutions(self) -> ModuleType:
        """`EXERCISES`, names of the thirteen pieces or pieces of the lesson's own, and a function for each."""
        return load_file(self.path.parent / "solutions" / f"{self.number}.py")


def find_lessons() -> dict[str, Lesson]:
    """The lessons by number, in order."""
    return {path.name[:2]: Lesson(path.name[:2], path) for path in sorted(course_directory().glob("[0-9][0-9]_*.py"))}


def find_lesson(number: str) -> Lesson:
    """`7` and `07` are the same lesson; `InputError` if there is none of that number."""
    lessons = find_lessons()
    if number.zfill(2) not in lessons:
        raise InputError(f"no lesson {number!r}: choose from {min(lessons)} to {max(lessons)}, or capstone")
    return lessons[number.zfill(2)]


# -- what has been done ------------------------------------------------------------------------------------------


class Progress:
    """`exercises/progress.json` below a folder: predictions, exercises done, hints taken, for each lesson."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "exercises" / "progress.json"
        if self.path.parent.resolve() == (course_directory() / "exercises").resolve():
            raise InputError(f"{folder} holds the course's own exercises: work in a folder of your own")
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
            self.lessons = {number: EMPTY | known for number, known in stored.items()}
            for known in self.lessons.values():
                if {name: type(value) for name, value in known.items()} != {n: type(v) for n, v in EMPTY.items()}:
                    raise ValueError("not what was written")
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{self.path} is damaged: remove it to start counting anew") from error

    def of(self, number: str) -> dict[str, Any]:
        """What is known of a lesson; to be changed in place, then `save`."""
        return self.lessons.setdefault(number, copy.deepcopy(EMPTY))

    def save(self) -> None:
        """Write it whole."""
        self.path.parent.mkdir(exist_ok=True)
        write_text(self.path, json.dumps(self.lessons, indent=1))

    def __str__(self) -> str:
        rows = []
        for lesson in find_lessons().values():
            known, exercises = self.of(lesson.number), lesson.solutions().EXERCISES
            asked = f"{known['hits']} of {known['asked']} foreseen" if known["asked"] else ""
            done = f"{len(known['done'])} of {len(exercises)} exercises"
            rows.append(f"{lesson.title:58}{lesson.minutes:3} min   {done}   {asked}".rstrip())
        return "\n".join(rows)


# -- a lesson ----------------------------------------------------------------------------------------------------


def read_lesson(lesson: Lesson, progress: Progress, ask: Ask = ask_terminal) -> None:
    """Run the cells one after the other; each question waits for an answer before the cell that answers it."""
    known, namespace = progress.of(lesson.number), {"__name__": "__main__", "__file__": str(lesson.path)}
    hits, asked = 0, 0  # what is known of an earlier reading stays until the first answer
    linecache.checkcache(str(lesson.path))
    expression, guess = "", None
    for prose, line, text in lesson.cells():
        if prose:
            print(f"\n{_wrapped(text)}\n")
            question = re.search(r"\*\*Predict\*\* `([^`]+)`", text)
            expression = question[1] if question else ""
            guess = ask("Your prediction (Enter skips it, q leaves): ") if question else None
            continue
        if (guess or "").strip().lower() == "q":
            break
        print(textwrap.indent(text.strip("\n"), "    | ", lambda _: True) + "\n")
        exec(compile("\n" * (line - 1) + text, str(lesson.path), "exec"), namespace)
        if expression and guess and guess.strip():
            answer = eval(expression, namespace)
            hit = foreseen(guess, answer)
            hits, asked = hits + hit, asked + 1
            known |= {"hits": hits, "asked": asked}
            progress.save()
            shown = f"{answer:.4g}" if isinstance(answer, float | np.floating) else answer
            print(f"\n{expression} is {shown}: {'as you said' if hit else f'you said {guess.strip()}'}")
        expression, guess = "", None
        if (ask("\nEnter goes on, q leaves: ") or "").strip().lower() == "q":
            break
    if asked:
        print(f"You foresaw {hits} of {asked} results.")
    progress.save()


def _wrapped(text: str) -> str:
    """Paragraphs folded; headings, lists, tables and indented lines as they are."""
    paragraphs = re.split(r"\n\s*\n", text)
    kept = (p if re.match(r"[#|>*-] |\s|\|", p) else textwrap.fill(p, WIDTH) for p in paragraphs)
    return "\n\n".join(kept)


def foreseen(guess: str, answer: Any) -> bool:
    """Whether a typed guess is the answer: a number to 5 %, a whole number exactly, yes or no, words of the choice.

    44 %, 0.44 and 4/9 are ways to type a number.
    """
    typed = guess.strip().lower()
    if isinstance(answer, bool | np.bool_):
        denied = typed[:1] in ("n", "f") or "not" in typed.split()
        return denied != bool(answer) and bool(typed)
    if isinstance(answer, str):
        return bool(typed) and (answer.lower().startswith(typed) or set(typed.split()) <= set(answer.lower().split()))
    with contextlib.suppress(ValueError, SyntaxError, TypeError, ArithmeticError, RecursionError):
        if isinstance(answer, tuple):
            value = ast.literal_eval(typed)
            return tuple(value) == answer if isinstance(value, tuple | list) else (value,) == answer
        over, _, under = typed.replace(",", "").removesuffix("%").partition("/")
        value = float(over) / float(under or 1) / (100 if typed.endswith("%") else 1)
        return math.isclose(value, answer, rel_tol=0 if isinstance(answer, int | np.integer) else 0.05)
    return False


# -- exercises ---------------------------------------------------------------------------------------------------


def copy_exercises(lesson: Lesson, folder: Path) -> Path:
    """`exercises/NN.py` below `folder`; one that is there is left as it is."""
    path = folder / "exercises" / f"{lesson.number}.py"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_text(path, (lesson.path.parent / "exercises" / path.name).read_text(encoding="utf-8"))
    return path


def check_exercises(lesson: Lesson, path: Path, progress: Progress) -> list[Verdict]:
    """A verdict on each exercise, in order."""
    known, asked = progress.of(lesson.number), lesson.exercises()
    verdicts = judge_file(path, {name: piece for name, (piece, _) in asked.items()})
    known["done"] = [verdict.piece.name for verdict in verdicts if verdict.passed]
    progress.save()
    return verdicts


def hint(lesson: Lesson, progress: Progress, name: str = "") -> str:
    """The next hint for an exercise, by default the first that is not done: its idea, then its line, then its code."""
    known, exercises = progress.of(lesson.number), lesson.exercises()
    if name and name not in exercises:
        raise InputError(f"lesson {lesson.number} has no exercise {name!r}: choose from {', '.join(exercises)}")
    name = name or next((one for one in exercises if one not in known["done"]), "")
    if not name:
        return "all exercises are done"
    source, level = _source(exercises[name][1]), known["hints"].get(name, 0)
    known["hints"][name] = level + 1
    progress.save()
    if level < len(HINTS):
        found = re.search(rf"# {HINTS[level]}: (.*(?:\n\s*# (?!\w+:).*)*)", source)
        if found:
            told = re.sub(r"\s*\n\s*# ", " ", found[1])
            return f"{name}, the {HINTS[level].lower()}: {told}"
    return source


def solutions(lesson: Lesson, verdicts: Mapping[str, Verdict]) -> str:
    """The solutions of the exercises that have been attempted; `InputError` if none has."""
    tried = [name for name, verdict in verdicts.items() if verdict.written]
    if not tried:
        raise InputError(f"exercises/{lesson.number}.py has no attempt yet; --hint helps without giving it away")
    found = lesson.exercises()
    return "\n\n".join(_source(found[name][1]) for name in tried)


def _source(solution: Callable[..., Any]) -> str:
    """A solution, after the helpers that it calls."""
    beside: list[Any] = [solution.__globals__.get(name) for name in solution.__code__.co_names]
    helpers = [f for f in beside if inspect.isfunction(f) and f.__module__ == solution.__module__]
    functions: list[Any] = [*helpers, solution]
    return "\n\n".join(map(inspect.getsource, functions))
