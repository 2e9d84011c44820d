"""The course at the terminal: a lesson cell by cell, its questions asked first, its exercises checked.

A lesson is a script of cells, `# %%` and `# %% [markdown]`. A question is a paragraph that begins

    **Predict** `expression`: question

and the expression is evaluated after the next cell of code: that is the answer. Exercises are copied to
`exercises/NN.py` where the learner works; what has been done is kept beside them, in `exercises/progress.json`.
"""

import ast
import contextlib
import inspect
import json
import linecache
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minitx.errors import InputError
from minitx.learn.check import Verdict, check_function
from minitx.learn.files import course_directory, course_pieces, load_file
from minitx.learn.piece import Piece
from minitx.system import write_json

Ask = Callable[[str], str | None]
WIDTH = 100
HINTS = ("Idea", "Line")


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
            self.lessons = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
            if not all(isinstance(one, dict) for one in [self.lessons, *self.lessons.values()]):
                raise ValueError("not what was written")
        except (ValueError, AttributeError) as error:
            raise InputError(f"{self.path} is damaged: remove it to start counting anew") from error

    def of(self, number: str) -> dict[str, Any]:
        """What is known of a lesson; to be changed in place, then `save`."""
        return self.lessons.setdefault(number, {"hits": 0, "asked": 0, "done": [], "hints": {}})

    def save(self) -> None:
        """Write it whole."""
        self.path.parent.mkdir(exist_ok=True)
        write_json(self.path, self.lessons)

    def __str__(self) -> str:
        rows = []
        for lesson in find_lessons().values():
            known, exercises = self.of(lesson.number), lesson.solutions().EXERCISES
            asked = f"{known['hits']} of {known['asked']} foreseen" if known["asked"] else ""
            done = f"{len(known['done'])} of {len(exercises)} exercises"
            rows.append(f"{lesson.title:58}{lesson.minutes:3} min   {done}   {asked}".rstrip())
        return "\n".join(rows)


# -- a lesson ----------------------------------------------------------------------------------------------------


def ask_terminal(prompt: str) -> str | None:
    """What is typed; None where nobody sits at a terminal, or at the end of the input."""
    if not sys.stdin.isatty():
        return None
    try:
        return input(prompt)
    except EOFError:
        return None


def read_lesson(lesson: Lesson, progress: Progress, ask: Ask = ask_terminal) -> None:
    """Run the cells one after the other; each question waits for an answer before the cell that answers it."""
    known, namespace = progress.of(lesson.number), {"__name__": "__main__", "__file__": str(lesson.path)}
    known["hits"] = known["asked"] = 0
    linecache.checkcache(str(lesson.path))
    expression, guess = "", None
    for prose, line, text in lesson.cells():
        if prose:
            print(f"\n{_wrapped(text)}\n")
            question = re.search(r"\*\*Predict\*\* `([^`]+)`", text)
            expression = question[1] if question else ""
            guess = ask("Your prediction: ") if question else None
            continue
        print(textwrap.indent(text.strip("\n"), "    | ", lambda _: True) + "\n")
        exec(compile("\n" * (line - 1) + text, str(lesson.path), "exec"), namespace)
        if expression and guess is not None:
            answer = eval(expression, namespace)
            hit = foreseen(guess, answer)
            known["hits"], known["asked"] = known["hits"] + hit, known["asked"] + 1
            print(f"\n{expression} is {_shown(answer)}: {'as you said' if hit else f'you said {guess.strip()}'}")
        expression, guess = "", None
        if (ask("\nEnter goes on, q leaves: ") or "").strip().lower() == "q":
            break
    if known["asked"]:
        print(f"You foresaw {known['hits']} of {known['asked']} results.")
    progress.save()


def _wrapped(text: str) -> str:
    """Paragraphs folded; headings, lists, tables and indented lines as they are."""
    paragraphs = re.split(r"\n\s*\n", text)
    kept = (p if re.match(r"[#|>*-] |\s|\|", p) else textwrap.fill(p, WIDTH) for p in paragraphs)
    return "\n\n".join(kept)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def foreseen(guess: str, answer: Any) -> bool:
    """Whether a typed guess is the answer: a number to 5 %, a whole number exactly, yes or no, the start of a word."""
    typed = guess.strip().lower()
    if isinstance(answer, bool | np.bool_):
        return typed[:1] in (("y", "t") if answer else ("n", "f"))
    if isinstance(answer, str):
        return bool(typed) and answer.lower().startswith(typed)
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        value = ast.literal_eval(typed.removesuffix("%").replace("^", "**"))
        if isinstance(answer, tuple):
            return tuple(value) == answer if isinstance(value, tuple | list) else (value,) == answer
        return math.isclose(value, answer, rel_tol=0 if isinstance(answer, int | np.integer) else 0.05)
    return False


# -- exercises ---------------------------------------------------------------------------------------------------


def copy_exercises(lesson: Lesson, folder: Path) -> Path:
    """`exercises/NN.py` below `folder`; one that is there is left as it is."""
    path = folder / "exercises" / f"{lesson.number}.py"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(lesson.path.parent / "exercises" / path.name, path)
    return path


def check_exercises(lesson: Lesson, path: Path, progress: Progress) -> list[Verdict]:
    """A verdict on each exercise, in order."""
    written, known = load_file(path), progress.of(lesson.number)
    verdicts = []
    for name, (piece, _) in lesson.exercises().items():
        function = getattr(written, name, None)
        missing = Verdict(piece, f"{path.name} has no function {name}", written=False)
        verdicts.append(check_function(piece, function) if callable(function) else missing)
    known["done"] = [verdict.piece.name for verdict in verdicts if verdict.passed]
    progress.save()
    return verdicts


def hint(lesson: Lesson, progress: Progress) -> str:
    """The next hint for the first exercise that is not done: its idea, then its line, then its code."""
    known = progress.of(lesson.number)
    open_ones = {name: both for name, both in lesson.exercises().items() if name not in known["done"]}
    if not open_ones:
        return "all exercises are done"
    name, (_, solution) = next(iter(open_ones.items()))
    source, level = inspect.getsource(solution), known["hints"].get(name, 0)
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
    return "\n\n".join(inspect.getsource(found[name][1]) for name in tried)
