"""The capstone's page is written, whole, safe to open, and only where it may be; a bad file is refused in one line."""

import csv
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_house import code

from minitx.data.samples import synthetic_reviews
from minitx.errors import InputError

SCRIPT = Path(__file__).parents[1] / "tutorials" / "capstone.py"
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & $source {0} \x07'
MOODS = {"bad": "it crashes and the sound is awful", "so<so": "it is fine I guess", "good": "love the films a lot"}


class Elements(HTMLParser):
    """The elements of a page, and that each one is closed where it was opened."""

    VOID = ("meta", "br", "path", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.found, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def main():
    """The script's main, with an encoder that trains for one epoch."""
    function = runpy.run_path(str(SCRIPT))["main"]
    function.__globals__["FROM_SCRATCH"] |= {"epochs": 1, "hidden_size": 16, "intermediate_size": 32}
    return function


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Path:
    """A small export in which one text in six is hostile."""
    frame = synthetic_reviews(n=120, seed=4)
    frame.loc[::6, "content"] = [f"{HOSTILE} number {row}" for row in range(20)]
    path = tmp_path_factory.mktemp("data") / "reviews<i>.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def page(main, reviews) -> str:
    mine = reviews.with_name("mine.py")
    mine.write_text("def softmax(x):\n    return x.exp() / x.exp().sum()\n", encoding="utf-8")
    out = reviews.with_name("page.html")
    main([str(reviews), "--out", str(out), "--check", f"{mine}:softmax"])
    return out.read_text(encoding="utf-8")


def test_the_page_has_seven_sections_and_needs_nothing_else(page):
    elements = Elements()
    elements.feed(page)
    elements.close()
    assert elements.open == []
    tags = [tag for tag, _ in elements.found]
    assert tags.count("section") == tags.count("h2") == 7
    assert tags.count("svg") == 4  # accuracy and macro-F1 of two heads
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not [
        name for _, attrs in elements.found for name in attrs if name.startswith("on") or name in ("src", "href")
    ]
    for what in ("random split", "always the largest class", "bag of words", "frozen probe", "whole model", "95 %"):
        assert what in elements.text
    assert "softmax(x): wrong" in elements.text
    assert not re.search(r"\$\w|nan", elements.text.replace("$source {0}", "")), "a blank that was not filled in"


def test_what_the_data_say_is_escaped(page):
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert "\x07" not in page
    assert "reviews&lt;i&gt;.csv" in page


def test_any_csv_with_columns_that_are_named(main, tmp_path):
    table, out = tmp_path / "tickets.csv", tmp_path / "tickets.html"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = [(f"{said} {row} {row % 7}", mood) for row in range(30) for mood, said in MOODS.items()]
        csv.writer(file).writerows([("message", "feeling"), *rows])
    main([str(table), "--text", "message", "--label", "mood=feeling", "--out", str(out)])
    page = out.read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "mood: so&lt;so" in page
    assert "No op was given" in page


def test_an_existing_page_is_kept(main, reviews, tmp_path):
    out = tmp_path / "kept.html"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        main([str(reviews), "--out", str(out)])
    assert out.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("a,b\n1,2\n", [], "no column content"),
        ("text,mood\nfine,good\nbad,bad\n", ["--text", "text", "--label", "mood=feeling"], "no column feeling"),
        ("text,mood\nfine,good\nbad,bad\n", ["--text", "text", "--label", "m=mood", "--label", "m=mood"], "twice"),
        ("text,mood\nfine,good\nbad,bad\n", ["--text", "text"], "--label NAME=COLUMN"),
        ("text,mood\nfine,good\nbad,bad\n", ["--check", "nowhere.py:softmax"], "nowhere.py is not there"),
        ("text,mood\nfine,good\nbad,bad\n", ["--check", str(SCRIPT) + ":softmax"], "no function softmax"),
        ("text,mood\nfine,good\nbad,bad\n", ["--check", "mine.py:softmx"], "did you mean softmax"),
        (
            "text,mood\nfine,good\nfine,good\n",
            ["--text", "text", "--label", "m=mood"],
            "2 rows with 1 of the 1 classes",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(main, tmp_path, content, arguments, message):
    table, out = tmp_path / "bad.csv", tmp_path / "page.html"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as refused:
        main([str(table), "--out", str(out), *arguments])
    assert len(str(refused.value).splitlines()) == 1
    assert not out.exists()


def test_as_a_script_it_exits_with_2(tmp_path):
    command = [sys.executable, "-W", "error", str(SCRIPT), "missing.csv"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert result.returncode == 2
    assert re.fullmatch(r"error: missing\.csv: .*\n", result.stderr)
    assert not list(tmp_path.iterdir())


def test_the_script_stays_short():
    assert len(code(SCRIPT.read_text(encoding="utf-8"))) <= 200
