"""Prose that is executed cannot drift: README's examples, its tree, its commands, and every docstring example."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from test_house import READING_PATH

import minitx
from minitx.app.cli import main
from minitx.data.reviews import ENGAGEMENT, SENTIMENT
from minitx.data.split import split
from minitx.evaluation.metrics import report_probabilities
from minitx.learn.cases import LAYERS, OPS
from minitx.learn.files import course_pieces
from minitx.training.epochs import METRICS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(minitx.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_readme_examples():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted > 5
    assert result.failed == 0


def test_readme_tree_lists_every_file_of_the_package_and_no_other():
    tree = re.search(r"```\nminitx/\n(.*?)```", README, re.DOTALL).group(1)
    folder, listed = "", set()
    for line in tree.splitlines():
        if line.split()[0].endswith("/"):
            folder = line.split()[0]
        top = len(line) - len(line.lstrip()) == 2  # a file beside the folders, not in one
        listed |= {("" if top else folder) + name for name in re.findall(r"\w+\.py", line)}
    actual = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    assert listed == actual


def test_the_readme_marks_the_reading_path():
    tree = re.search(r"```\nminitx/\n(.*?)```", README, re.DOTALL).group(1)
    folder, marked = "", set()
    for line in tree.splitlines():
        folder = line.split()[0] if line.split()[0].endswith("/") else folder
        marked |= {folder + line.split()[1]} if line.split()[0] == "*" else set()
    assert marked == set(READING_PATH)


def test_the_map_in_contributing_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"^\| .*\? \| `(.*)` \|$", text, re.MULTILINE)
    assert len(files) == 20
    assert all((ROOT / file).is_file() for file in files)


def test_every_promise_names_its_test():
    rows = re.findall(
        r"^\| (?!promise |-)(.+?) \| (.+) \|$", (ROOT / "docs" / "promises.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 20
    for promise, held in rows:
        file, named = "", 0
        for path, name in re.findall(r"\]\(\.\./(tests/\w+\.py)\)|`(test_\w+)`", held):
            file = path or file
            named += bool(name)
            assert not name or f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), f"{file} has no {name}"
        assert named, f"no test holds this: {promise}"


def test_the_commands_that_ci_takes_from_the_readme():
    assert "<!-- command: train -->\n```\npip install -e . && minitx train\n```" in README
    assert '<!-- command: test -->\n```\npip install -e ".[test]" && pytest\n```' in README


def test_what_the_readme_shows_of_check_is_what_it_prints(tmp_path, monkeypatch, capsys):
    block = README.split("<!-- output: check -->\n```\n")[1].split("\n```")[0]
    source, output = re.fullmatch(r"\$ cat mine\.py\n(.*)\n\n\$ minitx check mine\.py\n(.*)", block, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(source, encoding="utf-8")
    assert main(["check", "mine.py"]) == 1
    assert capsys.readouterr().out.strip() == output


def test_the_readme_counts_the_known_mistakes():
    assert "more than 200 wrong answers by name" in README
    assert sum(len({mistake.name for mistake in piece.mistakes}) for piece in course_pieces().values()) > 200


def test_links_in_the_readme_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert all((ROOT / target).exists() for target in targets if "://" not in target)


def test_the_readme_says_how_many_rows_gradcheck_has():
    assert f"all {len(OPS) + len(LAYERS)} rows of ops and layers" in README


def test_the_page_about_reports_names_what_there_is(trained, capsys):
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    exec(code.replace("runs/reviews", str(trained)), {})
    *tokens, last = capsys.readouterr().out.splitlines()
    assert len(tokens) > 10
    assert all(re.fullmatch(r"'.*' +[+-]\d\.\d{3}", line) for line in tokens)
    assert last.split()[0] in SENTIMENT.classes
    low, high = ENGAGEMENT.upper
    assert f"| up to {low} thumbs; {low + 1} to {high}; more |" in page
    assert SENTIMENT.upper == (2, 3)
    assert f"is {', '.join(METRICS[:-1])} or {METRICS[-1]}." in page.replace("\n", " ")
    p = np.full((4, 2), 0.5)
    report = report_probabilities(np.array([0, 0, 1, 1]), p, ("a", "b"), None, ((0, 1), (1, 0)), True)
    columns = re.split(r"  +", report.beside().splitlines()[0].strip())
    assert len(columns) == 7
    assert all(f"| {column} |" in page for column in columns)
    shares = [int(percent) for percent in re.findall(r"(\d0) %", page)][:3]
    assert shares == [round(100 * share) for share in inspect.signature(split).parameters["fractions"].default]
