"""The lessons run, keep to their form and ask before they show; `minitx learn` leads through them."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_house import code

from minitx.app.cli import main
from minitx.learn import files, lessons
from minitx.learn.check import check_function
from minitx.learn.files import course_directory, load_file
from minitx.learn.lessons import Lesson, Progress, find_lessons, foreseen

COURSE = course_directory()
LESSONS = list(find_lessons().values())
SECONDS = 30  # what a lesson may take; asserted loosely, as the machine may be busy
MOST_LINES, MOST_WORDS, LEAST_PREDICTIONS = 120, 600, 3

each = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)


@each
def test_it_runs_as_a_script_from_any_directory_and_writes_its_picture(lesson, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-W", "error", str(lesson.path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    seconds = time.perf_counter() - start
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert seconds < 4 * SECONDS
    written = [file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()]
    assert Path("runs", "tutorials", f"{lesson.path.stem}.png") in written
    assert {file.parts[0] for file in written} == {"runs"}
    picture = (tmp_path / "runs" / "tutorials" / f"{lesson.path.stem}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_there_are_fifteen_and_every_file_belongs_to_one():
    numbers = [f"{n:02}" for n in range(1, 16)]
    assert [lesson.number for lesson in LESSONS] == numbers
    for folder in ("exercises", "solutions"):
        assert sorted(path.stem for path in (COURSE / folder).glob("*.py")) == numbers


@each
def test_it_keeps_to_the_form(lesson):
    source, cells = lesson.source, lesson.cells()
    assert source.startswith(f"# %% [markdown]\n# # {lesson.number}. ")
    assert 20 <= lesson.minutes <= 40
    (reads,) = re.findall(r"\*\d+ minutes\. Reads: (.*?)\. Needs", " ".join(cells[0][2].split()))
    files = re.findall(r"`([\w/.]+\.py)`", reads)
    assert files
    assert all((COURSE.parent / file).is_file() for file in files)
    named = re.findall(r"`((?:minitx|tests|docs)/[\w/]+\.\w+)`", source)
    assert all((COURSE.parent / file).is_file() for file in named)
    prose = "\n".join(text for is_prose, _, text in cells if is_prose)
    assert len(re.findall(r"\w[\w'’.,-]*", prose)) <= MOST_WORDS
    assert len(code(source)) <= MOST_LINES
    assert "## Exercises" in cells[-1][2]
    assert cells[-1][0]
    assert re.search(r"read (?:`\w+` in )?`minitx/[\w/]+\.py`", " ".join(cells[-1][2].split())), (
        "what can the reader read now?"
    )
    assert "pyplot" not in source
    unexplained = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert) and not node.msg]
    assert not unexplained, "an assert without a reason"


@each
def test_each_prediction_can_be_answered_and_is_before_its_cell(lesson, tmp_path, monkeypatch, capsys):
    """Run as `minitx learn` does: every question has an answer of a kind that can be typed, and typing it is a hit."""
    monkeypatch.chdir(tmp_path)
    progress, answers = Progress(tmp_path), []
    given = lessons.foreseen

    def remember(guess, answer):
        answers.append(answer)
        return given(typed(answer), answer)

    monkeypatch.setattr(lessons, "foreseen", remember)
    lessons.read_lesson(lesson, progress, ask=lambda prompt: "?" if "prediction" in prompt else "")
    known = progress.of(lesson.number)
    assert known["asked"] == known["hits"] == len(answers) >= LEAST_PREDICTIONS
    out = capsys.readouterr().out
    assert out.count("as you said") == len(answers)
    cells = lesson.cells()
    for i, (is_prose, _, text) in enumerate(cells):
        assert text.count("**Predict**") <= (1 if is_prose else 0)
        if "**Predict**" in text:
            assert re.search(r"^\*\*Predict\*\* `[^`]+`: ", text, re.MULTILINE)
            assert not cells[i + 1][0], "code follows a question"
    for answer in answers:
        if isinstance(answer, str):
            words = re.sub(r"[^\w .-]", " ", " ".join(text for _, _, text in cells))
            assert f" {answer} " in f" {words} "


def typed(answer) -> str:
    """What somebody who knows the answer types."""
    if isinstance(answer, bool | np.bool_):
        return "yes" if answer else "no"
    assert isinstance(answer, int | float | str | tuple | np.integer | np.floating), f"{answer!r} cannot be typed"
    return f"{answer:.3g}" if isinstance(answer, float | np.floating) else str(answer)


def test_what_counts_as_foreseen():
    assert foreseen("4", 4)
    assert not foreseen("5", 4)
    assert foreseen("1.1", 1.0986)
    assert not foreseen("1.2", 1.0986)
    assert foreseen(" Yes", True)
    assert foreseen("n", np.bool_(False))
    assert foreseen("(3,)", (3,))
    assert foreseen("3, 4", (3, 4))
    assert not foreseen("3", (3, 4))
    assert foreseen("Lar", "larger")
    assert not foreseen("", "larger")
    assert not foreseen("no idea", 4)
    assert not foreseen("", 4)
    assert foreseen("44%", 4 / 9)
    assert foreseen("44.4 %", 4 / 9)
    assert foreseen("12/27", 4 / 9)
    assert not foreseen("1/0", 4)
    assert foreseen("1,000", 1000)
    assert foreseen("same", "the same")
    assert not foreseen("[1", (1,))


# -- exercises ---------------------------------------------------------------------------------------------------


@each
def test_the_template_is_not_done_and_the_solution_is_right(lesson):
    template = load_file(COURSE / "exercises" / f"{lesson.number}.py")
    assert template.__doc__.startswith(f"Exercises of lesson {lesson.number}:")
    asked = lesson.exercises()
    assert 2 <= len(asked) <= 3
    for name, (piece, solution) in asked.items():
        assert not check_function(piece, getattr(template, name)).written
        verdict = check_function(piece, solution)
        assert verdict.passed, str(verdict)
        source = (COURSE / "solutions" / f"{lesson.number}.py").read_text("utf-8")
        own = source[source.index(f"def {name}(") :].split("\ndef ")[0]
        assert "# Idea: " in own
        assert "# Line: " in own


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_counts_what_is_done(desk, capsys):
    assert main(["learn"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"^\d\d\. .* min   0 of [23] exercises$", out, re.MULTILINE)) == 15
    assert list(desk.iterdir()) == []


def test_a_lesson_hints_and_solutions(desk, capsys):
    assert main(["learn", "2"]) == 0
    out = capsys.readouterr().out
    assert "**Predict**" in out
    assert "unbroadcast(gradient, shape): not written yet" in out
    path = desk / "exercises" / "02.py"
    assert path.read_text("utf-8") == (COURSE / "exercises" / "02.py").read_text("utf-8")
    hints = []
    for _ in range(3):
        assert main(["learn", "02", "--hint"]) == 0
        hints.append(capsys.readouterr().out)
    assert hints[0].startswith("unbroadcast, the idea: ")
    assert hints[1].startswith("unbroadcast, the line: ")
    assert hints[2].startswith("def unbroadcast(")
    assert main(["learn", "02", "--solution"]) == 2
    assert "no attempt yet" in capsys.readouterr().err
    path.write_text("def unbroadcast(gradient, shape):\n    return gradient\n", encoding="utf-8")
    assert main(["learn", "02", "--check"]) == 1
    assert "the gradient is returned as it is" in capsys.readouterr().out
    assert main(["learn", "02", "--solution"]) == 0
    assert capsys.readouterr().out.count("def unbroadcast(") == 1
    solved = (COURSE / "solutions" / "02.py").read_text("utf-8").partition("\nEXERCISES")[0]
    path.write_text(re.sub(r"^from minitx\.learn.*\n", "", solved, flags=re.MULTILINE), encoding="utf-8")
    assert main(["learn", "02", "--check"]) == 0
    assert main(["learn", "02", "--hint"]) == 0
    assert capsys.readouterr().out.endswith("all exercises are done\n")
    assert main(["learn", "02", "--hint", "divide"]) == 0
    assert capsys.readouterr().out.startswith("divide, the idea: ")
    assert "02. Broadcasting is reuse" in progress_line(capsys)
    assert json.loads((desk / "exercises" / "progress.json").read_text())["02"]["done"] == ["unbroadcast", "divide"]


def progress_line(capsys) -> str:
    main(["learn"])
    return next(line for line in capsys.readouterr().out.splitlines() if "2 of 2 exercises" in line)


def test_a_terminal_is_asked_and_may_leave(desk, monkeypatch, capsys):
    prompts = []

    def type_in(prompt):
        prompts.append(prompt)
        return "q" if "leaves" in prompt else "(3,)"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", type_in)
    assert main(["learn", "02"]) == 0
    assert prompts[-1].endswith("q leaves: ")
    assert "divide" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(EOFError))
    assert files.ask_terminal("?") is None


def test_what_cannot_be_used_is_one_line(desk, capsys):
    for arguments in (
        ["99"],
        ["x"],
        ["02", "03"],
        ["capstone", "no.csv"],
        ["--check"],
        ["02", "--hint", "x"],
        ["02", "--hint", "--check"],
    ):
        capsys.readouterr()
        assert exit_code(["learn", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    shutil.rmtree(desk / "exercises")
    (desk / "exercises").symlink_to(COURSE / "exercises")
    assert main(["learn", "02"]) == 2
    assert "work in a folder of your own" in capsys.readouterr().err
    (desk / "exercises").unlink()
    (desk / "exercises").mkdir()
    for damaged in ("{", "[]", '{"02": 3}', '{"02": {"hits": "x"}}', '{"02": {"done": 3}}'):
        (desk / "exercises" / "progress.json").write_text(damaged)
        assert main(["learn"]) == 2
        assert "progress.json is damaged" in capsys.readouterr().err


def exit_code(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code)


def test_a_lesson_is_read_from_its_cells(tmp_path):
    path = tmp_path / "03_x.py"
    path.write_text("# %% [markdown]\n# # 03. X\n#\n# *20 minutes. Reads: `a.py`.*\n\n# %%\nx = 1\n", encoding="utf-8")
    lesson = Lesson("03", path)
    assert lesson.title == "03. X"
    assert lesson.minutes == 20
    assert lesson.cells() == [(True, 2, "# 03. X\n\n*20 minutes. Reads: `a.py`.*"), (False, 7, "x = 1")]
