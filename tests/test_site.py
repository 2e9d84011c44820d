"""The documentation site, without building it: its pages, its notebooks, and what is done to docstrings and links."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

import minitx

ROOT = Path(__file__).parents[1]
PACKAGE = Path(minitx.__file__).parent
sys.path.append(str(ROOT / "docs"))
check, links, pages, plain_text = (
    importlib.import_module(f"builder.{name}") for name in ("check", "links", "pages", "plain_text")
)
MODULES = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
LESSONS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


# -- pages -----------------------------------------------------------------------------------------------------


def test_the_readmes_tree_is_read_whole():
    rooms = pages.tree()
    listed = ["/".join(filter(None, ["minitx", room, f"{name}.py"])) for room in rooms for name, _, _ in rooms[room][1]]
    assert len(listed) == len(set(listed))
    assert set(listed) == MODULES
    assert list(rooms) == [
        "",
        "text",
        "data",
        "autograd",
        "nn",
        "models",
        "evaluation",
        "training",
        "app",
        "sentence_transformers",
        "command",
        "learn",
    ]
    assert rooms["autograd"][0] == "what is a derivative?"
    assert rooms["autograd"][1][1] == (
        "engine",
        "in which order are derivatives passed back, and how do they add up?",
        True,
    )
    assert sum(star for _, modules in rooms.values() for _, _, star in modules) == pages.README.count("\n    * ")


def test_every_module_has_a_page_with_its_question_and_its_docstrings():
    reference = {page.source: page for page in pages.reference()}
    assert set(reference) >= MODULES
    for room, (_, modules) in pages.tree().items():
        for name, question, _ in modules:
            module = ".".join(filter(None, ["minitx", room, name]))
            text = reference[module.replace(".", "/") + ".py"].text
            assert question[1:] in text
            assert f"\n::: {module}\n" in text


def test_pages_are_different_and_have_titles():
    found = [*pages.readme([]), pages.tutorials(), *pages.files(), *pages.reference()]
    assert len({page.home for page in found}) == len({page.source for page in found}) == len(found)
    assert all(page.title for page in found)
    assert all(f"]({page.home})" in pages.summary(found) for page in found)
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= {page.source for page in found}


def test_links_of_the_repository_lead_to_pages(tmp_path):
    page = pages.Page("guides/a.md", "docs/a.md", "")
    homes = {"docs/b.md": "guides/b.md", "README.md": "index.md", "README.md#read-it": "guides/read-it.md"}
    homes |= links.homes_of([pages.Page("reference/nn/index.md", "minitx/nn", "")])
    for text, wanted in {
        "[b](b.md#part)": "[b](b.md#part)",
        "[`b`, [1]](b.md)": "[`b`, [1]](b.md)",
        "[it](../README.md#read-it)": "[it](read-it.md)",
        "[readme](../README.md#test-it)": "[readme](../index.md#test-it)",
        "[nn](/minitx/nn) `minitx/nn/__init__.py`": "[nn](../reference/nn/index.md) "
        "[`minitx/nn/__init__.py`](../reference/nn/index.md)",
        "[folder](../tests/) [web](https://example.org)": "folder [web](https://example.org)",
        "```\nx[0](y)\n```\n`x[0](y)`": "```\nx[0](y)\n```\n`x[0](y)`",
        "[MIT](../LICENSE)": "[MIT](../files/LICENSE.txt)",
    }.items():
        assert links.linked(page._replace(text=text), homes, tmp_path) == wanted
    assert (tmp_path / "files" / "LICENSE.txt").is_file()
    with pytest.raises(SystemExit, match=r"docs/a\.md links to gone\.md, which is not there"):
        links.linked(page._replace(text="[gone](gone.md)"), homes, tmp_path)


def test_what_is_wrong_with_a_site_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">x</a> <a href="https://example.org">x</a> <p id="there">')
    (tmp_path / "b.html").write_text('<p id="here"><a href="a.html#there">x</a><a href="#here">x</a>')
    assert check.problems(tmp_path) == []
    (tmp_path / "c.html").write_text(
        '<a href="gone.html">x</a><a href="a.html#gone">x</a><script src="https://example.org/x.js"></script>'
        '<link href="//example.org/x.css"><img src="x.png">'
    )
    (tmp_path / "d.css").write_text("@font-face { src: url(https://example.org/font.woff) }")
    assert len(check.problems(tmp_path)) == 6


# -- docstrings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "wanted"),
    [
        ("x * y, <unk>, |x|, [CLS] and __init__", r"x \* y, &lt;unk>, |x|, \[CLS\] and \__init__"),
        ("b1^t, max_norm, clip_grad_norm_", "b1^t, max_norm, clip_grad_norm_"),
        ("*cost*, **each token**, `a * b_`", "*cost*, **each token**, `a * b_`"),
        ("Formula:\n\n    x *= 1 - lr\n\nx * y", "Formula:\n\n    x *= 1 - lr\n\nx \\* y"),
        (">>> 2 * 3\n6\n\nx * y", "```pycon\n>>> 2 * 3\n6\n```\n\nx \\* y"),
        ("Two:\n* one,\n  more\n* two", "Two:\n\n* one,\n    more\n* two"),
        ("* one:\n\n      x * y\n\n* two", "\n* one:\n\n        x * y\n\n\n* two"),
        ("Args:\n    max_norm: a * b", "Args:\n    max_norm: a \\* b"),
    ],
)
def test_a_docstring_becomes_markdown(plain, wanted):
    assert plain_text.markdown(plain) == wanted


def test_names_of_the_package_become_links():
    linked = {"plain.relu": "minitx.learn.plain.relu", "Adam": "minitx.training.optim.Adam"}.get
    text = plain_text.markdown("`Adam`, `other`, `Adam(x)`. Torch: `Adam`. Plain: `plain.relu`.", linked)
    assert text == (
        "[`Adam`][minitx.training.optim.Adam], `other`, `Adam(x)`. Torch: `Adam`. "
        "Plain: [`plain.relu`][minitx.learn.plain.relu]."
    )


def parameters(node):
    """Names of a function's parameters; of a class, those of __init__ or its fields."""
    if isinstance(node, ast.ClassDef):
        inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
        return parameters(inits[0]) if inits else fields
    a = node.args
    return {arg.arg for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_documented_arguments_exist(module):
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            section = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
            documented = re.findall(r"^ {4}(\S[^:]*):", section[1], re.MULTILINE) if section else []
            names = {name.strip("* ") for entry in documented for name in entry.split(",")}
            assert names <= parameters(node), f"{node.name} has no {names - parameters(node)}"


# -- lessons ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", LESSONS, ids=lambda script: script.stem)
def test_a_lesson_is_a_valid_notebook(script):
    pytest.importorskip("jupytext", reason='jupytext is not installed: pip install -e ".[test]"')
    lessons = importlib.import_module("builder.lessons")
    book = lessons.notebook(script)  # which validates it
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith(f"# {script.name[:2]}. ")
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(script.read_text(encoding="utf-8")))
    page = lessons.markdown(book, script.stem, picture=False)
    assert page.count("```python\n") == sum(cell.cell_type == "code" for cell in book.cells)
    assert f"]({script.stem}.ipynb)" in page
