"""`minitx check`: right code in any style passes, wrong code fails and is told why, and what is borrowed is found.

The bank has files that learners might have written. Those in `bank/blind` and `bank/blind_second` were written without
sight of the checks; see its README. `bank/names.txt` has the name that each planted mistake is given, beside what was
planted: it was read by eye, and is held here. The known mistakes of the pieces are a bank of their own.
"""

import functools
import inspect
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minitx import Tensor
from minitx.app.cli import main
from minitx.errors import InputError
from minitx.learn import plain, swap, watch
from minitx.learn.check import check_file, check_function
from minitx.learn.files import ORDER, course_pieces, load_file
from minitx.learn.lessons import find_lessons
from minitx.learn.piece import Mistake, Piece, draw, same, simple, slips

BANK = sorted(Path(__file__).parent.joinpath("bank").glob("*/*.py"))
HEAD = {path: dict(re.findall(r"^# (\w+): *(.*)$", path.read_text("utf-8"), re.MULTILINE)) for path in BANK}
NAMES = Path(__file__).parent / "bank" / "names.txt"
PIECES = course_pieces()


judged = functools.cache(check_file)


# -- the bank --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BANK, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_bank(path):
    found = judged(path)
    passed = bool(found) and all(verdict.passed for verdict in found)
    assert passed == (HEAD[path]["verdict"] == "right"), "\n".join(map(str, found))
    if HEAD[path]["verdict"] in ("right", "wrong"):
        assert {verdict.piece.name for verdict in found} >= set(HEAD[path]["piece"].split(", "))


def test_the_bank_is_as_large_as_it_has_to_be():
    kinds = [head["verdict"] for head in HEAD.values()]
    assert len(BANK) >= 150
    assert kinds.count("right") >= 50
    assert kinds.count("wrong") >= 150
    assert kinds.count("cheat") >= 6
    assert kinds.count("empty") >= 4
    assert {name for head in HEAD.values() for name in head["piece"].split(", ")} == set(ORDER)


def test_most_planted_mistakes_are_named():
    """Each is given the name that is in names.txt, which was read by eye beside what was planted."""
    wrong = [path for path in BANK if HEAD[path]["verdict"] == "wrong"]
    lines = [f"{path.parent.name}/{path.stem} | {HEAD[path]['mistake']} | {name_of(path)}" for path in wrong]
    assert NAMES.read_text("utf-8").splitlines() == lines
    named = [line for line in lines if not line.endswith("| ")]
    assert len(named) >= 0.95 * len(wrong)


def name_of(path: Path) -> str:
    return "; ".join(verdict.mistake for verdict in judged(path) if verdict.mistake)


# -- the known mistakes ----------------------------------------------------------------------------------------


def exercises() -> dict[str, Piece]:
    found = {}
    for lesson in find_lessons().values():
        for name, (piece, _) in lesson.exercises().items():
            found[f"{lesson.number} {name}"] = piece
    return found


JUDGED = {**PIECES, **{name: piece for name, piece in exercises().items() if name.split()[1] not in PIECES}}


@pytest.mark.parametrize("name", JUDGED)
def test_every_known_mistake_is_caught_and_named(name):
    piece = JUDGED[name]
    assert len({mistake.name for mistake in piece.mistakes}) >= 3
    assert check_function(piece, piece.right, uses=("minitx",)).passed  # some are minitx's own
    for mistake in piece.mistakes:
        verdict = check_function(piece, mistake.wrong, uses=("minitx",))
        assert not verdict.passed, mistake.name
        assert verdict.mistake == mistake.name


@pytest.mark.parametrize("name", PIECES)
def test_each_piece_knows_five_mistakes_and_says_what_is_asked(name):
    piece = PIECES[name]
    assert len({mistake.name for mistake in piece.mistakes}) >= 5
    assert piece.name == name
    assert len(piece.right.__doc__.splitlines()[0]) > 40


