"""Settings, files and texts that nobody wrote in good faith: refused in one line, or used and harmless."""

import csv
import json
import math
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from conftest import TINY
from matplotlib.figure import Figure
from test_cli import elsewhere, refused, run, write_csv  # noqa: F401 - a fixture

from minitx.app.plots import confusion_picture, save
from minitx.app.settings import SETTINGS, Experiment, apply_assignment, experiment_of
from minitx.data.csv_files import LONGEST_FIELD, LONGEST_LINE
from minitx.data.labelled import read_labelled
from minitx.data.reviews import SENTIMENT, read_reviews
from minitx.data.rules import read_rules
from minitx.data.tables import Audit
from minitx.data.texts import read_texts
from minitx.errors import InputError
from minitx.evaluation.metrics import Report
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import load_model

SAVED = Path(__file__).parent / "saved" / "version_2"
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
        (
            [f"id{i}" for i in range(21)],
            "label has 21 different values in 21 rows, as ids have; accepted are 20",
        ),
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


# -- pictures ----------------------------------------------------------------------------------------------------------


def many_classes(count):
    """A report on 20 rows of each class, 40 of the last 30, with names that matplotlib might compute."""
    names = tuple(f"$x^{{ {i}\x1b\n$ and a name that goes on and on" for i in range(count))
    confusion = np.diag([20] * count)
    confusion[-30:] *= 2
    return Report(names, confusion, 0.5)


@pytest.mark.parametrize(("count", "title"), [(3, ""), (60, ""), (500, "the 60 most frequent of 500 classes")])
def test_a_confusion_picture_says_which_classes_it_leaves_out(monkeypatch, tmp_path, count, title):
    figures = []
    monkeypatch.setattr("minitx.app.plots.save", lambda figure, path: figures.append(figure))
    confusion_picture(many_classes(count), tmp_path / "x.png", "head of $data$.csv")
    axes = figures[0].axes[0]
    assert axes.get_title().endswith(title or "macro-F1 1.000")
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == min(count, 60)
    assert rf"\$x^{{ {count - 1}\x1b\n" in shown[-1]
    assert len(axes.texts) == (count**2 if count <= 20 else 0)
    assert max(figures[0].get_size_inches()) < 25  # it grew without a bound: 100 classes took 6.7 GB


def test_names_are_no_formulas_in_a_picture(tmp_path):
    """What stands between two dollar signs was computed, and a mistake in it ended the run."""
    confusion_picture(many_classes(2), tmp_path / "x.png", "the $\\head{$ of \udcff.csv")
    with PIL.Image.open(tmp_path / "x.png") as image:
        assert max(image.size) < 1000


def test_a_tall_picture_is_drawn_more_coarsely(tmp_path):
    save(Figure(figsize=(2, 600)), tmp_path / "x.png")
    with PIL.Image.open(tmp_path / "x.png") as image:
        assert image.size == (40, 12_000)


# -- result directories ------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def edit(directory, **changes):
    settings = json.loads((directory / "minitx.json").read_text(encoding="utf-8"))
    (directory / "minitx.json").write_text(json.dumps(settings | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": {"sentiment": 10**12}},
        {"heads": {"sentiment": 10**400}},
        {"heads": {"sentiment": ["a"] * 100_000}},
        {"heads": {"sentiment": [1, 2, 3], "engagement": 5.0}},
        {"heads": {"sentiment": None}},
        {"heads": {"sentiment": ["a", "a", "b"], "engagement": ["a", "b", "c"]}},
        {"heads": []},
        {"head_hidden": 10**12},
        {"dropout": math.nan},
        {"dropout": 10**400},
    ],
)
def test_a_minitx_json_that_asks_for_the_absurd_is_refused(copy, changes):
    edit(copy, **changes)
    with pytest.raises(InputError, match=r"minitx\.json|heads\.safetensors") as error:
        load_model(copy)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"rules": {"sentiment": {"a": {"words": "w"}, "b": {}}}, "words": {"w": "a**"}}, "at most one"),
        ({"rules": {"sentiment": {"a": {"words": ["w"]}, "b": {}}}}, "no list of words is named"),
        ({"rules": {"sentiment": 5}}, "rules.sentiment: expected at least two classes"),
        ({"labels": {"sentiment": "score"}}, "--text COLUMN and --label NAME=COLUMN go together"),
        ({"text": "content"}, "--text COLUMN and --label NAME=COLUMN go together"),
        ({"text": "content", "labels": {"sentiment": "a\0"}}, "holds a NUL"),
        ([], "data is []"),
        ({"rules": []}, "rules is []"),
        ({"labels": 5}, "labels is 5"),
    ],
)
def test_evaluate_refuses_a_labelling_that_cannot_work_and_names_the_file(capsys, copy, reviews_csv, data, found):
    edit(copy, data=data)
    message = refused(capsys, "evaluate", copy, "--data", reviews_csv)
    assert "minitx.json: data" in message
    assert found in message


