"""The same bits and no traceback wherever minitx runs: locale, time zone, hash seed, directory, path, Windows.

What is varied is fixed when Python starts, so most of it runs in processes of their own.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_imports import FILES

from minitx.data.samples import synthetic_reviews

ROOT = Path(__file__).parents[1]
TINY = [*("--epochs", "1", "--hidden-size", "8", "--intermediate-size", "8", "--num-heads", "1", "--num-layers", "1")]
TINY += ["--vocab-size", "270", "--max-length", "16"]
MAIN = "import sys; from minitx.app.cli import main; sys.exit(main(sys.argv[1:]))"


def python(code, *arguments, cwd, flags=(), **environment):
    """Run code in a new Python, which inherits only what a process needs; what it printed."""
    keep = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMPDIR", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *flags, "-c", code, *map(os.fspath, arguments)],
        env={**keep, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")


# -- the same bits ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with reviews in it, one of them in several scripts, and a folder in that with an awkward name."""
    folder = tmp_path_factory.mktemp("everywhere")
    (folder / "sub dir ünï").mkdir()
    reviews = synthetic_reviews(n=160, seed=3)
    reviews.loc[0, "content"] += " İIıi ünï 🎉 日本"
    reviews.to_csv(folder / "reviews.csv", index=False, lineterminator="\n")
    return folder


SAME = ["model.safetensors", "heads.safetensors", "baseline.safetensors", "minitx.json", "config.json"]
SAME += ["tokenizer.json", "trainable.txt", "timeline.png", "metrics.json", "history.csv"]


def train(cwd, data, out, **environment):
    """What a run writes, without the times, and without the path of the data as it was spelled."""
    python(MAIN, "train", "--data", data, "--out", out, *TINY, cwd=cwd, **environment)
    files = {name: (out / name).read_bytes() for name in SAME}
    metrics = json.loads(files["metrics.json"])
    assert metrics["experiment"].pop("data") == metrics["data"].pop("source") == str(data)
    history = [line.split(",") for line in files["history.csv"].decode().split("\n") if line]
    timed = [history[0].index(name) for name in ("seconds", "tokens_per_second")]
    baseline = files["baseline.safetensors"]
    header = 8 + int.from_bytes(baseline[:8], "little")
    return files | {
        "metrics.json": metrics,
        "history.csv": [np.delete(line, timed).tolist() for line in history],
        "baseline.safetensors": (json.loads(baseline[8:header]), baseline[header:]),  # entries may stand in any order
    }


@pytest.fixture(scope="module")
def usual(place):
    return train(place, "reviews.csv", place / "usual", LC_ALL="C.UTF-8", PYTHONHASHSEED="0", TZ="UTC")


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # where text is ASCII unless one says otherwise


def test_training_gives_the_same_bits_in_an_ascii_locale_with_other_hashes_and_an_absolute_path(place, usual):
    assert train(place, place / "reviews.csv", place / "plain", **PLAIN, PYTHONHASHSEED="1") == usual


def test_training_gives_the_same_bits_in_turkey_by_a_winding_path_in_another_directory_and_time_zone(place, usual):
    """Where a Turkish locale is installed, I and i are not two cases of one letter for what asks the locale."""
    elsewhere = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "random"}
    winding = os.path.join("..", "sub dir ünï", "..", "reviews.csv")
    assert train(place / "sub dir ünï", winding, place / "out ünï 日本", PYTHONUTF8="1", **elsewhere) == usual


def test_training_gives_the_same_bits_without_assertions_and_docstrings(place, usual):
    assert train(place, "reviews.csv", place / "bare", PYTHONOPTIMIZE="2", LANG="de_DE.ISO-8859-1") == usual


# -- encodings and ends of lines ------------------------------------------------------------------------------

COMMANDS = """
import json, os, sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="minitx")  # of ours, wherever they come from
made = set()

def listen(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and (set(str(arguments[1])) & set("wax+") or arguments[2] & 3):
        made.add(arguments[0])
    if event == "os.mkdir":
        made.add(arguments[0])
    if event in ("os.rename", "os.link"):
        made.update(arguments[:2])

sys.addaudithook(listen)
from minitx.app.cli import main
for arguments in json.loads(sys.argv[1]):
    assert main(arguments) == 0, arguments
made = [os.path.abspath(os.fspath(path)) for path in made]
print("made", json.dumps([os.path.relpath(path) for path in made if path.startswith(os.getcwd())]))
"""


@pytest.fixture(scope="module")
def made(place):
    """The paths of all that commands made in `place`, and removed again; an encoding left to the system is an error."""
    commands = [
        ["train", "--data", "reviews.csv", "--out", "m", *TINY],
        ["train", "--data", "reviews.csv", "--plan", "plan.png"],
        ["evaluate", "m", "--data", "reviews.csv", "--errors", "page.html"],
        ["embed", "m", "reviews.csv", "--out", "vectors.npy"],
        ["search", "m", "reviews.csv", "crash", "--vectors", "vectors.npy"],
        ["similar", "m", "good", "bad"],
        ["predict", "m", "ünï 🎉"],
        ["tokenize", "m", "ünï 🎉"],
        ["recipes"],
        ["learn"],
        ["check", "--template", "mine.py"],
        ["show", "backward"],
    ]
    out = python(COMMANDS, json.dumps(commands), cwd=place, flags=["-X", "warn_default_encoding"], PYTHONUTF8="1")
    paths = json.loads(out.rpartition("made ")[2])
    return {*paths, *(os.path.relpath(path, place) for path in (place / "m").rglob("*"))}  # those of Rust as well


