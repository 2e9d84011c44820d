"""What a new user gets wrong, as a table: the command line, and the one line that says what is wrong and what to do."""

import io
import os
import re
import sys

import numpy as np
import pytest

from minitx.app.cli import main

HEADER = "reviewId,content,score,thumbsUpCount\n"
ROWS = "".join(
    f"id{i},review number {i} is {mood},{stars},{thumbs}\n"
    for i, (mood, stars, thumbs) in enumerate([("bad", 1, 0), ("so so", 3, 8), ("great", 5, 20)] * 12)
)
FILES = {
    "reviews.csv": HEADER + ROWS,
    "only_score.csv": "content,score\nfine,5\npoor,1\nso so,3\n",
    "tickets.csv": "message,team\n" + "".join(f"text {i},team{i % 2}\n" for i in range(40)),
    "capital.csv": HEADER.title().replace("Reviewid", "reviewId") + ROWS,
    "header.csv": HEADER,
    "empty.csv": "",
    "quote.csv": '"reviewId" x,content,score,thumbsUpCount\n' + ROWS,
    "open.csv": HEADER + 'a,"open,5,0\n' + ROWS,
    "carets.csv": (HEADER + ROWS).replace(",", "^"),
    "twice.csv": "content,score,score,thumbsUpCount\na,1,1,1\n",
    "words.csv": HEADER + "a,fine,five,0\nb,poor,one,0\n",
    "same.csv": HEADER + "".join(f"{i},text {i},5,0\n" for i in range(40)),
    "latin.csv": (HEADER + "a,caf\xe9,5,0\n" + ROWS).encode("latin-1"),
    "docx.csv": b"PK\x03\x04 a Word file",
    "cut.csv.gz": b"\x1f\x8b\x08\x00",
    "bad.jsonl": '{"content": "a"}\n{"content": "b"\n',
    "list.jsonl": '{"content": "a"}\n["b"]\n',
    "texts.txt": "one\ntwo\n",
    "empty.txt": "",
    "letter.docx": "one",
    "bad.toml": "lr = \n",
    "typo.toml": "epoch = 3\n",
    "page.html": "mine",
    "page.csv": "<!DOCTYPE html>\n<html></html>\n",
    "no_header.csv": "love it,5\nit crashes,1\n",
    "one_object.json": '{\n  "message": "love it",\n  "score": 5\n}\n',
    "brace.csv": '{"content","score"\nfine,5\n',
    "old.csv": "text,sentiment\n",
    "ragged.csv": "content,b\nx,1\ny\n",
}
TRAIN, TICKETS = "train --out new --data ", "train --out new --data tickets.csv "

