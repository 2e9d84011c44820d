"""How SentencePiece cleans text: by a table of characters to be replaced, stored as a trie, and by patterns.

`tokenizers` calls these steps normalizers. A step gets a text and returns the new characters, each with the place of
the character of the text that it came from.
"""

import base64
import re
import struct
from collections.abc import Callable
from functools import lru_cache

import regex

from minitx.errors import InputError
from minitx.system import Fields
from minitx.text.cleaning import follow
from minitx.text.specials import BLANKS

Step = Callable[[str], list[tuple[str, int]]]
GRAPHEME = regex.compile(r"\X")
# A space that is one character to the eye together with its neighbour.
JOINED_SPACE = regex.compile(r" [\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]|\p{GCB=Prepend} ")


class Charsmap:
    """SentencePiece's table: a "double array" of 32-bit units, which is a trie over UTF-8, and the replacements.

    A unit says by which byte it is reached, where those that follow it begin, and whether a replacement ends there; the
    unit at that place then holds where it stands in the text behind the array.
    """

    def __init__(self, data: bytes) -> None:
        count = int.from_bytes(data[:4], "little") // 4
        self._units = struct.unpack_from(f"<{count}I", data, 4)
        self._texts = data[4 + 4 * count :]
        self._texts.decode()
        self.lookup = lru_cache(1 << 16)(self._lookup)
        self.lookup(" ")

    def _lookup(self, part: str) -> str | None:
        """The replacement of the shortest beginning of `part` that has one."""
        place = _following(self._units[0])
        for byte in part.encode():
            place ^= byte
            unit = self._units[place] if place < len(self._units) else 0
            if not byte or unit & 0x800000FF != byte:
                return None
            place ^= _following(unit)
            if unit >> 8 & 1:
                start = self._units[place] & 0x7FFFFFFF
                return self._texts[start:].split(b"\0", 1)[0].decode()
        return None

    def __call__(self, text: str) -> list[tuple[str, int]]:
        """The step: a grapheme of a few bytes is looked up whole, else character by character.

        A removal before the first character is not counted: so does `tokenizers`, after SentencePiece.
        """
        changes: list[tuple[str, int]] = []
        for grapheme in GRAPHEME.findall(text):
            whole = len(grapheme.encode()) < 6 and self.lookup(grapheme) is not None
            for part in [grapheme] if whole else grapheme:
                new = self.lookup(part)
                changes += [(char, int(i >= len(part))) for i, char in enumerate(part if new is None else new)]
                if new is not None and len(new) < len(part) and changes:
                    changes[-1] = changes[-1][0], changes[-1][1] + len(new) - len(part)
        return follow(range(len(text)), changes)


def _following(unit: int) -> int:
    return unit >> 10 << (unit >> 6 & 8)


def replacement(pattern: str, content: str) -> Step:
    """The step that puts `content` in place of what a pattern finds, as if all of it came from the last character."""

    def step(text: str) -> list[tuple[str, int]]:
        result, done = list[tuple[str, int]](), 0
        for match in (*re.finditer(pattern, text), None):
            start, end = match.span() if match else (len(text), len(text))
            result += [*zip(text[done:start], range(done, start), strict=True)]
            result += [(char, end - 1) for char in content if match]
            done = end
        return result

    return step


def read_steps(normalizer: Fields) -> list[Step]:
    """The steps of a normalizer of tokenizer.json; an InputError for what is damaged or not implemented."""
    kind = normalizer.choose("type", None, "Sequence", "Precompiled", "Strip", "Replace")
    if kind == "Sequence":
        return [step for part in normalizer.each("normalizers") for step in read_steps(part)]
    if kind == "Precompiled":
        try:
            return [Charsmap(base64.b64decode(normalizer.get("precompiled_charsmap", str), validate=True))]
        except (ValueError, IndexError, struct.error) as error:
            raise InputError(f"{normalizer.where}: precompiled_charsmap is damaged: {error}") from None
    if kind == "Strip":
        sides = {"strip_left": rf"\A[{BLANKS}]+", "strip_right": rf"[{BLANKS}]+\Z"}
        return [replacement(pattern, "") for side, pattern in sides.items() if normalizer.get(side, bool)]
    if kind == "Replace":
        pattern = normalizer.within("pattern")
        found = pattern.choose("Regex", None, " {2,}") or re.escape(pattern.get("String", str))
        if found:
            return [replacement(found, normalizer.get("content", str))]
        raise InputError(f"{pattern.where}: String is empty; accepted is what can be found")
    return []
