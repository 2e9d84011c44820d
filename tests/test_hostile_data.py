"""Settings, files and texts that nobody wrote in good faith: refused in one line, or used and harmless."""

import json
import re
import shutil

import numpy as np
import pytest
from test_cli import elsewhere, refused, run, write_csv  # noqa: F401 - a fixture

from minitx.data.csv_files import Audit
from minitx.evaluation.metrics import Report

# Clear the screen, title of the window, a forged line, C1's CSI, a line separator, an override of the direction, DEL.
EVIL = "ok\x1b[2J\x1b]0;x\x07\n0.999  a forged line\r\t\x9b31m\u2028\u202eabc\x7f"
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# -- what goes to a terminal -------------------------------------------------------------------------------------------


@pytest.fixture
def evil_model(trained, tmp_path):
    """A result directory whose classes are named to do harm."""
    model = shutil.copytree(trained, tmp_path / "evil")
    settings = json.loads((model / "minitx.json").read_text(encoding="utf-8"))
    settings["heads"] = {head: [f"{i}{EVIL}" for i in range(len(names))] for head, names in settings["heads"].items()}
    (model / "minitx.json").write_text(json.dumps(settings), encoding="utf-8")
    return model


@pytest.mark.parametrize("command", ["predict", "similar", "tokenize", "search"])
def test_no_text_of_the_data_controls_the_terminal(capsys, evil_model, tmp_path, command):
    quoted = EVIL.replace('"', '""')
    (tmp_path / "corpus.csv").write_text(f'text\n"{quoted}"\n', encoding="utf-8", newline="")
    arguments = {"similar": ["a", EVIL], "search": ["corpus.csv", "a"]}.get(command, [EVIL])
    code, out, err = run(capsys, command, evil_model, *arguments)
    assert code == 0, err
    assert not CONTROLS.search(out)
    assert "\\x1b" in out
    if command != "tokenize":
        assert out.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "search"])
def test_json_is_one_line_for_each_object_and_loses_nothing(capsys, evil_model, tmp_path, command):
    write_csv(tmp_path / "corpus.csv", [f'"{EVIL}"', "fine"], header="text")
    arguments = ["corpus.csv", "a"] if command == "search" else [EVIL, "fine"]
    code, out, err = run(capsys, command, evil_model, *arguments, "--format", "json")
    assert code == 0, err
    assert not CONTROLS.search(out)
    assert len(out.splitlines()) == 2
    found = {json.loads(line)["text"] for line in out.splitlines()}
    assert {text.replace("\r", "") for text in found} == {EVIL.replace("\r", ""), "fine"}  # a CSV's "\r" may be "\n"


def test_names_of_classes_columns_and_files_are_shown_harmless():
    report = Report((EVIL, "b"), np.array([[1, 0], [2, 0]]), 0.5)
    audit = Audit(f"{EVIL}\udcff.csv", 3, 1, {f"{EVIL} missing": 2}, {EVIL: 1})
    for text in (str(report), str(audit)):
        assert not CONTROLS.search(text)
        assert "forged" in text
        assert not re.search(r"^0\.999", text, re.MULTILINE)
    assert str(audit).count("\n") == 2
    assert next(iter(report.to_dict()["classes"])) == EVIL  # JSON has its own escapes


def test_emoji_and_scripts_are_shown_as_they_are(capsys, trained):
    text = "👩‍👩‍👧 👍🏽 نمی‌دانم café"
    assert run(capsys, "predict", trained, text)[1].endswith(f"| {text}\n")
