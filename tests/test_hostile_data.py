"""Settings, files and texts that nobody wrote in good faith: refused in one line, or used and harmless."""

import csv
import json
import math
import re
import shutil

import numpy as np
import pytest
from test_cli import elsewhere, refused, run, write_csv  # noqa: F401 - a fixture

from minitx.app.settings import SETTINGS, Experiment, apply_assignment, experiment_of
from minitx.data.csv_files import LONGEST_FIELD, LONGEST_LINE, Audit
from minitx.data.labelled import read_labelled
from minitx.data.reviews import SENTIMENT, read_reviews
from minitx.data.rules import read_rules
from minitx.data.texts import read_texts
from minitx.errors import InputError
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


# -- settings ----------------------------------------------------------------------------------------------------------

DIGITS = 10**400
WHOLE = [setting.name for setting in SETTINGS if type(setting.default) is int]


@pytest.mark.parametrize("name", WHOLE)
def test_every_whole_number_has_a_bound_that_its_message_names(name):
    for absurd in (DIGITS, -DIGITS):
        with pytest.raises(InputError, match=rf"^{name} must be at least \d+ and at most [\d,]+, not ") as error:
            experiment_of({name: absurd})
        assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": 10**8},
        {"hidden_size": 65536, "num_layers": 100},
        {"vocab_size": 10**6, "hidden_size": 8000, "num_heads": 1},
        {"max_length": 100_000, "hidden_size": 32768},
        {"intermediate_size": 10**6, "num_layers": 1000},
        {"head_hidden": 100_000, "hidden_size": 32768},
    ],
)
def test_sizes_that_no_memory_holds_are_refused_before_any_is_asked_for(settings):
    with pytest.raises(InputError, match=r"at most [\d,]+"):
        experiment_of(settings)


FLOATS = [setting.name for setting in SETTINGS if isinstance(setting.default, float)]


@pytest.mark.parametrize("name", [*FLOATS, "rates.heads", "task_weights.a"])
@pytest.mark.parametrize("absurd", [DIGITS, -DIGITS, math.nan, -math.inf])
def test_every_number_has_a_bound(name, absurd):
    table, _, key = name.partition(".")
    with pytest.raises(InputError, match=rf"^{name} must be .*, not ") as error:
        experiment_of({table: {key: absurd} if key else absurd})
    assert len(str(error.value)) < 200


def test_a_stage_far_away_is_refused():
    with pytest.raises(InputError, match="stage 1: epoch must be at least 0 and finite, not 1000"):
        experiment_of({"stages": [{"train": "heads", "epoch": DIGITS}]})


@pytest.mark.parametrize("value", ["[" * 3000, "9" * 5000, "0x" + "f" * 5000, "{a=" * 3000])
def test_toml_that_is_too_much_for_python_is_refused(capsys, tmp_path, value):
    (tmp_path / "mine.toml").write_text(f"lr = {value}\n", encoding="utf-8")
    assert "mine.toml is not TOML" in refused(capsys, "train", "--recipe", "mine.toml")
    message = refused(capsys, "train", "--set", f"lr={value}")
    assert "lr must be a number, not '" in message
    assert len(message) < 300


def test_an_assignment_sets_what_it_names_and_nothing_else():
    settings = {}
    apply_assignment(settings, "data=1\nlr = 1e-3")
    assert settings == {"data": "1\nlr = 1e-3"}  # as a file name, which is then not found


@pytest.mark.parametrize(
    "settings",
    [
        {"rules": {"a": {"x": {"words": ["w"]}, "y": {}}}, "words": {"w": "b"}},
        {"rules": {"a": {f"class {i}": {} for i in range(501)}}},
        {"two_stage": {"topic": [["a"], ["b"]]}},
        {"two_stage": {"topic": [{}, 1]}},
        {"words": {"w": "a," * 20_000}},
        {"data": "a\0b.csv"},
        {"data": "\udcff.csv"},
        {"data": "x.csv", "text": "t", "labels": {"a": "\udcff"}},
        {"pretrained": "\udcff"},
        {"data": "x.csv", "text": "t", "labels": {"mood": "a", "Mood": "b"}},
        {"data": "x.csv", "text": "t", "labels": {"a" * 51: "a"}},
        {"data": "x.csv", "text": "t", "labels": {f"h{i}": "a" for i in range(51)}},
        {"rates": {1: 2.0}},
    ],
)
def test_settings_of_every_kind_that_cannot_work_are_refused(settings):
    with pytest.raises(InputError) as error:
        experiment_of(settings)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("words", ["a*********************b", "x, *a*a*a*a*a*a*a*a*c", "a**"])
