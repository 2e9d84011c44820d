"""The labs of the course: their form, what holds by construction, and the runner.

A verdict that is a matter of luck is asserted nowhere; what a lab says of it is what the study finds.
"""

import ast
import difflib
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_house import code

from minitx.app.study import StudyResult
from minitx.errors import InputError
from minitx.learn import labs as runner
from minitx.learn.files import load_file
from minitx.learn.labs import VERDICTS, find_labs, run_lab
from minitx.learn.labs_table import WIDTH, cells, side_by_side, verdict

DIRECTORY = Path(__file__).parents[1] / "tutorials" / "labs"
LABS = find_labs()
SEEDS = (0, 1)

each = pytest.mark.parametrize("lab", LABS.values(), ids=LABS)


@pytest.fixture(scope="module")
def measured():
    """The small study of a lab; each is run once for all tests here."""
    done = {}

    def study(name: str) -> StudyResult:
        if name not in done:
            done[name] = LABS[name].study(SEEDS, full=False)
        return done[name]

    return study


# -- the form of a lab ---------------------------------------------------------------------------------------------


def test_there_are_at_least_twelve_with_names_in_lower_case():
    assert len(LABS) >= 12
    assert sorted(path.stem for path in DIRECTORY.glob("[a-z]*.py")) == list(LABS)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in LABS)


@each
def test_right_and_wrong_differ_by_one_line(lab):
    right, wrong = (inspect.getsource(f).splitlines()[1:] for f in (lab.right, lab.wrong))
    assert right[0].strip().startswith('"""')
    assert right[0].strip().endswith('"""'), "a docstring of one line, which the runner shows above both"
    changes = [line for line in difflib.ndiff(right, wrong) if line[0] in "+-"]
    assert sorted(line[0] for line in changes) == ["+", "-"]
    assert str(inspect.signature(lab.right)) == str(inspect.signature(lab.wrong))


@each
def test_a_lab_is_short_and_tells_its_story(lab):
    path = DIRECTORY / f"{lab.name}.py"
    source = path.read_text(encoding="utf-8")
    assert len(code(source)) <= 90
    title, blank, *story = lab.about.strip().splitlines()
    assert title
    assert not title.endswith(".")
    assert blank == ""
    assert 2 <= len(re.findall(r"[.?!](?=\s|$)", "\n".join(story))) <= 6
    assert lab.lab.question.endswith("?")
    assert lab.lab.caught_by
    assert not re.search(r"\d\.\d", lab.lab.lesson + lab.about), "a measured figure in prose"
    assert ast.get_docstring(ast.parse(source))
    assert max(map(len, lab.difference().splitlines())) <= 120


# -- what is measured ----------------------------------------------------------------------------------------------


@each
def test_it_measures_what_it_asks_about_and_the_same_again(lab, measured):
    result = measured(lab.name)
    assert lab.lab.metric in result.metrics
    fresh = find_labs()[lab.name]  # nothing that was cached
    again = fresh.measure(fresh.wrong, SEEDS[0], False)
    assert {metric: float(value) for metric, value in again.items()} == {
        metric: result.values["wrong"][metric][0] for metric in result.metrics
    }


def difference(result: StudyResult, metric: str) -> np.ndarray:
    return result.values["wrong"][metric] - result.values["right"][metric]


NEVER_LOWERS = {
    "best_epoch_on_test": "reported test accuracy",
    "f1_of_predicted_classes": "engagement macro-F1",
    "accuracy_beside_a_coin": "accuracy gained over knowing nothing",
}
RAISES = {
    "accuracy_beside_a_coin": "accuracy gained over knowing nothing",
    "dense_table_gradients": "numbers in the table's gradient",
    "loss_over_all_rows": "test loss less training loss",
    "padding_as_words": "positions a token looks at",
    "root_of_the_width": "entropy of random attention",
    "test_texts_in_training": "share of known test texts",
}
LOWERS = {
    "dead_optimizer": "share of weights that moved",
    "heads_that_share": "weights of the projections",
    "loss_over_all_rows": "training loss",
    "mode_shared_by_threads": "training mode afterwards",
    "repeated_ids": "share of a batch's tokens counted",
}
NOTHING = {
    "accuracy_beside_a_coin": "accuracy",
    "dense_table_gradients": "test accuracy",
    "f1_of_predicted_classes": "classes never predicted",
    "frozen_head_protects": "weights of its head that changed",
}