def test_no_piece_needs_a_later_one(tmp_path):
    """The solution of each lesson is right in a file that has no other piece than those before it in the course."""
    solutions = {}
    for lesson in find_lessons().values():
        source = (lesson.path.parent / "solutions" / f"{lesson.number}.py").read_text("utf-8")
        for name in set(lesson.exercises()) & set(PIECES):
            solutions[name] = source
    assert set(solutions) == set(PIECES)
    for name, source in solutions.items():
        later = ORDER[ORDER.index(name) + 1 :]
        path = tmp_path / f"{name}.py"
        path.write_text(re.sub(r"^from minitx\.learn.*\n", "", source.partition("\nEXERCISES")[0], flags=re.MULTILINE))
        module = load_file(path)
        for other in later:
            if hasattr(module, other):
                delattr(module, other)
        assert check_function(PIECES[name], getattr(module, name)).passed, name


# -- what is said ------------------------------------------------------------------------------------------------


def said(tmp_path, source: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    return "\n".join(map(str, check_file(path)))


IMPORTS = "import numpy as np\nfrom minitx import Tensor\n"


def test_a_wrong_answer_is_named_with_a_number_of_its_own(tmp_path):
    text = said(tmp_path, IMPORTS + "def mean_pool(x, attention_mask):\n    return x.mean(dim=1)\n")
    assert "mean_pool(x, attention_mask): wrong" in text
    assert re.search(r"the result differs: at \(\d, \d\) yours is \S+, right is \S+", text)
    assert "the mean over all T positions, padding included" in text
    assert re.search(r"padding changes a vector by 0\.\d+", text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\ufeffdef softmax(x): pass\n", "not written yet"),
        ("def softmax(x): pass\n", "not written yet"),
        ("def softmax(x):\n    raise NotImplementedError\n", "not written yet"),
        ("def softmax(x): return x.data\n", "not a Tensor"),
        ("def softmax(x): return undefined\n", "NameError: name 'undefined' is not defined (mine.py, line 1)"),
        ("def softmax(x, dim): return x\n", "TypeError"),
        ("from minitx.learn.plain import softmax\n", "has minitx.learn.plain.softmax"),
        ("import minitx\ndef softmax(x): return minitx.learn.plain.softmax(x)\n", "it calls softmax of minitx.learn"),
        (
            "def softmax(x):\n    from minitx.autograd import functional as F\n    return F.softmax(x)\n",
            "has minitx",
        ),
        ("import torch\ndef softmax(x): return x\n", "mine.py has torch"),
        ("def softmax(x): return eval('x')\n", "mine.py has eval"),
        (
            "import sys\ndef softmax(x): return sys.modules['minitx'].learn.plain.softmax(x)\n",
            "has sys.modules",
        ),
        ("def softmax(x):\n    x.data -= x.data.max()\n    return x\n", "wrong"),
        ("def softmax(x): exit()\n", "SystemExit"),
        ("def softmax(x): raise GeneratorExit\n", "GeneratorExit"),
    ],
)
def test_what_is_no_answer_fails(source, expected, tmp_path):
    text = said(tmp_path, source)
    assert expected in text
    assert "right\n" not in text


def test_what_stands_below_the_main_guard_may_compare_with_anything(tmp_path):
    source = (
        "from minitx import Tensor\ndef softmax(x):\n    e = (x - x.data.max(axis=-1, keepdims=True)).exp()\n"
        "    return e / e.sum(dim=-1, keepdim=True)\n"
        'if __name__ == "__main__":\n    from minitx.learn.plain import softmax as right\n'
    )
    assert said(tmp_path, source).startswith("softmax(x): right")


def test_a_file_may_change_the_directory_or_its_search_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("mine.py").write_text("import os, sys\nos.chdir('/')\nsys.path.clear()\ndef softmax(x): pass\n")
    assert "not written yet" in str(check_file(Path("mine.py"))[0])


def test_what_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SECONDS", 0.3)
    start = time.perf_counter()
    text = said(tmp_path, "def unbroadcast(gradient, shape):\n    while True: pass\n")
    assert "does a loop never end?" in text
    assert time.perf_counter() - start < 10


