"""Byte-level BPE of composed text (NFC), as ModernBERT has it: "e" and an accent become "é" before anything is cut.

>>> from minitx.text.spec import TokenizerSpec
>>> from minitx.text.words import BYTE_SYMBOLS
>>> spec = TokenizerSpec("NFC BPE", {symbol: id for id, symbol in enumerate(BYTE_SYMBOLS)})
>>> tokenizer = ComposingBPETokenizer(spec)
>>> tokenizer.encode("e\u0301") == tokenizer.encode("é")
True

Ids and offsets equal those of `tokenizers` with the `NFC` normalizer, which knows the marks of Unicode 9.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain

from minitx.text.bpe import BPETokenizer
from minitx.text.cleaning import Aligned, CleaningTokenizer, decompose, follow
from minitx.text.offsets import byte_spans
from minitx.text.unicode_versions import LATER_PAIR


def compose(parts: Iterable[tuple[tuple[str, int], int]]) -> list[tuple[str, int]]:
    """What `decompose` returns, put together again: each character with its change for `follow`.

    A mark joins the last letter unless one that has not joined it, of the same rank or a higher one, is between them.

    >>> compose(decompose("xe\u0301"))
    [('x', 0), ('é', -1)]
    """
    result, letter, highest = list[tuple[str, int]](), -1, -1
    for (char, change), rank in parts:
        if letter >= 0 and highest < rank:
            joined = unicodedata.normalize("NFC", result[letter][0] + char)
            if len(joined) == 1 and not LATER_PAIR.match(joined):
                result[letter] = joined, result[letter][1] + change - 1
                continue
        result.append((char, change))
        letter, highest = (len(result) - 1, -1) if rank == 0 else (letter, rank)
    return result


class ComposingBPETokenizer(CleaningTokenizer, BPETokenizer):
    """`BPETokenizer` of composed text; made by `load` or `minitx.text.load.load_tokenizer`."""

    model = "NFC BPE"

    def _clean(self, text: str) -> str:
        # By newer tables, too: what they add only joins and moves more.
        return text if unicodedata.is_normalized("NFC", text) else "".join([char for char, _ in self._align(text, 0)])

    def _align(self, text: str, start: int) -> Aligned:
        places = range(start, start + len(text))
        normal = unicodedata.is_normalized("NFC", text)
        return [*zip(text, places, strict=True)] if normal else follow(places, compose(decompose(text)))

    def _encode_plain(self, text: str, start: int = 0, allow_special: bool = False) -> list[int]:
        found = self._specials.segments(self._clean(text), allow_special, look=1)
        plain = super(CleaningTokenizer, self)._encode_plain
        return [*chain.from_iterable([token.id] if token else plain(piece) for piece, _, token in found)]

    def _cut(self, clean: str, firsts: int, allow_special: bool) -> Iterator[tuple[int, int, int]]:
        ids = super(CleaningTokenizer, self)._encode_plain(clean)
        yield from byte_spans(clean, 0, len(self._first_space(clean)), ids, [len(self._bytes[id]) for id in ids])

    def explain(self, text: str) -> list[str]:
        """As of `BPETokenizer`, of the composed text."""
        return super().explain(self._clean(text))
