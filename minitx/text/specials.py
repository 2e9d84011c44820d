"""Special tokens: those that stand for no text, and where they are spelt out in a text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from minitx.errors import InputError
from minitx.text.words import WORD

# A vocabulary does not say which of its tokens pads, opens or closes a text; only the spelling tells. RoBERTa's names
# are tried first because MPNet's vocabulary holds BERT's as well, unused.
PAD_NAMES, CLS_NAMES, SEP_NAMES = ("<pad>", "[PAD]"), ("<s>", "[CLS]"), ("</s>", "[SEP]")


@dataclass(frozen=True)
class SpecialToken:
    """A token that stands for no text. `lstrip`/`rstrip`: when found in text, it includes the white space there."""

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


class SpecialTokens:
    """The special tokens of a vocabulary; of two that begin at the same place, the longer one is found."""

    def __init__(self, tokens: Iterable[SpecialToken]) -> None:
        self._tokens = {token.content: token for token in tokens}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def segments(self, text: str) -> Iterator[tuple[str, int, SpecialToken | None]]:
        """Cut a text at the special tokens in it: (segment, where it starts, the special token or None).

        >>> specials = SpecialTokens([SpecialToken("[SEP]", 2)])
        >>> [(segment, start, special and special.id) for segment, start, special in specials.segments("one[SEP] two")]
        [('one', 0, None), ('[SEP]', 3, 2), (' two', 8, None)]
        """
        done = 0
        for match in self._pattern.finditer(text):
            special, (start, end) = self._tokens[match.group()], match.span()
            if special.lstrip:
                start = max(done, len(text[:start].rstrip()))
            if special.rstrip:
                end = len(text) - len(text[end:].lstrip())
            if start > done:
                yield text[done:start], done, None
            yield text[start:end], start, special
            done = end
        if done < len(text):
            yield text[done:], done, None


def check_new_specials(names: Sequence[str]) -> None:
    """`InputError` for a name that is given twice, or could be learnt from text, which would let a text forge it."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"special token {name!r} is given twice")
        if len(WORD.findall(name)) < 2:
            raise InputError(f"special token {name!r} could be learnt as a word; enclose it in brackets, as [PAD]")
