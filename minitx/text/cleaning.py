"""Tokenizers that clean a text before they cut it: which of its characters did a token come from, all the same?"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import itemgetter

from minitx.text.offsets import Span
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import SpecialTokens
from minitx.text.tokenizer import Tokenizer
from minitx.text.unicode_versions import LATER_MARK, LATER_PAIR
from minitx.text.words import utf8

Aligned = list[tuple[str, int]]  # each character of a cleaned text, and the place of the one it came from


def follow(places: Sequence[int], changes: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The places of new characters, as `tokenizers` counts them from those of the old ones.

    A change of 0 replaces the next character, -n also removes n more after it, and 1 inserts. Of "a½c":

    >>> follow([0, 1, 2], [("a", 0), ("1", 0), ("⁄", 1), ("2", 1), ("c", 0)])
    [('a', 0), ('1', 1), ('⁄', 1), ('2', 1), ('c', 2)]
    """
    result, done = [], 0
    for char, change in changes:
        result.append((char, places[max(0, done - (change > 0))]))
        done += max(0, 1 - change)
    return result


def decompose(text: str) -> list[tuple[tuple[str, int], int]]:
    """Letters and marks apart (NFD), each with its change for `follow`, and its rank among the marks of the letter.

    >>> decompose("é")
    [(('e', 0), 0), (('́', 1), 230)]
    """
    apart = [char if LATER_PAIR.match(char) else unicodedata.normalize("NFD", char) for char in text]
    parts = [(part, int(k > 0)) for char in apart for k, part in enumerate(char)]
    ranks = [0 if LATER_MARK.match(part) else unicodedata.combining(part) for part, _ in parts]
    letters = accumulate(rank == 0 for rank in ranks)
    # The marks of a letter go into their canonical order, and so across the characters they came from.
    ordered = sorted(zip(letters, ranks, parts, strict=True), key=itemgetter(0, 1))
    return [(part, rank) for _, rank, part in ordered]


class CleaningTokenizer(Tokenizer):
    """A tokenizer that cleans text first. Added tokens that are `normalized` are looked for in cleaned text."""

    def __init__(self, spec: TokenizerSpec) -> None:
        super().__init__(spec)
        self._specials = SpecialTokens(spec.special_tokens, spec.added_tokens, self._clean)

    # What a subclass supplies.

    def _clean(self, text: str) -> str:
        raise NotImplementedError

    def _align(self, text: str, start: int) -> Aligned:
        """The cleaned text, whose characters came from `text`, which begins at `start` of a longer one."""
        raise NotImplementedError

    def _encode_text(self, text: str, start: int, allow_special: bool) -> list[int]:
        """Ids of a text that is not cleaned yet and holds no added token."""
        raise NotImplementedError

    def _cut(self, clean: str, firsts: int, allow_special: bool) -> Iterator[tuple[int, int, int]]:
        """(id, start, end) of the tokens of cleaned text, of which so many characters came from the text's first."""
        raise NotImplementedError

    def _encode_plain(self, text: str, start: int = 0, allow_special: bool = False) -> list[int]:
        if self._specials.second:
            found = self._specials.segments(self._clean(text), allow_special, look=1)
            if any(token for _, _, token in found):
                return [span.id for span in self._encode_spans(text, start, allow_special)]
        return self._encode_text(text, start, allow_special)

    def _encode_spans(self, text: str, start: int, allow_special: bool = False) -> list[Span]:
        utf8(text)
        chars, spans = self._align(text, start), list[Span]()
        clean = "".join(char for char, _ in chars)
        for piece, at, token in self._specials.segments(clean, allow_special, look=1):
            firsts = sum(place == 0 for _, place in chars[at : at + len(piece)])
            cut = [(token.id, 0, len(piece))] if token else self._cut(piece, firsts, allow_special)
            found = [Span(id, chars[at + begin][1], chars[at + end - 1][1] + 1) for id, begin, end in cut]
            spans += [self._trim(span, piece if token else self._tokens[span.id]) for span in found]
        return spans
