"""Which characters of a text did each token come from?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from minitx.text.words import utf8


class Span(NamedTuple):
    """One token and the characters `text[start:end]` it came from."""

    id: int
    start: int
    end: int


@dataclass(frozen=True)
class Encoding:
    """Ids, how each is spelt, and the (start, end) of its characters in the text; an added special has (0, 0)."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]


def byte_spans(text: str, start: int, space: int, ids: Sequence[int], lengths: Sequence[int]) -> list[Span]:
    """The spans of tokens that are `lengths` bytes long; a token that holds any byte of a character came from it.

    `text` begins at `start` of a longer text. `space` is 1 if a space was put before it, which counts as part of the
    first character. Of "é" in two tokens, a byte each, both came from the whole of it:

    >>> byte_spans("né", 0, 0, [110, 195, 169], [1, 1, 1])
    [Span(id=110, start=0, end=1), Span(id=195, start=1, end=2), Span(id=169, start=1, end=2)]
    """
    characters = [start] * space + [i for i, char in enumerate(text, start) for _ in utf8(char)]  # of each byte
    places = zip(ids, lengths, accumulate(lengths), strict=True)
    return [Span(id, characters[end - length], characters[end - 1] + 1) for id, length, end in places]


def trim(span: Span, spelling: str, keep_first_space: bool) -> Span:
    """Leave out the spaces at both ends of a token, spelt as U+0120 in byte-level BPE, as `tokenizers` does.

    With `keep_first_space`, a single space that begins the text stays.
    """
    spaced, (id, start, end) = spelling.replace("\u0120", " "), span
    before, after = len(spaced) - len(spaced.lstrip()), len(spaced) - len(spaced.rstrip())
    if before == 1 and start == 0 and keep_first_space:
        before = 0
    start = min(start + before, end)
    return Span(id, start, max(end - after, start) if end >= after else end)