def test_words_whose_search_would_never_end_are_refused(words):
    with pytest.raises(InputError, match=r"words\.w: .*a word has at most one"):
        read_rules({"h": {"a": {"words": "w"}, "b": {}}}, {"w": words})


def test_a_search_for_words_ends_soon_on_the_worst_text():
    (rule,) = read_rules({"h": {"a": {"words": "w"}, "b": {}}}, {"w": "a*b, *b, a*-a*-a*-b, * a* a* b"})
    texts = ["a" * 100_000, "a-" * 50_000, "a " * 50_000]
    assert rule.label(texts, np.array([1, 1, 1])).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "setting",
    [
        *({"vocab_size": 300}, {"hidden_size": 64}, {"num_layers": 3}, {"num_heads": 2}, {"intermediate_size": 64}),
        *({"activation": "relu"}, {"positions": "learned"}, {"embeddings": "random"}, {"relative_buckets": 32}),
        {"norm_first": True},
    ],
)
def test_what_only_an_encoder_from_scratch_uses_is_refused_beside_a_pretrained_one(setting):
    (name,) = setting
    with pytest.raises(InputError, match=rf"^{name}: .*all-MiniLM-L6-v2 has its own"):
        Experiment(pretrained="all-MiniLM-L6-v2", **setting)
    assert Experiment(pretrained="all-MiniLM-L6-v2", max_length=64, pooling="cls", dropout=0.1, normalize=True)
    assert Experiment(**setting)


# -- CSV and text files ------------------------------------------------------------------------------------------------


def test_a_field_may_be_long_and_one_that_is_too_long_is_dropped_and_counted(tmp_path):
    rows = ["a,5", f"{'b' * 200_000},5", f"{'c' * (LONGEST_FIELD + 1)},5", f'"{"d" * LONGEST_FIELD}\n\n",5', "e,5"]
    data, audit = read_reviews(write_csv(tmp_path / "x.csv", rows, header="content,score"), [SENTIMENT])
    assert [text[0] for text in data.texts] == ["a", "b", "e"]
    assert len(data.texts[1]) == 200_000
    assert audit.dropped == {f"a field of more than {LONGEST_FIELD:,} characters": 2}
    assert (audit.read, audit.kept) == (5, 3)


def test_reading_leaves_the_limit_of_python_as_it_is(tmp_path):
    """It is the process's: two threads that set it and put it back would fail each other's long rows."""
    before = csv.field_size_limit()
    read_reviews(write_csv(tmp_path / "x.csv", [f"{'b' * 200_000},5"], header="content,score"), [SENTIMENT])
    assert csv.field_size_limit() == before == LONGEST_LINE


def test_a_quote_left_open_over_a_large_file_is_refused(tmp_path):
    path = write_csv(
        tmp_path / "x.csv", ['"open,5', *["line of text,5"] * (LONGEST_LINE // 14)], header="content,score"
    )
    with pytest.raises(
        InputError, match=r"from line 2 on: field larger than field limit \(10000000\); is a quote left"
    ):
        read_reviews(path, [SENTIMENT])


@pytest.mark.parametrize("name", ["x.csv", "x.txt"])
def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(InputError, match="a line is longer than 10,000,000 characters"):
        read_texts(tmp_path / name)


def labelled(tmp_path, column):
    return write_csv(tmp_path / "x.csv", [f"text {i},{label}" for i, label in enumerate(column)], header="text,label")


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([f"id{i}" for i in range(21)], "label has 21 different values in 21 rows, as ids have; accepted are 500"),
        ([f"id{i // 2}" for i in range(1002)], "label has 501 different values in 1,002 rows"),
        (["a", "b" * 201] * 20, "label holds 'bbb"),
    ],
)
def test_a_column_of_ids_or_texts_is_no_label(tmp_path, column, found):
    with pytest.raises(InputError, match=found) as error:
        read_labelled(labelled(tmp_path, column), "text", {"h": "label"})
    assert len(str(error.value)) < 300


def test_as_many_classes_as_are_accepted(tmp_path):
    path = labelled(tmp_path, [f"class {i % 500}" for i in range(1000)])
    assert len(read_labelled(path, "text", {"h": "label"})[0].classes["h"]) == 500
    assert read_labelled(labelled(tmp_path, "abc"), "text", {"h": "label"})[0].classes["h"] == ("a", "b", "c")


def test_a_missing_column_is_told_in_a_short_line(tmp_path):
    path = write_csv(tmp_path / "x.csv", ["1"], header=",".join(f"column{i}" for i in range(10_000)))
    with pytest.raises(InputError, match="no column content") as error:
        read_texts(path)
    assert len(str(error.value)) < 500
