"""Tokens that are found whole in a text: special ones, which stand for no text, and words added to a vocabulary."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import regex

from minitx.errors import InputError
from minitx.system import brief
from minitx.text.words import WORD

# A vocabulary does not say which of its tokens pads, opens or closes a text; only the spelling tells. RoBERTa's names
# are tried first because MPNet's vocabulary holds BERT's as well, unused.
PAD_NAMES, CLS_NAMES, SEP_NAMES = ("<pad>", "[PAD]"), ("<s>", "[CLS]"), ("</s>", "[SEP]")
# White space as Unicode defines it; Python's strip() takes four control characters as well.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
OF_A_WORD = regex.compile(r"\w", regex.V1)


@dataclass(frozen=True)
class SpecialToken:
    """A token that is found whole in a text, and how.

    `lstrip`/`rstrip`: it includes the white space there. `single_word`: it is not found within a word. `normalized`: it
    is looked for in cleaned text, and only in what the tokens that are not have left.
    """

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


class SpecialTokens:
    """The tokens to be found in a text; of two that begin at the same place, the longer one.

    Args:
        special: those that stand for no text, which are found only where a call allows it.
        added: ordinary ones, added to the vocabulary, which are found always.
        clean: how text is cleaned before the second look at it, which is then left to the caller.
    """

    def __init__(
        self, special: Sequence[SpecialToken], added: Sequence[SpecialToken], clean: Callable[[str], str] | None = None
    ) -> None:
        self._special_ids = {token.id for token in special}
        first = {token.content: token for token in (*special, *added) if not token.normalized}
        self.second = {(clean or str)(token.content): token for token in (*special, *added) if token.normalized}
        if "" in self.second:
            raise InputError(f"nothing is left of the added token {brief(self.second[''].content)} by cleaning")
        self._looks = [(tokens, _any_of(tokens)) for tokens in (first, self.second)]
        self._last, self._any_added = int(clean is None), bool(added)

    def segments(self, text: str, allow_special: bool, look: int = 0) -> Iterator[tuple[str, int, SpecialToken | None]]:
        """Cut a text at the tokens in it: (segment, where it starts, the token or None).

        >>> specials = SpecialTokens([SpecialToken("[SEP]", 2)], [])
        >>> [(segment, at, token and token.id) for segment, at, token in specials.segments("one[SEP] two", True)]
        [('one', 0, None), ('[SEP]', 3, 2), (' two', 8, None)]
        """
        done = 0
        found = self._matches(text, look) if allow_special or self._any_added else ()
        for start, end, token in (*found, (len(text), len(text), None)):
            if token and token.id in self._special_ids and not allow_special:
                continue
            if token and token.lstrip:
                start = max(done, len(text[:start].rstrip(BLANKS)))
            if start > done and look < self._last:
                for segment, at, inner in self.segments(text[done:start], allow_special, look + 1):
                    yield segment, done + at, inner
            elif start > done:
                yield text[done:start], done, None
            if token:
                yield text[start:end], start, token
            done = end

    def _matches(self, text: str, look: int) -> Iterator[tuple[int, int, SpecialToken]]:
        tokens, pattern = self._looks[look]
        for match in pattern.finditer(text):
            token, (start, end) = tokens[match.group()], match.span()
            if not token.single_word or not (OF_A_WORD.match(text, end) or OF_A_WORD.match(text[:start][-1:])):
                yield start, len(text) - len(text[end:].lstrip(BLANKS)) if token.rstrip else end, token


def _any_of(spellings: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))) or r"(?!)")


def check_new_specials(names: Sequence[str]) -> None:
    """`InputError` for a name that is given twice, or could be learnt from text, which would let a text forge it."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"special token {name!r} is given twice")
        if len(WORD.findall(name)) < 2:
            raise InputError(f"special token {name!r} could be learnt as a word; enclose it in brackets, as [PAD]")
