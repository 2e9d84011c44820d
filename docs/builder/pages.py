"""What the site shows, as pages of Markdown: the README, docs/, and a page for each module in README's order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8").replace("```python\n>>> ", "```pycon\n>>> ")  # for colours
TREE = re.compile(r"```\nminitx/\n(.*?)```", re.DOTALL)

Rooms = dict[str, tuple[str, list[tuple[str, str, bool]]]]


class Page(NamedTuple):
    """`home` is where the page stands, `source` the file (or its heading) that is shown there."""

    home: str
    source: str
    text: str

    @property
    def title(self) -> str:
        """The page's first heading."""
        return re.search(r"^# (.*?)(?: {.*)?$", self.text, re.MULTILINE)[1]


def tree() -> Rooms:
    """README's tree: {room: (its question, [(module, its question, is it on the reading path?)])}; "" is the top."""
    rooms: Rooms = {"": ("", [])}
    for line in TREE.search(README)[1].splitlines():
        mark, name, question = re.fullmatch(r" +(\* )?(\w+/|\w+\.py) +(\S.*)", line).groups()
        if name.endswith("/"):
            rooms[name[:-1]] = question, []
        else:
            room = "" if re.match(r" {2}\w", line) else list(rooms)[-1]
            rooms[room][1].append((name.removesuffix(".py"), question, bool(mark)))
    return rooms


def table(room: str) -> str:
    """The files of a room and their questions, with the mark of the reading path."""
    question, modules = tree()[room]
    folder = f"minitx/{room}/" if room else "minitx/"
    rows = [f"| {'`*`' * star} | [{name}.py](/{folder}{name}.py) | {text} |" for name, text, star in modules]
    return "\n".join([f"## {room}: {question}\n" if room else "", "| | file | question |", "|---|---|---|", *rows, ""])


def readme(lessons: list[Page]) -> list[Page]:
    """The front page, which leads to the lessons and rooms, and a page for each section of the README."""
    start, *sections = re.split(r"^## ", README, flags=re.MULTILINE)
    items = [f"* [{lesson.title}](/{lesson.source})" for lesson in lessons] + ["\n## Reference\n"]
    items += [f"* [{room}](/minitx/{room}): {question}" for room, (question, _) in tree().items() if room]
    pages = [Page("index.md", "README.md", "\n".join([start, "## Lessons\n", *items, ""]))]
    for section in sections:
        slug = re.sub(r"[^a-z0-9]+", "-", section.partition("\n")[0].lower())
        text = TREE.sub(lambda _: "\n".join(map(table, tree())), f"# {section}")
        pages.append(Page(f"guides/{slug}.md", f"README.md#{slug}", text))
    return pages


def tutorials() -> Page:
    """The page that lists the lessons."""
    source = "tutorials/README.md"
    return Page("lessons/index.md", source, (ROOT / source).read_text(encoding="utf-8"))


def files() -> list[Page]:
    """The pages of docs/, and what a contributor reads."""
    own = (ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))
    paths = [*sorted((ROOT / "docs").glob("*.md")), *own]
    sources = [(path, str(path.relative_to(ROOT))) for path in paths]
    return [Page(f"guides/{path.name.lower()}", source, path.read_text(encoding="utf-8")) for path, source in sources]


def reference() -> Iterator[Page]:
    """A page for each room and module, in the order of README's tree; the generator fills in the docstrings."""
    for room, (_, modules) in tree().items():
        package, folder = (f"minitx.{room}", f"reference/{room}") if room else ("minitx", "reference")
        docstring = f"# {package} {{ #{package} }}\n\n::: {package}\n    options:\n      members: false\n"
        yield Page(f"{folder}/index.md", package.replace(".", "/"), f"{docstring}\n{table(room)}")
        for name, question, _ in modules:
            module, asked = f"{package}.{name}", question[0].upper() + question[1:]
            text = f"# {module} {{ #{module} }}\n\n*{asked}*\n\n::: {module}\n"
            yield Page(f"{folder}/{name}.md", module.replace(".", "/") + ".py", text)


def summary(pages: list[Page]) -> str:
    """The navigation: a nested list of all pages."""
    lines = []
    for page in pages:
        title = page.title
        if page.home.startswith("reference/"):
            title = title.rpartition(".")[2] if "." in title else "Reference"
        if page.home.startswith("guides/") and "* Guides" not in lines:
            lines.append("* Guides")
        lines.append(f"{'    ' * (page.home.count('/') - page.home.endswith('/index.md'))}* [{title}]({page.home})")
    return "\n".join(lines) + "\n"