def test_an_error_is_named_only_if_it_is_the_known_one(tmp_path):
    text = said(tmp_path, "def softmax(x):\n    raise ValueError('an unrelated bug')\n")
    assert "it raises ValueError: an unrelated bug (mine.py, line 2)" in text
    assert "it looks like this" not in text


def test_an_offence_is_told_even_if_the_error_is_caught(tmp_path):
    source = (
        "import minitx.learn.plain\ndef softmax(x):\n    try:\n        return minitx.learn.plain.softmax(x)\n"
        "    except Exception:\n        return minitx.learn.plain.softmax(x)\n"
    )
    assert "minitx.learn.plain" in said(tmp_path, source)
    source = source.replace("import minitx.learn.plain\n", "import minitx\n")
    assert "it calls softmax of minitx.learn.plain" in said(tmp_path, source)


def test_gradients_that_are_wrong_in_both_are_found_by_differences():
    def twice(x):
        return Tensor.from_op(2 * x.data, (x,), lambda dy: (3 * dy,))

    verdict = check_function(Piece(twice, lambda: {"one row": (draw(3),)}), lambda x: twice(x))
    assert "not those of its own forward pass" in verdict.found
    calls = []

    def breaks_later(x):
        calls.append(1)
        if len(calls) > 6:
            raise RuntimeError("worn out")
        return x * 2.0

    verdict = check_function(Piece(lambda x: x * 2.0, lambda: {"one row": (draw(3),)}), breaks_later)
    assert not verdict.passed
    assert "worn out" in verdict.found


def test_inputs_and_dtypes_are_the_callers(tmp_path):
    changed = "def mean_pool(x, m):\n    x.data *= m[..., None]\n    return x.sum(dim=1) / m.sum(1).clip(1)[:, None]\n"
    assert "it writes into x" in said(tmp_path, IMPORTS + changed)
    wide = "def embedding_gradient(dy, ids, n):\n    dw = np.zeros((n, dy.shape[-1]))\n"
    wide += "    np.add.at(dw, ids, dy)\n    return dw\n"
    assert "float32 goes in and float64 comes out" in said(tmp_path, IMPORTS + wide)


def test_a_trace_function_of_somebody_else_is_put_back():
    seen = []

    def tracer(frame, event, argument):
        seen.append(event)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        check_function(PIECES["unbroadcast"], plain.unbroadcast)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_threads_may_check_at_once(tmp_path):
    paths = [path for path in BANK if HEAD[path]["verdict"] == "right"][:6]
    results = {}

    def work(path):
        results[path] = all(verdict.passed for verdict in check_file(path))

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(paths, True)


def test_simple_and_same():
    assert same(simple([np.arange(2), (1, 2)]), [[0, 1], [1, 2]])
    assert not same([1, 2], [1, 2, 3])
    assert not same({"a": 1}, {"b": 1})
    assert not same("a", 1)
    assert not same(np.zeros((2, 3)), np.zeros((3, 2)))
    assert same(np.array([np.nan, 1.0]), np.array([np.nan, 1.0 + 1e-12]))