def test_no_command_leaves_an_encoding_to_the_system(made):
    assert {"plan.png", "page.html", "vectors.npy", "mine.py", os.path.join("m", "minitx.json")} <= made


def careless(source):
    """Lines that open text without saying its encoding, or write it without saying how lines end."""
    found = []
    for call in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]:
        said, given = {keyword.arg for keyword in call.keywords}, call.args
        if isinstance(call.func, ast.Attribute):
            owner, name = getattr(call.func.value, "id", ""), call.func.attr
        else:  # a function of minitx's own has the name of a method of paths, and writes UTF-8
            owner, name = "", getattr(call.func, "id", "").replace("read_text", "").replace("write_text", "")
        if name == "open" and owner != "os":
            modes = given[1:] if isinstance(call.func, ast.Name) else given
            mode = ast.unparse(modes[0]) if modes else ""
            text, written = "b" not in mode, "b" not in mode and bool(set("wax+") & set(mode))
        else:
            text = name in ("read_text", "write_text", "TextIOWrapper") or (owner == "subprocess" and "text" in said)
            written = name == "write_text"
        if text and "encoding" not in said:
            found.append(f"{call.lineno}: no encoding")
        if (written and "newline" not in said) or (name == "to_csv" and "lineterminator" not in said):
            found.append(f"{call.lineno}: any end of line")
    return found


def test_the_finder_of_careless_files_finds_what_it_should_and_no_more():
    source = """
open("a")
path.open("w", encoding="utf-8")
path.write_text("x", newline="")
frame.to_csv("x")
subprocess.run(["x"], text=True)
open("a", "rb"), path.open("r+b" if x else "w+b"), os.open(x, 1), write_text(x, "y"), subprocess.run(["x"])
path.write_text("x", encoding="utf-8", newline=""), path.read_text(encoding="utf-8"), frame.to_csv(lineterminator="")
"""
    lines = ["2: no encoding", "3: any end of line", "4: no encoding", "5: any end of line", "6: no encoding"]
    assert sorted(careless(source)) == lines


def test_every_file_is_opened_with_its_encoding_and_written_with_its_ends_of_lines():
    found = {path.name: careless(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: lines for name, lines in found.items() if lines} == {}


# -- terminals ------------------------------------------------------------------------------------------------

TEXT = "ünï 🎉 日本"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_terminal_cannot_show_is_spelled_out(place, made, encoding):
    for command in (["predict", "m", TEXT], ["tokenize", "m", TEXT], ["similar", "m", "good", TEXT]):
        assert "\\U0001f389" in python(MAIN, *command, cwd=place, PYTHONIOENCODING=encoding) or command[0] == "tokenize"
    lines = python(MAIN, "predict", "m", "--format", "json", TEXT, cwd=place, PYTHONIOENCODING=encoding)
    assert json.loads(lines)["text"] == TEXT


def test_a_path_that_the_locale_cannot_read_costs_no_result(place, usual):
    """Its bytes become halves of pairs, which neither UTF-8 nor the letters of a picture have."""
    (place / "ünï").mkdir()
    (place / "ünï" / "reviews.csv").write_bytes((place / "reviews.csv").read_bytes())
    data = os.path.join("ünï", "reviews.csv")
    python(MAIN, "train", "--data", data, "--out", "ünï/out", *TINY, cwd=place, **PLAIN, PYTHONIOENCODING="ascii")
    assert (place / "ünï" / "out" / "model.safetensors").read_bytes() == usual["model.safetensors"]
    assert json.loads((place / "ünï" / "out" / "metrics.json").read_bytes())["data"]["source"] == data


# -- Windows ---------------------------------------------------------------------------------------------------

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")}


def cannot_be_on_windows(path):
    """Whether a part of the path is no name on Windows."""
    parts = [
        part for part in re.split(r"[/\\]" if os.sep == "\\" else "/", os.fspath(path)) if part not in (".", "..", "")
    ]
    bad = [part for part in parts if re.search(r'[<>:"|?*\\\x00-\x1f]', part) or part[-1] in ". "]
    return bool(bad or [part for part in parts if part.split(".")[0].rstrip().lower() in RESERVED or len(part) > 200])


def test_what_windows_refuses_is_known():
    names = ["a:b", "con", "AUX.txt", "lpt1 .tar.gz", "a.", "a ", "a?b", 'a"b', "a\\b", "x/nul/y", "a\tb"]
    assert all(map(cannot_be_on_windows, names))
    assert not any(map(cannot_be_on_windows, ["../console.txt", "./.m-x1/a b.json", "ünï/日本.npy", "auxiliary"]))


def test_every_name_that_is_written_can_be_on_windows(made):
    assert len(made) > 20
    assert [path for path in made if cannot_be_on_windows(path)] == []


def test_every_name_of_the_project_can_be_on_windows_where_case_makes_no_difference():
    skipped = {".git", ".venv", "venv", "site", "runs", "node_modules", "__pycache__"}
    paths = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    paths = [path for path in paths if not skipped & set(path.split("/"))]
    assert [path for path in paths if cannot_be_on_windows(path)] == []
    assert len({path.lower() for path in paths}) == len(paths)
