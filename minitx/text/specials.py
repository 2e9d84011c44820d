"""Tokens that are found whole in a text: special ones, which stand for no text, and words added to a vocabulary."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Finder:
    """Finds tokens by their spelling; of two that begin at the same place, the longer one."""

    def __init__(self, tokens: Mapping[str, SpecialToken], special_ids: set[int]) -> None:
        if "" in tokens:
            raise InputError(f"nothing is left of the added token {brief(tokens[''].content)} when text is cleaned")
        self.tokens, self._special_ids = tokens, special_ids
        self._any_ordinary = any(token.id not in special_ids for token in tokens.values())
        self._pattern = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")

    def segments(self, text: str, allow_special: bool = True) -> Iterator[tuple[str, int, SpecialToken | None]]:
        """Cut a text at the tokens in it: (segment, where it starts, the token or None).

        >>> finder = Finder({"[SEP]": SpecialToken("[SEP]", 2)}, {2})
        >>> [(segment, start, token and token.id) for segment, start, token in finder.segments("one[SEP] two")]
        [('one', 0, None), ('[SEP]', 3, 2), (' two', 8, None)]
        """
        done = 0
        for match in self._pattern.finditer(text) if allow_special or self._any_ordinary else ():
            token, (start, end) = self.tokens[match.group()], match.span()
            beside = OF_A_WORD.match(text, end) or (start and OF_A_WORD.match(text, start - 1))
            if (token.single_word and beside) or (token.id in self._special_ids and not allow_special):
                continue
            if token.lstrip:
                start = max(done, len(text[:start].rstrip(BLANKS)))
            if token.rstrip:
                end = len(text) - len(text[end:].lstrip(BLANKS))
            if start > done:
                yield text[done:start], done, None
            yield text[start:end], start, token
            done = end
        if done < len(text):
            yield text[done:], done, None


class SpecialTokens:
    """The tokens to be found in a text: before it is cleaned, then in what these have left.

    Args:
        special: those that stand for no text, which are found only where a call allows it.
        added: ordinary ones, added to the vocabulary, which are found always.
        clean: how the text is cleaned in between; what is then to be found, `self.after`, is left to the caller.
    """

    def __init__(
        self,
        special: Sequence[SpecialToken],
        added: Sequence[SpecialToken] = (),
        clean: Callable[[str], str] | None = None,
    ) -> None:
        ids = {token.id for token in special}
        self._before = Finder({token.content: token for token in (*special, *added) if not token.normalized}, ids)
        spell = clean or str
        self.after = Finder({spell(token.content): token for token in (*special, *added) if token.normalized}, ids)
        self._cleans = clean is not None

    def segments(self, text: str, allow_special: bool) -> Iterator[tuple[str, int, SpecialToken | None]]:
        """As `Finder.segments`."""
        for segment, start, token in self._before.segments(text, allow_special):
            if token or self._cleans:
                yield segment, start, token
                continue
            for inner, at, found in self.after.segments(segment, allow_special):
                yield inner, start + at, found


def check_new_specials(names: Sequence[str]) -> None:
    """`InputError` for a name that is given twice, or could be learnt from text, which would let a text forge it."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"special token {name!r} is given twice")
        if len(WORD.findall(name)) < 2:
            raise InputError(f"special token {name!r} could be learnt as a word; enclose it in brackets, as [PAD]")