@pytest.mark.parametrize(
    ("name", "metric", "holds"),
    [
        *((*pair, lambda d: (d >= 0).all()) for pair in NEVER_LOWERS.items()),
        *((*pair, lambda d: (d > 0).all()) for pair in RAISES.items()),
        *((*pair, lambda d: (d < 0).all()) for pair in LOWERS.items()),
        *((*pair, lambda d: (d == 0).all()) for pair in NOTHING.items()),
    ],
)
def test_what_holds_by_construction(name, metric, holds, measured):
    assert holds(difference(measured(name), metric))


def test_right_variants_are_what_they_promise(measured):
    def values(name, metric):
        return measured(name).values["right"][metric].tolist()

    assert values("test_texts_in_training", "share of known test texts") == [0, 0]
    assert values("dropout_at_evaluation", "share of answers that change") == [0, 0]
    assert values("dropout_in_a_frozen_encoder", "change of a frozen vector, relative") == [0, 0]
    assert values("mean_of_batch_accuracies", "its range over 20 orders of the rows") == [0, 0]
    assert values("mode_shared_by_threads", "training mode afterwards") == [1, 1]
    assert values("repeated_ids", "share of a batch's tokens counted") == [1, 1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dead_optimizer", "not this model's"),
        ("f1_of_predicted_classes", "never predicted"),
        ("more_epochs_as_new_rates", r"first loss of sentiment is ln\(3\)"),
        ("padding_as_words", "content of padding"),
        ("repeated_ids", "gradcheck failed"),
    ],
)
def test_the_check_that_is_named_catches_it(name, told):
    check = LABS[name].lab.check
    try:
        found = str(check())
    except (ValueError, RuntimeError) as error:
        found = str(error)
    assert re.search(told, found)


# -- the runner ----------------------------------------------------------------------------------------------------

LAB = '''"""{title}

Seen in a test. It adds {added} to a score.
"""

from minitx.learn.labs import Lab


def right(x):
    """The score."""
    return x


def wrong(x):
    """The score."""
    return x + {added}


def measure(variant, seed, full):
    noise = (-1) ** seed * {noise}
    return {{"score": variant(seed) + noise * (variant is wrong), "rows": 4000 if full else 1000}}


def check():
    raise ValueError("the score is too high")


LAB = Lab(question="What becomes of the score?", metric="score", caught_by="adding up:", lesson="Add up.", check=check)
'''


@pytest.fixture
def three(tmp_path, monkeypatch):
    """Three labs of which it is known what they find, in place of the course's."""
    for name, added, noise in (("up", 0.5, 0.01), ("down", -0.5, 0.01), ("noisy", 0.001, 1.0)):
        text = LAB.format(title=f"A score goes {name}", added=added, noise=noise)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(runner, "find_labs", lambda: find_labs(tmp_path))


@pytest.mark.parametrize(("name", "finds"), [("up", "raises"), ("down", "lowers"), ("noisy", "no verdict")])
@pytest.mark.parametrize("guess", [*VERDICTS, None])
def test_the_guess_is_asked_first_and_counted(three, capsys, name, finds, guess):
    asked = []

    def ask(question, choices):
        asked.append((question, tuple(choices), capsys.readouterr().out))
        return guess

    assert run_lab(name, ask=ask, seeds=(0, 1, 2)) == 0
    ((question, choices, before),) = asked
    assert (question, choices) == ("What becomes of the score?", VERDICTS)
    assert before.startswith(f"A score goes {name}\n\nSeen in a test.")
    assert "    def right(x):  |  def wrong(x):\n        return x   >      return x + " in before
    assert "95 %" not in before
    out = capsys.readouterr().out
    assert ("no verdict on score" if finds == "no verdict" else f"it {finds} score") in out
    assert ("was right." in out) == (guess == finds)
    assert ("was wrong." in out) == (guess not in (finds, None))
    assert "Caught by: adding up:\nValueError: the score is too high\n\nAdd up." in out


def test_verdicts_come_from_the_interval():
    def result(differences):
        wrong = np.array(differences)
        return StudyResult({"right": {"m": wrong * 0}, "wrong": {"m": wrong}}, ["right", "wrong"], [0, 1, 2])

    assert verdict(result([0.1, 0.11, 0.12]), "m") == "raises"
    assert verdict(result([-0.1, -0.11, -0.12]), "m") == "lowers"
    assert verdict(result([-0.1, 0.3, 0.1]), "m") == "no verdict"
    assert cells(result([0, 0, 0])) == [("m", "0.000", "0.000", "no verdict", "0 with every seed")]
    assert cells(result([-2000, -2000, -2000]))[0][3:] == ("lowers", "-2,000 with every seed")
    assert cells(result([0.1, 0.11, 0.12]))[0][4] == "+0.110 (+0.085 to +0.135)"