def rewrite(path, change):
    """A safetensors file with its header, name -> dtype, shape and place, and its bytes changed by a function."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header, body = json.loads(raw[8:start]), bytearray(raw[start:])
    change(header, body)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def of_type(kind, size):
    def change(header, body):
        end = 0
        for name, entry in sorted(header.items()):
            if name != "__metadata__":
                start, end = end, end + size * math.prod(entry["shape"])
                header[name] = {"dtype": kind, "shape": entry["shape"], "data_offsets": [start, end]}
        body[:] = bytes(end)

    return change


def first_float(number):
    def change(header, body):
        start = min(entry["data_offsets"][0] for entry in header.values() if entry.get("dtype") == "F32")
        body[start : start + 4] = np.float32(number).tobytes()

    return change


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change",
    [
        *(of_type("BF16", 2), of_type("F8_E4M3", 1), of_type("I64", 8), of_type("BOOL", 1), of_type("C64", 8)),
        *(first_float(math.nan), first_float(math.inf), first_float(-1e10)),
    ],
)
@pytest.mark.parametrize("name", ["heads.safetensors", "baseline.safetensors"])
def test_weights_of_other_kinds_and_beyond_all_bounds_are_refused(capsys, copy, reviews_csv, name, change):
    rewrite(copy / name, change)
    assert f"{name}" in refused(capsys, "evaluate", copy, "--data", reviews_csv)


def named(**names):
    def change(header, body):
        old = header["__metadata__"]
        old = json.loads(old["names"]) if "names" in old else {key: json.loads(value) for key, value in old.items()}
        header["__metadata__"] = {"names": json.dumps(old | names)}

    return change


def no_counts(header, body):
    start, end = header["idf"]["data_offsets"]
    body[start:end] = bytes(end - start)


@pytest.mark.parametrize(
    "change",
    [
        *(named(classes={"sentiment": ["x"] * 100_000}), named(classes=[]), named(classes={"sentiment": 5})),
        *(named(terms=[[1]]), named(terms="abc"), named(terms=[]), no_counts),
        named(classes={"sentiment": ["a", "b", "c"], "engagement": ["low", "moderate", "high"]}),
        lambda header, body: header.update(__metadata__={"names": "[" * 100_000}),
        lambda header, body: header["trained_on"].update(dtype="F64"),
        lambda header, body: header["idf"].update(shape=[1, *header["idf"]["shape"]]),
    ],
)
def test_a_bag_of_words_that_is_none_is_refused(capsys, copy, reviews_csv, change):
    rewrite(copy / "baseline.safetensors", change)
    message = refused(capsys, "evaluate", copy, "--data", reviews_csv)
    assert "baseline.safetensors is " in message


def test_a_bag_of_words_has_one_form_of_bytes_and_its_older_form_is_read(trained, tmp_path):
    """Metadata of several keys is written in the order of a hash map: one run in two had other bytes."""
    model = BagOfWords.load(trained / "baseline.safetensors")
    forms = set()
    for i in range(8):
        model.save(tmp_path / f"{i}")
        forms.add((tmp_path / f"{i}").read_bytes())
    assert forms == {(trained / "baseline.safetensors").read_bytes()}
    older = BagOfWords.load(SAVED / "baseline.safetensors")
    assert older.classes == load_model(SAVED).classes
    older.save(tmp_path / "new")
    text = ["it crashes and I love it"]
    for head, probabilities in BagOfWords.load(tmp_path / "new").predict_proba(text).items():
        np.testing.assert_array_equal(probabilities, older.predict_proba(text)[head])


# -- vectors -----------------------------------------------------------------------------------------------------------


def saved(array):
    def write(path):
        np.save(path, array)

    return write


def raw(header, body=bytes(2 * 16 * 4)):
    """A .npy file with the header as given."""

    def write(path):
        text = header.encode().ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)

    return write


SHAPE = "'descr': '<f4', 'fortran_order': False, 'shape'"


@pytest.mark.parametrize(
    "write",
    [
        *(saved(np.full((2, 16), value)) for value in ("a", True, 1, 1j, None, np.longdouble(1), np.datetime64("nat"))),
        saved(np.zeros((2, 16), [("a", "f4"), ("b", "f4")])),
        *(saved(np.zeros(shape, np.float32)) for shape in ((3, 16), (2, 8), (32,), (2, 16, 1), (), (0, 16))),
        saved(np.array([[np.nan] * 16, [1] * 16], np.float32)),
        saved(np.array([[np.inf] * 16, [1] * 16], np.float32)),
        *(raw(f"{{{SHAPE}: {shape}, }}") for shape in ("(-1, 16)", "(2, True)", "(2.0, 16)", "(2, 16, )", "(16,)")),
        *(raw(f"{{{SHAPE}: ({'9' * size}, 16), }}") for size in (18, 60)),
        raw(f"{{{SHAPE}: (2, 16), }}", bytes(2 * 16 * 4 - 1)),  # shorter than the header says
        *(raw(text) for text in ("", "{", "[" * 100, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 16), }")),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: None,
    ],
)
def test_vectors_that_are_none_are_refused(capsys, trained, tmp_path, write):
    (tmp_path / "corpus.txt").write_text("one\ntwo\n", encoding="utf-8")
    write(tmp_path / "v.npy")
    refused(capsys, "search", trained, "corpus.txt", "one", "--vectors", "v.npy")


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_vectors_in_any_order_of_bytes_and_of_numbers_are_found_alike(capsys, trained, tmp_path, kind, order):
    (tmp_path / "corpus.txt").write_text("one\ntwo it crashes\nthree\n", encoding="utf-8")
    expected = run(capsys, "search", trained, "corpus.txt", "crashes")[1]
    vectors = load_model(trained).encoder.encode(["one", "two it crashes", "three"])
    np.save(tmp_path / "v.npy", np.asarray(vectors, kind, order=order))
    assert run(capsys, "search", trained, "corpus.txt", "crashes", "--vectors", "v.npy")[1] == expected


def test_an_error_is_one_printable_line_whatever_the_file_is_called_and_says(capsys, tmp_path):
    path = write_csv(tmp_path / "x\x1b[2J\n\u202e.csv", ["a"], header='"con\x9btent\nx"')
    message = refused(capsys, "train", "--data", path)
    assert not CONTROLS.search(message)
    assert r"x\x1b[2J\n\u202e.csv: no column content, score, thumbsUpCount; the header has con\x9btent\nx" in message
    assert not CONTROLS.search(refused(capsys, "predict", "\udcff\x1b[2J", "a"))


# -- from the data to what is written ----------------------------------------------------------------------------------

FORMULA, MARKUP = "=cmd|' /C calc'!A0", "</code><script>document.title='run'</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every tag of a page, and every name of an attribute."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_texts_classes_and_columns_harm_nothing_that_is_written(capsys, tmp_path):
    """A formula in a spreadsheet, a script in a page, a device among the files of Windows."""
    column = f"@column{MARKUP}"
    moods = (("bad", FORMULA), ("good", MARKUP))
    rows = [[f"{moods[i % 3 % 2][0]} {EVIL} {MARKUP} {i}", moods[i % 2][1]] for i in range(80)]
    with (tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["+text", column], *rows])
    arguments = ["--data", "x.csv", "--text", "+text", "--label", f"CON={column}", "--out", "model"]
    code, out, err = run(capsys, "train", *arguments, *TINY)
    assert code == 0, err
    assert not CONTROLS.search(out)
    with (tmp_path / "model" / "history.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert all(re.fullmatch(r"[a-z]\w*|nan|-?[\d.e-]+", cell) for cell in cells)
    names = [path.name for path in (tmp_path / "model").rglob("*")]
    assert "confusion_CON.png" in names
    for name in names:
        assert re.fullmatch(r"\w[\w.-]*\w", name)
        assert name.split(".")[0].upper() not in ("CON", "NUL", "AUX", "PRN")
    code, out, err = run(capsys, "evaluate", "model", "--data", "x.csv", "--errors", "page.html")
    assert code == 0, err
    assert not CONTROLS.search(out)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "forged" in text  # a review that was labelled wrong
    page = Tags(text)
    assert page.tags & {"script", "img", "iframe", "a", "object", "link", "form"} == set()
    known = {"lang", "charset", "http-equiv", "content", "name", "class", "style", "title", "dir", "border"}
    assert page.attributes <= known


def test_a_file_name_that_is_not_utf8_costs_no_result(capsys, tmp_path, trained, reviews_csv):
    """It ended in a traceback when metrics.json was written, after all the training."""
    name = os.fsdecode(b"\xff.csv")
    shutil.copy(reviews_csv, tmp_path / name)
    assert run(capsys, "train", "--data", name, "--out", "new", *TINY)[0] == 0
    assert run(capsys, "replay", "new")[0] == 0
    assert run(capsys, "evaluate", "new", "--data", name)[0] == 0
    model, page = os.fsdecode(b"\xff"), os.fsdecode(b"\xfe.html")
    shutil.copytree(trained, tmp_path / model)
    assert run(capsys, "predict", model, "a")[0] == 0
    code, out, _ = run(capsys, "evaluate", model, "--data", reviews_csv, "--errors", page)
    assert (code, CONTROLS.search(out)) == (0, None)
