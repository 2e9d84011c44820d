"""Builds the documentation site from the README, docs/, the lessons and the docstrings: `python docs/build.py`.

    build/pages    every page as Markdown, and the lessons as notebooks; made anew each time
    site           the result: open site/index.html; it needs no server and no network

With `--run` each lesson is run first, and its page and notebook show what it printed and drew. Any warning is an error,
and so is a link that leads nowhere or a page that would load something from another host.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

from builder import lessons
from builder.check import problems
from builder.links import homes_of, linked
from builder.pages import ROOT, files, readme, reference, summary, tutorials

PAGES, SITE = ROOT / "build" / "pages", ROOT / "site"
SHIM = "https://unpkg.com/iframe-worker/shim"  # what the generator's pages load for a search without a server


def build() -> list[str]:
    """Makes the site of the pages; gives what the generator had to say against them, or what is wrong with the site."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "docs")}  # where the generator finds builder.docstrings
    done = subprocess.run(
        command, cwd=ROOT, env=environment, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode or re.search("warning|griffe:", done.stdout, re.IGNORECASE):
        return [done.stdout]
    shutil.copy(ROOT / "docs" / "builder" / "file_search.js", SITE / "assets" / "javascripts")
    (SITE / "404.html").unlink()  # only a server shows it, and its links hold for one address
    for path in SITE.rglob("*.html"):
        own = os.path.relpath(SITE / "assets" / "javascripts" / "file_search.js", path.parent)
        path.write_text(path.read_text(encoding="utf-8").replace(SHIM, own), encoding="utf-8")
    return problems(SITE)


def main() -> None:
    """Writes the pages and builds the site; fails if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", action="store_true", help="run the lessons; show what they print and draw")
    run = parser.parse_args().run
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    learn = lessons.pages(PAGES / "lessons", run)
    front, *sections = readme(learn)
    pages = [front, tutorials(), *learn, *sections, *files(), *reference()]
    homes = homes_of(pages)
    for page in pages:
        (PAGES / page.home).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page.home).write_text(linked(page, homes, PAGES), encoding="utf-8")
    shutil.copy(ROOT / "docs" / "builder" / "site.css", PAGES)
    (PAGES / "SUMMARY.md").write_text(summary(pages), encoding="utf-8")
    wrong = build()
    print("\n".join(wrong) or f"{len(pages)} pages, no warnings, every link followed: {SITE / 'index.html'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