def test_without_a_name_they_are_listed(capsys):
    assert run_lab(None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(LABS)
    assert all(lab.title in line for lab, line in zip(LABS.values(), lines, strict=True))


def test_an_unknown_name_is_one_error_that_lists_the_names():
    with pytest.raises(InputError, match="no lab paddding: choose from all, ") as error:
        run_lab("paddding")
    assert all(name in str(error.value) for name in LABS)
    assert "\n" not in str(error.value)


def test_all_of_them_make_one_table(three, capsys):
    assert run_lab("all", full=True, seeds=SEEDS, ask=lambda *_: pytest.fail("asked")) == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == ["down", "noisy", "up"]
    assert re.search(r"^score +0\.500 +1\.000 +raises +\+0\.500 \(", tables[-1], re.MULTILINE)


def test_the_page_is_regenerated_whole(three, tmp_path, monkeypatch):
    command = load_file(Path(__file__).parents[1] / "benchmarks" / "labs.py")
    monkeypatch.setattr(command, "find_labs", runner.find_labs)
    command.main(["--out", str(tmp_path), "--seeds", *map(str, SEEDS)])
    page = (tmp_path / "labs.md").read_text(encoding="utf-8")
    assert "python -m benchmarks.labs\n" in page
    assert "the seeds\n0, 1, and" in page
    assert "- `up`: A score goes up." in page
    assert "| `up` | score | 0.500 | 1.000 | raises | +0.500 (" in page


def test_the_table_in_markdown_names_each_lab_once():
    labs_table = load_file(Path(__file__).parents[1] / "benchmarks" / "labs.py").labs_table
    result = StudyResult({"right": {"a": np.zeros(2), "b": np.zeros(2)}, "wrong": {"a": np.ones(2), "b": np.ones(2)}},
                         ["right", "wrong"], [0, 1])  # fmt: skip
    header, line, first, second = labs_table({"one": result}).splitlines()
    assert header.startswith("| lab | metric | right | wrong | the defect |")
    assert set(line) <= set("|- ")
    assert first == "| `one` | a | 0.000 | 1.000 | raises | +1.000 with every seed |"
    assert second.startswith("|  | b |")
    assert labs_table({"one": result}, {"one": result}).splitlines()[2].endswith("| raises |")


def test_wide_sources_become_a_unified_diff():
    narrow = side_by_side(["def right():", "    return 1"], ["def wrong():", "    return 2"])
    assert narrow == "def right():  |  def wrong():\n    return 1  >      return 2"
    wide = side_by_side(["def right():", "    return " + "1" * WIDTH], ["def wrong():", "    return 2"])
    assert "-    return 1" in wide
    assert "+    return 2" in wide


def test_asking_waits_on_a_terminal_alone(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("\nperhaps\nN\n"))
    assert runner.ask_guess("Up or down?", VERDICTS) == "no verdict"
    monkeypatch.setattr(sys, "stdin", io.StringIO("raises\n"))
    assert runner.ask_guess("Up or down?", VERDICTS) is None
    assert capsys.readouterr().out.count("Up or down? (raises / lowers / no verdict)") == 2


# -- the first write-up --------------------------------------------------------------------------------------------


def test_the_first_write_up_is_rerun_with_and_without_its_defects():
    """Two defects that only judge: the same model in every row."""
    size = ["--rows", "300", "--epochs", "1", "--seeds", "0", "1"]
    command = [sys.executable, "-m", "benchmarks.first_writeup", *size, "--coin", "--loss-by-rows"]
    result = subprocess.run(command, cwd=DIRECTORY.parents[1], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = {
        line[:24].strip(): re.findall(r"-?\d\.\d{3}", line)
        for line in result.stdout.splitlines()
        if re.search(r"\d\.\d{3}", line)
    }
    assert list(rows) == ["as written", "--loss-by-rows mended", "--coin mended", "all mended"]
    written, loss, coin, mended = ([float(cell) for cell in row] for row in rows.values())
    sentiment, engagement, gained, layer_wise, training_loss, *macro_f1 = written
    assert gained > coin[2] == mended[2]
    assert training_loss < loss[4] == mended[4]
    assert mended == [sentiment, engagement, coin[2], layer_wise, loss[4], *macro_f1]
