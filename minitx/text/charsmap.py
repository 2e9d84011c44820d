"""How SentencePiece cleans text: by a table of characters to be replaced, stored as a trie, and by patterns.

`tokenizers` calls these steps normalizers. Each is called with a text; its `align` does the same to a text that
remembers where its characters came from.
"""

import base64
import re
import struct
from functools import lru_cache

import regex

from minitx.errors import InputError
from minitx.system import Fields, brief
from minitx.text.cleaning import Aligned, follow
from minitx.text.specials import BLANKS

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
        self._lookup = lru_cache(1 << 16)(self._search)
        self._chunk = lru_cache(1 << 16)(self._replace)
        self._by_chunks = self._lookup(" ") is None

    def _search(self, part: str) -> str | None:
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

    def _changes(self, text: str) -> list[tuple[str, int]]:
        """The new characters, each with its change, as `follow` takes them.

        A grapheme of a few bytes is looked up whole, else character by character, and a removal before the first
        character is forgotten: so does `tokenizers`, after SentencePiece.
        """
        changes: list[tuple[str, int]] = []
        for grapheme in GRAPHEME.findall(text):
            whole = len(grapheme.encode()) < 6 and self._lookup(grapheme) is not None
            for part in [grapheme] if whole else grapheme:
                new = self._lookup(part)
                changes += [(char, int(i >= len(part))) for i, char in enumerate(part if new is None else new)]
                if new is not None and len(new) < len(part) and changes:
                    changes[-1] = changes[-1][0], changes[-1][1] + len(new) - len(part)
        return changes

    def _replace(self, text: str) -> str:
        return "".join([char for char, _ in self._changes(text)])

    def __call__(self, text: str) -> str:
        """The text with replacements. What stands between spaces is kept to be looked up: text repeats itself."""
        if not self._by_chunks or JOINED_SPACE.search(text):
            return self._replace(text)
        return " ".join(map(self._chunk, text.split(" ")))

    def align(self, chars: Aligned) -> Aligned:
        """As the call, of characters with their places."""
        return follow(chars, self._changes("".join([char for char, _, _ in chars])))


def _following(unit: int) -> int:
    return unit >> 10 << (unit >> 6 & 8)


class Replace:
    """Puts a text in place of what a pattern finds; its characters all came from the last of those."""

    def __init__(self, pattern: str, content: str) -> None:
        self._pattern, self._content = re.compile(pattern), content

    def __call__(self, text: str) -> str:
        """The text with replacements."""
        return self._pattern.sub(lambda match: self._content, text)

    def align(self, chars: Aligned) -> Aligned:
        """As the call, of characters with their places."""
        result, done = Aligned(), 0
        for match in self._pattern.finditer("".join([char for char, _, _ in chars])):
            result += chars[done : match.start()] + [(char, *chars[match.end() - 1][1:]) for char in self._content]
            done = match.end()
        return result + chars[done:]


def read_steps(normalizer: Fields) -> list[Charsmap | Replace]:
    """The steps of a normalizer of tokenizer.json; an InputError for what is damaged or not implemented."""
    kind = normalizer.choose("type", None, "Sequence", "Precompiled", "Strip", "Replace")
    if kind == "Sequence":
        return [step for part in normalizer.each("normalizers") for step in read_steps(part)]
    if kind == "Precompiled":
        try:
            return [Charsmap(base64.b64decode(normalizer.get("precompiled_charsmap", str), validate=True))]
        except (ValueError, struct.error) as error:
            raise InputError(f"{normalizer.where}: precompiled_charsmap is damaged: {error}") from None
    if kind == "Strip":
        sides = {"strip_left": rf"\A[{BLANKS}]+", "strip_right": rf"[{BLANKS}]+\Z"}
        return [Replace(pattern, "") for side, pattern in sides.items() if normalizer.get(side, bool)]
    if kind == "Replace":
        pattern = normalizer.within("pattern")
        found = pattern.choose("Regex", None, " {2,}") or re.escape(pattern.get("String", str))
        if not found:
            raise InputError(f"{normalizer.where}: pattern {brief(pattern.data)} finds nothing")
        return [Replace(found, normalizer.get("content", str))]
    return []
