"""The lessons, tutorials/NN_*.py, as notebooks and as Markdown."""

import contextlib
import io
import re
import tempfile
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from builder.pages import ROOT, Page

LESSONS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


def notebook(script: Path) -> nbformat.NotebookNode:
    """A lesson as a notebook: its cells, and nothing of the script's form."""
    book = jupytext.read(script)
    if not re.match(r"# \d\d\. ", book.cells[0].source) or book.cells[0].cell_type != "markdown":
        raise SystemExit(f"{script}: the first cell has to be Markdown, and to begin with a title such as # 01. Title")
    book.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for i, cell in enumerate(book.cells):
        cell.id = f"cell-{i}"  # the same at every build
    nbformat.validate(book)
    return book


def executed(script: Path) -> tuple[nbformat.NotebookNode, bytes]:
    """The notebook with what its cells print, and the picture that it draws. Run it in a process of its own."""
    book, names = notebook(script), {"__name__": "__main__", "__file__": str(script)}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for cell in (cell for cell in book.cells if cell.cell_type == "code"):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(cell.source, script.name, "exec"), names)
            if text := printed.getvalue():
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        return book, Path("runs", "tutorials", f"{script.stem}.png").read_bytes()


def markdown(book: nbformat.NotebookNode, name: str, picture: bool) -> str:
    """A notebook as a page: its cells with what they printed, and below the title where to get it."""
    parts = []
    for cell in book.cells:
        parts.append(f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source)
        for output in cell.get("outputs", []):  # folded: the question above is to be answered first
            parts.append('??? note "What this prints"\n' + textwrap.indent(f"\n```text\n{output.text}```", " " * 4))
    parts.insert(1, f"Work through it: [as a notebook]({name}.ipynb), or [as a script]({name}.py).")
    parts += [f"![The picture that this lesson draws]({name}.png)"] if picture else []
    return "\n\n".join(parts) + "\n"


def pages(folder: Path, run: bool) -> list[Page]:
    """A page for each lesson; notebooks, scripts and pictures are put into `folder`, where the pages are to stand."""
    if run:
        with ProcessPoolExecutor(max_tasks_per_child=1) as workers:
            done = list(workers.map(executed, LESSONS))
    else:
        done = [(notebook(script), b"") for script in LESSONS]
    folder.mkdir(parents=True)
    found = []
    for script, (book, picture) in zip(LESSONS, done, strict=True):
        (folder / f"{script.stem}.ipynb").write_text(nbformat.writes(book), encoding="utf-8")
        (folder / script.name).write_bytes(script.read_bytes())
        if picture:
            (folder / f"{script.stem}.png").write_bytes(picture)
        text = markdown(book, script.stem, bool(picture))
        found.append(Page(f"lessons/{script.stem}.md", f"tutorials/{script.name}", text))
    return found