def test_a_mistake_may_have_facts_of_every_kind():
    def double(x):
        return x * 2.0

    made = slips({"one | {yours} and {right}": (lambda x: x * 3.0,), "two": (lambda x: x * 4.0,)})
    mistakes = (*made, Mistake("three", lambda x: x * 5.0, lambda yours, right, x: f"{len(x)} rows"))
    piece = Piece(double, lambda: {"two rows": (draw(2, 3),)}, mistakes)
    assert "one (" in str(check_function(piece, lambda x: x * 3.0))
    assert check_function(piece, lambda x: x * 4.0).fact == ""
    assert check_function(piece, lambda x: x * 5.0).fact == "2 rows"
    assert check_function(piece, lambda x: x * 6.0).mistake == ""


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_lists_writes_and_judges(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 0
    assert "softmax(x)" in capsys.readouterr().out
    assert main(["check", "--template", "mine.py"]) == 0
    assert main(["check", "--template", "mine.py"]) == 2
    assert main(["check", "mine.py"]) == 1
    assert "0 of 13 right, 13 not written yet" in capsys.readouterr().out
    Path("one.py").write_text("def length_batches(lengths, size):\n    return [[]]\n")
    assert main(["check", "one.py"]) == 1
    assert main(["check", "one.py:softmax"]) == 1
    assert "one.py has no function softmax" in capsys.readouterr().out
    for bad in (["nowhere.py"], ["one.py:sofmax"], ["--swap"], ["."]):
        capsys.readouterr()
        assert main(["check", *bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    Path("broken.py").write_text("def f(:\n")
    assert main(["check", "broken.py"]) == 2
    assert "broken.py, line 1: SyntaxError" in capsys.readouterr().err
    Path("empty.py").write_text("")
    assert main(["check", "empty.py"]) == 1
    assert "none of the functions" in capsys.readouterr().err


def test_a_file_is_read_anew_and_two_of_one_name_are_two(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("value = 1\n")
    assert load_file(path).value == 1
    path.write_text("import helper\nvalue = helper.two\n")
    (tmp_path / "helper.py").write_text("two = 2\n")
    assert load_file(path).value == 2
    assert str(tmp_path) not in sys.path
    assert "helper" not in sys.modules
    path.write_text("1 / 0\n")
    with pytest.raises(InputError, match="line 1: ZeroDivisionError"):
        load_file(path)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Path:
    """A file with a right answer for all thirteen pieces: the solutions of the lessons."""
    parts = ["import math", "from collections import Counter", "from itertools import pairwise", "import numpy as np"]
    parts += ["from minitx import Tensor", "from minitx.autograd.tensor import cat, stack, where"]
    for lesson in find_lessons().values():
        parts += [inspect.getsource(f) for name, (_, f) in lesson.exercises().items() if name in PIECES]
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text("\n\n".join(parts), encoding="utf-8")
    return path


def test_swapped_in_everything_gives_the_same_losses_rows_and_merges(everything):
    command = [sys.executable, "-m", "minitx.learn.swap", str(everything), *ORDER]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (apart,) = re.findall(r"largest difference of a loss in 50 steps: (\S+)", result.stdout)
    assert float(apart) < 1e-10
    assert result.stdout.count("the very same") == 2


@pytest.fixture
def small_swap(monkeypatch):
    """The swap's trainings with few rows, in this process, whatever is exchanged put back afterwards."""
    monkeypatch.setattr(swap, "ROWS", 200)
    monkeypatch.setattr(swap, "EPOCHS", 1)
    monkeypatch.setattr(swap, "_put", lambda place, **new: [monkeypatch.setattr(place, n, f) for n, f in new.items()])


@pytest.mark.parametrize("name", ORDER)
def test_swapped_in_alone_a_piece_is_called_and_trains_to_the_same_losses(name, everything, small_swap, capsys):
    assert swap.main(str(everything), [name]) == 0
    out = capsys.readouterr().out
    (calls,) = re.findall(rf"^    {name} +([\d,]+)$", out, re.MULTILINE)
    assert int(calls.replace(",", "")) > 0
    assert out.count("the very same") == 2


@pytest.mark.parametrize("name", ORDER)
def test_a_wrong_piece_swapped_in_shows(name, small_swap, tmp_path, capsys):
    """Some mistakes need an input that the built-in reviews do not have: one of the first ones shows."""
    path = tmp_path / "mine.py"
    path.write_text("\n")
    for mistake in PIECES[name].mistakes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(swap, "_put", lambda place, **new: [patch.setattr(place, n, f) for n, f in new.items()])
            patch.setattr(swap, "load_file", lambda path, wrong=mistake.wrong: SimpleNamespace(**{name: wrong}))
            try:
                shows = swap.main(str(path), [name]) == 1 or "NOT the same" in capsys.readouterr().out
            except (Exception, SystemExit):
                shows = True
        if shows:
            return
    pytest.fail(f"no mistake of {name} shows")