MISTAKES = [
    # commands and flags
    ("trian", "invalid choice: 'trian'; did you mean train?"),
    ("predct m good", "did you mean predict?"),
    ("serach m texts.txt one", "did you mean search?"),
    ("fly", "invalid choice: 'fly'; choose from train, pretrain"),
    ("--help-me", "COMMAND"),
    ("train --epoch 3", "unrecognized arguments: --epoch 3; did you mean --epochs?"),
    ("train --epocs=3", "did you mean --epochs?"),
    ("train --batchsize 8", "did you mean --batch-size?"),
    ("train --learning-rate 1e-3", "unrecognized arguments: --learning-rate 1e-3; did you mean --lr?"),
    (
        "tokenize m it crashes",
        "arguments: crashes; expected MODEL TEXT; a text of several words, or a pattern, stands in quotes",
    ),
    ("train --data reviews.csv --encoding utf-16 --out new", "leave --encoding out if it is UTF-8"),
    ("search m sound texts.txt", "QUERY is the file 'texts.txt': `minitx search MODEL FILE QUERY` reads files"),
    ("train --output new", "did you mean --out?"),
    ("train tickets.csv", "unrecognized arguments: tickets.csv; did you mean --data?"),
    ("train --file tickets.csv", "did you mean --data?"),
    ("search m texts.txt one -k 3", "did you mean --top-k?"),
    ("train --device cuda", "there is no GPU: minitx computes on the CPU"),
    ("embed m texts.txt --out v.npy --gpu", "there is no GPU: minitx computes on the CPU"),
    ("predict m good --fromat json", "did you mean --format?"),
    ("predict m good --format yaml", "invalid choice: 'yaml'; choose from text, json"),
    (TRAIN + "reviews.csv --relative-buckets 8", "MPNet's relative bias has 32 buckets, not 8"),
    ("train --schedule none", "invalid choice: 'none'; choose from constant, linear, cosine"),
    ("train --data tickets.csv texts.txt", "unrecognized arguments: texts.txt; one file is read, and that is tickets"),
    ("train --data tickets.csv --data texts.txt", "--data is given twice, as tickets.csv and as texts.txt: one file"),
    ("train --set learning_rate=1", "unknown setting 'learning_rate'; did you mean lr?"),
    ("train --num_epochs 3", "did you mean --epochs?"),
    ("evaluate m tickets.csv", "unrecognized arguments: tickets.csv; did you mean --data?"),
    ("completion", "arguments are required: shell; expected bash|zsh|tcsh"),
    ("embed m --data texts.txt --out v.npy", "arguments: --data; expected MODEL FILE --out X.npy (see minitx embed"),
    ("check mine.py softmax", "unrecognized arguments: softmax; expected"),
    ("predict none all", "none is not a directory: expected one that `minitx train` wrote; on an encoder alone"),
    ("predict above good", "above is no model; in it are above/m: name one of them"),
    ("embed above texts.txt --out new.npy", "above is no model; in it are above/m: name one of them"),
    ("train --schedule liner", "invalid choice: 'liner'; did you mean linear?"),
    ("train --epochs three", "invalid int value: 'three'"),
    ("train --epochs 0", "epochs must be at least 1"),
    ("train --lr -1", "lr must be at least 0"),
    ("train --dropout 1", "dropout must be from 0 to"),
    ("train --num-heads 5", "128 / 5 is not whole"),
    ("train --hidden-size 9000 --num-heads 10 --num-layers 9", "weights; at most 1,000,000,000 are accepted"),
    ("train --epochs", "expected one argument"),
    ("train reviews.csv", "unrecognized arguments: reviews.csv"),
    ("train --recipe minilm-review", "no recipe minilm-review: did you mean minilm-reviews?"),
    ("train --recipe nothing.toml", "nothing.toml: No such file or directory"),
    ("train --recipe bad.toml", "bad.toml is not TOML"),
    ("train --recipe typo.toml", "unknown setting 'epoch'; did you mean epochs?"),
    ("train --set epoch=3", "unknown setting 'epoch'; did you mean epochs?"),
    ("train --set epochs", "expected key=value, as in lr=3e-5"),
    ("train --set epochs=many", "epochs must be a whole number, not 'many'"),
    (TRAIN + "reviews.csv --select f1", "select"),
    ("train --out", "expected one argument"),
    ("train --plan plan.jpg", "its name must end in .png"),
    ("train --resume nothing", "nothing holds no unfinished run: there is no such directory"),
    ("train --resume m", "it is finished; `minitx train --pretrained DIR` trains its encoder further, under new heads"),
    ("train --resume m --epochs 3", "accepted beside it: --threads, --on-nan, --checkpoint-every; `minitx train --pre"),
    ("train --set epochs 2", "unrecognized arguments: 2; --set takes KEY=VALUE, as in lr=3e-5"),
    ("similar m texts.txt other", "a TEXT is the file 'texts.txt': `minitx search MODEL FILE QUERY` reads files"),
    ("tokenize m texts.txt", "TEXT is the file 'texts.txt': expected a text"),
    ("predict m --data reviews.csv --out reviews.csv --overwrite", "--out is the file of --data"),
    (TRAIN + "reviews.csv --set decide.sentiment={recall={neutral=30}}", "{recall = {CLASS = 0 to 1}}"),
    ("train --freeze backbone", "unrecognized arguments: --freeze backbone; did you mean --set?"),
    ("train --labels a=b", "did you mean --label?"),
    ("train --val-split 0.2", "unrecognized arguments: --val-split 0.2 (see minitx train --help)"),
    ("pretrain m texts.txt --out new", "unrecognized arguments: texts.txt; expected FILE --out DIR;"),
    ("similar m good", "arguments are required: OTHER; expected MODEL TEXT OTHER"),
    ("search m texts.txt", "arguments are required: QUERY; expected MODEL CORPUS QUERY"),
    ("embed m part*.csv --out vectors", "part*.csv is a pattern: --engine dask takes it, with a directory for --out"),
    ("predict m --data part*.csv", "part*.csv is a pattern: --engine dask takes it"),
    ("train --resume m --epochs 3", "--resume goes on as the run began"),
    ("replay nothing", "nothing has no manifest.json"),
    ("completion fish", "invalid choice: 'fish'; choose from bash, zsh, tcsh"),
    # data
    (TRAIN + "nothing.csv", "nothing.csv: No such file or directory"),
    (TRAIN + "folder", "folder: Is a directory"),
    (TRAIN + "tick*.csv", "tick*.csv is a pattern; expected one file"),
    (TRAIN + "tick[1].csv", "tick[1].csv: No such file or directory"),
    ("train lr=3e-5", "--set takes KEY=VALUE, as in lr=3e-5"),
    ("train --norm-first --relative-buckets 32", "no architecture of the ecosystem has pre-norm blocks and a relative"),
    (TRAIN + "empty.csv", "empty.csv: empty file; expected a CSV with a header line"),
    (TRAIN + "header.csv", "header.csv: a header but no rows"),
    (TRAIN + "capital.csv", "no column content, score, thumbsUpCount; the header has reviewId, Content"),
    (TRAIN + "tickets.csv", "name the columns: --text COLUMN --label NAME=COLUMN"),
    (TRAIN + "quote.csv", "the header has text behind a closing quote"),
    (TRAIN + "open.csv", "from line 2 on: unexpected end of data; is a quote left open?"),
    (TRAIN + "carets.csv", "no column content, score, thumbsUpCount; the header has reviewId^content"),
    (TRAIN + "twice.csv", "more than one column named score"),
    (TRAIN + "words.csv", "no usable row among 2 (2 dropped: score missing or not an integer)"),
    (
        TRAIN + "same.csv",
        "classes of sentiment (positive); at least 2 classes, and no fewer rows",
    ),
    (TRAIN + "latin.csv", "not UTF-8 at byte 42; save it as UTF-8, or say its --encoding, as in cp1252"),
    (TRAIN + "latin.csv --encoding latin-one", "unknown encoding 'latin-one'; did you mean"),
    (TRAIN + "latin.csv --encoding ascii", "not ascii at byte 42"),
    (TRAIN + "docx.csv", "docx.csv is "),
    (TRAIN + "cut.csv.gz", "cut.csv.gz: a damaged .gz"),
    (TRAIN + "bad.jsonl", "bad.jsonl: line 2 is not JSON"),
    (TRAIN + "list.jsonl", "list.jsonl: line 2 is ['b']; expected objects, one on each line"),
    (TICKETS + "--text message", "--text COLUMN and --label NAME=COLUMN go together"),
    (
        TICKETS + "--label topic=team",
        "--label NAME=COLUMN go together; of a review file, neither is",
    ),
    (
        TICKETS + "--text mesage --label topic=team",
        "no column mesage; the header has message, team; did you mean message?",
    ),
    (TICKETS + "--text message --label topic=taem", "no column taem; the header has message, team; did you mean team?"),
    (TICKETS + "--text message --label topic", "expected NAME=COLUMN"),
    (TICKETS + "--text message --label topic=message", "message cannot be both the text and a label"),
    (TICKETS + "--text message --label text=team", "a head cannot be called text"),
    (TICKETS + "--text message --label a=team --label a=team", "--label names the same head twice"),
    ("train --text message --label topic=team", "pass --data as well"),
    (TRAIN + "reviews.csv --out m", "m exists already: choose another name, or overwrite it"),
    (TRAIN + "reviews.csv --pretrained ./nothing", "./nothing is not a directory: expected one with config.json"),
    # using a model
    ("predict nothing good", "nothing is not a directory: expected one that `minitx train` wrote"),
    ("predict folder good", "folder is not a complete result directory"),
    ("predict reviews.csv good", "reviews.csv is not a directory"),
    ("similar reviews.csv good nice", "reviews.csv is not a directory: expected one with config.json"),
    ("embed gone.csv m --out v.npy", "gone.csv is not a directory: expected one with config.json"),
    ("predict m --data texts.txt --text content", "a .txt with one text a line and no column"),
    (
        "predict m --data tickets.csv",
        "the header has message, team; choose the column of texts with --text",
    ),
    ("predict m --data no_header.csv", "the header has love it, 5; choose"),
    ("predict m --data brace.csv", 'no column content or text; the header has {"content", score'),
    ("predict m --data one_object.json", "the header has message, score; choose"),
    ("evaluate m --data page.csv", "page.csv is of the kind HTML"),
    ("predict m --data letter.docx", "letter.docx: expected one of .csv"),
    ("predict m --data texts.txt good", "TEXT and --data were given: give one of them"),
    ("predict m good --out x.xlsx", "its name must end in .csv or .jsonl"),
    ("predict m good --out nowhere/x.csv", "nowhere is not a directory"),
    ("predict m --data empty.txt", "empty.txt: empty file"),
    ("predict m", "there is no standard input"),
    ("evaluate m --encoding cp1252", "--text, --label and --encoding go with --data FILE"),
    ("evaluate m --data tickets.csv", "no column content, score, thumbsUpCount"),
    ("evaluate m --data only_score.csv --errors page.html", "page.html exists already"),
    ("evaluate m --data only_score.csv --errors page.pdf", "its name must end in .html"),
    ("evaluate m --data only_score.csv --overwrite", "--overwrite goes with --errors"),
    ("embed m texts.txt", "the following arguments are required: --out"),
    ("embed m texts.txt --out v.csv", "its name must end in .npy"),
    ("embed m ragged.csv --out v.npy", "ragged.csv: row 2 has too few fields"),
    ("embed m letter.docx --out v.npy", "letter.docx: expected one of .csv"),
    ("embed ./nothing texts.txt --out v.npy", "./nothing is not a directory"),
    ("search m texts.txt", "the following arguments are required: QUERY"),
    ("search m texts.txt one --top-k 0", "expected a whole number of at least 1, not '0'"),
    ("search m texts.txt one --vectors other.npy", "other.npy holds (2, 3); the corpus and the model make (2, 16)"),
    (
        "search m texts.txt one --vectors zeros.npy",
        "zeros.npy was made of other texts, or by another model",
    ),
    ("search m texts.txt one --vectors texts.txt", "texts.txt is not a .npy file that `minitx embed` wrote"),
    ("similar m one", "the following arguments are required: OTHER"),
    ("tokenize reviews.csv one", "reviews.csv"),
    ("pretrain texts.txt --out p", "2 different texts; at least 20 are needed"),
    ("pretrain texts.txt", "the following arguments are required: --out"),
    ("pretrain texts.txt --out p --objective gpt", "invalid choice: 'gpt'; choose from mlm, simcse"),
    ("distill m texts.txt --layers two --out p", "invalid int value: 'two'"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("first hour")
    for name, content in FILES.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder").mkdir()
    (folder / "m").symlink_to(trained)
    (folder / "above").mkdir()
    (folder / "above" / "m").symlink_to(trained)
    np.save(folder / "other.npy", np.zeros((2, 3), np.float32))
    np.save(folder / "zeros.npy", np.zeros((2, 16), np.float32))
    return folder


def said(capsys, command):
    """Exit code, standard output and standard error."""
    try:
        code = main(command.split())
    except SystemExit as stop:
        code = stop.code
    return (code, *capsys.readouterr())


def test_there_are_enough_of_them():
    assert len(MISTAKES) >= 80


@pytest.mark.parametrize(("command", "told"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_met_with_one_line_that_names_it(capsys, monkeypatch, place, command, told):
    monkeypatch.chdir(place)
    monkeypatch.setattr("sys.stdin", None)
    before = sorted(os.listdir(place))
    code, out, err = said(capsys, command)
    assert (code, err[:7], err.count("\n")) == (2, "error: ", 1), err
    assert told in err
    assert "Traceback" not in out + err
    assert sorted(os.listdir(place)) == before  # nothing was begun


def test_a_run_that_was_refused_takes_no_name(capsys, monkeypatch, place, tmp_path):
    """Or `--resume runs/reviews`, as README has it, would be of an empty directory after a few slips."""
    monkeypatch.chdir(tmp_path)
    for slip in ("gone.csv", f"{place / 'header.csv'}", f"{place / 'reviews.csv'} --pretrained ./nothing"):
        assert said(capsys, f"train --data {slip}")[0] == 2
        assert os.listdir("runs") == []
    (tmp_path / "empty").mkdir()
    assert said(capsys, "train --data gone.csv --out empty")[0] == 2
    assert (tmp_path / "empty").is_dir()  # which was the user's


def test_what_is_no_mistake(capsys, monkeypatch, place):
    monkeypatch.chdir(place)
    assert said(capsys, "")[0] == 0
    code, out, _ = said(capsys, "--version")
    assert (code, out) == (0, f"minitx {sys.modules['minitx'].__version__}\n")
    code, out, _ = said(capsys, "evaluate m --data only_score.csv")
    assert code == 0
    assert "note: only_score.csv has no column thumbsUpCount, so engagement is not measured" in out
    assert "\nengagement\nno row has a label for this head: nothing was measured" in out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\n")))
    assert said(capsys, "predict m")[0] == 0


def test_a_shell_completes_commands_and_flags(capsys):
    pytest.importorskip("shtab")
    code, out, _ = said(capsys, "completion bash")
    assert code == 0
    assert "--batch-size" in out


def test_a_model_that_cannot_fit_is_refused_before_it_is_made(capsys, monkeypatch, tmp_path, place):
    monkeypatch.chdir(place)
    monkeypatch.setattr("minitx.app.estimate.free_memory", lambda: 1e6)
    code, _, err = said(capsys, "train --data reviews.csv --out new")
    assert code == 2
    assert "MB while they train; 1 MB are free: choose smaller sizes" in err
    monkeypatch.setattr("minitx.app.estimate.free_memory", lambda: 1e3)
    command, found = "train --data reviews.csv --vocab-size 4000 --out new", []
    for more in ("", " --set freeze=['backbone']"):
        found.append(float(re.search(r"take ([\d,]+) MB while", said(capsys, command + more)[2])[1]))
    whole, held = found
    assert whole / held == pytest.approx(3, abs=0.4)  # no gradient, means or average of what is held


def test_files_of_weights_may_be_read_by_whoever_may_read_the_others(trained):
    modes = {path.name: path.stat().st_mode & 0o777 for path in trained.iterdir() if path.is_file()}
    assert len(set(modes.values())) == 1, modes
