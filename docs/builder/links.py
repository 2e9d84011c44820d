"""How the links of a file, which lead to other files of the repository, come to lead to pages of the site."""

import os
import re
import shutil
from pathlib import Path

from builder.pages import ROOT, Page

FENCED, LINK, CODE = r"^```.*?^```$", r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", r"`([^`\n]+)`"


def homes_of(pages: list[Page]) -> dict[str, str]:
    """{file or heading of the repository: the page that shows it}."""
    homes = {page.source: page.home for page in pages}
    return homes | {f"{source}/__init__.py": home for source, home in homes.items() if home.startswith("reference/")}


def linked(page: Page, homes: dict[str, str], folder: Path) -> str:
    """A page's text, with links to other pages; a file of the package named in backticks becomes a link to its page.

    A file that has no page is copied into the site. A link to a folder becomes plain words.
    """
    source, here = page.source.partition("#")[0], Path(page.home).parent

    def replace(match: re.Match[str]) -> str:
        label, target, code = match.groups()
        if code:
            return f"[`{code}`]({os.path.relpath(homes[code], here)})" if code in homes else match[0]
        if not target or ":" in target or (folder / here / target).is_file():
            return match[0]
        path, mark, anchor = target.partition("#")
        start = "" if path.startswith("/") else Path(source).parent
        path = os.path.normpath(os.path.join(start, path.lstrip("/"))) if path else source
        if path + mark + anchor in homes:
            return f"[{label}]({os.path.relpath(homes[path + mark + anchor], here)})"
        if path not in homes and (ROOT / path).is_dir():
            return label
        if path not in homes and not (ROOT / path).is_file():
            raise SystemExit(f"{source} links to {target}, which is not there")
        return f"[{label}]({os.path.relpath(homes.get(path) or copied(path, folder), here)}{mark}{anchor})"

    return re.sub(f"{FENCED}|{LINK}|{CODE}", replace, page.text, flags=re.DOTALL | re.MULTILINE)


def copied(path: str, folder: Path) -> str:
    """Puts a file of the repository into the site; gives its place there."""
    home = f"files/{path}" if Path(path).suffix else f"files/{path}.txt"
    (folder / home).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, folder / home)
    return home
