"""What is wrong with a built site: links that lead nowhere, and anything a page would load from another host."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Page(HTMLParser):
    """The ids of a page, the links a reader may follow, and what the browser loads by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """See `HTMLParser`."""
        values = dict(attrs)
        self.ids |= {values.get("id"), values.get("name")}
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        if values.get(LOADING.get(tag)):
            self.loaded.add(values[LOADING[tag]])


def problems(site: Path) -> list[str]:
    """One line for each; none if the site is whole."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                found += [f"{where} loads {link}"] if link in page.loaded else []
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{where} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{where} links to {link}: there is no such heading")
    for path in sorted(site.rglob("*.css")):
        loaded = re.findall(r"""url\(["']?(https?:[^)"']+)""", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} loads {url}" for url in loaded]
    return found
