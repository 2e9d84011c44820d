"""Docstrings are plain text; the site's generator expects Markdown. This turns the one into the other.

Marks that Markdown would act on (x * y, <unk>, [CLS], __init__) are escaped, and examples become code blocks. Lists,
*stressed* words, code in backticks and indented blocks are kept.
"""

import re
from collections.abc import Callable

EXAMPLE = re.compile(r"^( *)>>> .*\n?(?:\1 *\S.*\n?)*", re.MULTILINE)
LIST = re.compile(r"^[*-] .*\n?(?:(?:[*-] .*| {2,}.*|)(?:\n|\Z))*", re.MULTILINE)
KEPT = {
    "example": r"^ *```pycon\n(?:.*\n)*? *```$",
    "indented block": r"(?:(?<=\n\n)|\A)(?: {4}.*(?:\n|\Z)|\n(?= {4}))+",
    "code": r"`[^`]+`",
    "bold": r"\*\*\w[^*]*\*\*",
    "italic": r"(?<!\w)\*\w[\w -]*\*(?!\w)",
    "bullet": r"^ *[*-] ",
}
KEPT_OR_MARK = re.compile(f"({'|'.join(KEPT.values())})" + r"|([*<\[\]#\\]|(?<!\w)_)", re.MULTILINE)


def markdown(text: str, linked: Callable[[str], str | None] = lambda name: None) -> str:
    """Plain text as Markdown. `linked` gives the full name of what a name in backticks means, or None."""
    fenced = EXAMPLE.sub(lambda match: f"{match[1]}```pycon\n{match[0].rstrip()}\n{match[1]}```\n", text)

    def replace(match: re.Match[str]) -> str:
        kept, mark = match.groups()
        if mark:
            return "&lt;" if mark == "<" else f"\\{mark}"
        ours = re.fullmatch(r"`[\w.]+`", kept) and not fenced[: match.start()].rstrip().lower().endswith("torch:")
        name = linked(kept.strip("`")) if ours else None
        return f"[{kept}][{name}]" if name else kept

    return LIST.sub(spaced, KEPT_OR_MARK.sub(replace, fenced))


def spaced(match: re.Match[str]) -> str:
    """A list as Markdown wants it: indented by four, an empty line before it, and before each item if one has any."""
    block = re.sub(r"^ {2}", " " * 4, match[0], flags=re.MULTILINE)
    return re.sub(r"^(?=[*-] )", "\n", block, count=0 if "\n\n" in block.strip() else 1, flags=re.MULTILINE)
