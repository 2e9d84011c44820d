"""`minitx predict`: an answer for each line as it comes, and none for what is no text."""

import csv
import io
import json
import shutil
import sys

import pytest

from minitx.app import predict
from minitx.app.cli import main
from minitx.training.checkpoint import load_model

NONE = {"label": None, "probability": None, "probabilities": None}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Pipe(io.BytesIO):
    """Standard input that comes in pieces; before each, what had been printed by then."""

    def __init__(self, *pieces):
        super().__init__()
        self.pieces, self.printed = list(pieces), []

    def read1(self, size=-1):
        self.printed.append(sys.stdout.getvalue() if isinstance(sys.stdout, io.StringIO) else "")
        return self.pieces.pop(0) if self.pieces else b""


def piped(monkeypatch, *pieces):
    pipe = Pipe(*pieces)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
    return pipe


def test_a_blank_text_has_no_answer(capsys, trained):
    assert main(["predict", str(trained), "", " \t", "good", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    blank, white, good = map(json.loads, out.splitlines())
    assert blank == {"text": "", "sentiment": NONE, "engagement": NONE}
    assert white == blank | {"text": " \t"}
    assert good["sentiment"]["label"] in ("negative", "neutral", "positive")
    assert err == "note: 2 of 3 texts are blank and have no answer\n"
    assert main(["predict", str(trained), "", "good"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "no answer  | "


def test_answers_come_as_lines_come(capsys, trained, monkeypatch):
    pipe = piped(monkeypatch, b"good\nit cra", b"shes\r", b"\nlast")
    said = io.StringIO()
    monkeypatch.setattr("sys.stdout", said)
    assert main(["predict", str(trained)]) == 0
    assert [printed.count("\n") for printed in pipe.printed] == [0, 1, 1, 2]  # the end of a line may be "\r\n"
    assert [line.rpartition("| ")[2] for line in said.getvalue().splitlines()] == ["good", "it crashes", "last"]


def test_a_line_that_is_not_in_the_encoding_costs_no_other_line(capsys, trained, monkeypatch):
    piped(monkeypatch, b"good\n", b"caf\xe9 ok\n\nbad\n")
    assert main(["predict", str(trained), "--format", "json"]) == 2
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["sentiment"]["label"] is None for one in found] == [False, True, True, False]
    assert "error: line 2 is not UTF-8: 'caf\\xe9 ok'; 1 of 4 are not, all others are answered; say its --enc" in err
    piped(monkeypatch, b"caf\xe9 ok\n")
    assert main(["predict", str(trained), "--encoding", "cp1252", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "café ok"
    piped(monkeypatch, *("café\nok".encode("utf-16")[i : i + 3] for i in range(0, 20, 3)))
    assert main(["predict", str(trained), "--encoding", "utf-16"]) == 0
    assert [line.rpartition("| ")[2] for line in capsys.readouterr().out.splitlines()] == ["café", "ok"]
    assert main(["predict", str(trained), "--encoding", "utf-61"]) == 2
    assert "unknown encoding 'utf-61'; did you mean utf_16?" in capsys.readouterr().err


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(capsys, trained, monkeypatch):
    monkeypatch.setattr(predict, "LONGEST_LINE", 100)
    piped(monkeypatch, b"good\n", *[b"a" * 60] * 9)
    assert main(["predict", str(trained)]) == 2
    assert "a line is longer than 100 characters" in capsys.readouterr().err


def test_without_standard_input_it_says_so(capsys, trained, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)  # as after <&-
    assert main(["predict", str(trained)]) == 2
    assert capsys.readouterr().err == "error: there is no standard input: give texts, or --data FILE\n"


@pytest.mark.filterwarnings("ignore:.*longer than 32 tokens")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_in_and_a_file_out(capsys, trained, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(predict, "AT_ONCE", 2)
    texts = ["good", "", 'it, "crashes"', "so so", "bad\nnews"]
    with open("in.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "message"], *enumerate(texts)])
    arguments = ["predict", str(trained), "--data", "in.csv", "--text", "message", "--out", f"out{suffix}"]
    assert main(arguments) == 0
    assert f"5 answers written to out{suffix}" in capsys.readouterr().out
    with open(f"out{suffix}", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(line) for line in file]
    assert [row["text"] for row in rows] == texts
    expected = load_model(trained).predict([text or "x" for text in texts])
    for row, right in zip(rows, expected, strict=True):
        label, p = right["sentiment"]
        if suffix == ".csv":
            found, of = row["sentiment"], row["sentiment probability"]
        else:
            found, of = row["sentiment"]["label"], row["sentiment"]["probability"]
        assert (found, of and float(of)) == ((label, pytest.approx(p, abs=1e-5)) if row["text"] else (found, of))
        assert bool(found) == bool(row["text"])
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "x.csv", "good"], "TEXT and --data were given: give one of them"),
        (["good", "--text", "message"], "--text COLUMN goes with --data FILE"),
        (["good", "--encoding", "cp1252"], "--encoding is of a file or of standard input, and TEXT was given"),
        (["good", "--overwrite"], "--overwrite goes with --out"),
        (["good", "--out", "x.txt"], "x.txt: the output is a .csv or .jsonl file, so its name must end in .csv or"),
        (["--data", "none.csv"], "none.csv: No such file or directory"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, trained, arguments, message):
    assert main(["predict", str(trained), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_text_becomes_a_formula_in_a_spreadsheet(capsys, trained):
    texts = ["=1+1", "@sum", "-2", "+3", "fine = so"]
    assert main(["predict", str(trained), "--out", "x.csv", "--", *texts]) == 0
    with open("x.csv", newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["'=1+1", "'@sum", "'-2", "'+3", "fine = so"]
    assert main(["predict", str(trained), "--out", "x.jsonl", "--", *texts]) == 0
    with open("x.jsonl", encoding="utf-8") as file:
        assert [json.loads(line)["text"] for line in file] == texts


@pytest.mark.parametrize(
    ("text", "hint"), [("t.csv", "--data t.csv labels its texts"), ("-", "standard input is read")]
)
def test_a_file_in_the_place_of_a_text_is_not_labelled_by_its_name(capsys, trained, text, hint):
    with open("t.csv", "w", encoding="utf-8") as file:
        file.write("content\ngood\n")
    assert main(["predict", str(trained), "good", text]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert f"TEXT '{text}' is no text but a file: {hint}" in err


def test_a_class_that_is_a_number_stays_one_in_a_spreadsheet(tmp_path):
    rows = "".join(f"level {level} of {i},{level}\n" for i in range(20) for level in ("-1", "+2", "=A1"))
    (tmp_path / "levels.csv").write_text("message,level\n" + rows, encoding="utf-8")
    how = ["--text", "message", "--label", "level=level", "--epochs", "1", "--num-layers", "1", "--hidden-size", "8"]
    assert main(["train", "--data", "levels.csv", *how, "--num-heads", "1", "--out", "m"]) == 0
    assert main(["predict", "m", *(f"level {i}" for i in range(30)), "--out", "x.csv"]) == 0
    with open("x.csv", newline="", encoding="utf-8") as file:
        assert {row["level"] for row in csv.DictReader(file)} <= {"-1", "+2", "'=A1"}


def test_a_text_longer_than_a_file_name_may_be_is_a_text(capsys, trained):
    assert main(["predict", str(trained), "Приложение падает. " * 20]) == 0
    assert "| Приложение" in capsys.readouterr().out


def test_a_table_is_read_by_the_column_that_the_model_was_trained_on(capsys, trained, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(trained, own)
    settings = json.loads((own / "minitx.json").read_text("utf-8"))
    settings["data"]["text"] = "message"
    (own / "minitx.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "t.csv").write_text("content,message\n#0,good\n", encoding="utf-8")
    assert main(["predict", "own", "--data", "t.csv"]) == 0
    assert capsys.readouterr().out.endswith("| good\n")
    assert main(["predict", "own", "--data", "t.csv", "--text", "content"]) == 0
    assert capsys.readouterr().out.endswith("| #0\n")


def test_utf_16_without_a_mark_is_not_answered(capsys, trained, monkeypatch):
    piped(monkeypatch, "love it\n".encode("utf-16-le"))
    assert main(["predict", str(trained)]) == 2
    assert "are not, all others are answered; say its --encoding" in capsys.readouterr().err


def test_json_is_not_written_to_a_csv(capsys, trained, tmp_path):
    assert main(["predict", str(trained), "good", "--format", "json", "--out", "a.csv"]) == 2
    assert "--format json and --out a.csv do not go together" in capsys.readouterr().err
    assert not (tmp_path / "a.csv").exists()
