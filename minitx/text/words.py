"""What is a word, and how does it become bytes? The first step of byte-level BPE, as GPT-2 takes it."""

import re
from collections import Counter
from collections.abc import Iterable

from minitx.errors import InputError
from minitx.text.unicode_versions import compile_unicode_16

# The split of GPT-2: English endings, then a run of letters, of digits or of other signs, each with at most one space
# before it, then white space, which leaves its last space to the word that follows.
WORD = compile_unicode_16(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

# Under that split a space before a visible character always begins a word: the character takes the space with it, and
# nothing earlier can reach across. So a text may be cut there into chunks of one word or more, and each looked up in a
# dictionary; the pattern, many times slower, sees a chunk only when it is new. `str.split` is the fastest way to cut,
# but it also cuts between two white spaces, where the pattern does not: _RUN finds the texts that have such a place,
# and these are cut by _CUT.
_RUN = re.compile(r" (?!\S)(?<=\s )")
_CUT = re.compile(r" (?=\S)")


def chunks(text: str) -> list[str]:
    """Cut before the spaces that begin a word, and drop them: each chunk but the first stands for " " + chunk.

    >>> chunks("it's so   good!")
    ["it's", 'so  ', 'good!']
    """
    return _CUT.split(text) if _RUN.search(text) else text.split(" ")


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs.

    >>> count_words(["no, no no"])
    Counter({' no': 2, 'no': 1, ',': 1})
    """
    firsts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for text in texts:
        first, *rest = chunks(text)
        firsts[first] += 1
        others.update(rest)
    words: Counter[str] = Counter()
    for space, counts in (("", firsts), (" ", others)):
        for chunk, count in counts.items():
            for word in WORD.findall(space + chunk):
                words[word] += count
    return words


def _byte_symbols() -> list[str]:
    """GPT-2's spelling of each byte as a visible character, so that tokens can be written to a file and read there.

    Printable Latin-1 characters stand for themselves; the other 68 bytes take the characters from U+0100 on, which is
    why a space is spelt as a G with a dot above (U+0120).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(stand_ins)) for byte in range(256)]


BYTE_SYMBOLS = _byte_symbols()
SYMBOL_BYTES = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}


def utf8(text: str) -> bytes:
    """The bytes of a text; an InputError if it holds half of a surrogate pair, which UTF-8 cannot write."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        found = f"U+{ord(text[error.start]):04X}"
        raise InputError(f"a text holds {found}, half of a surrogate pair; accepted is what UTF-8 can write") from None


def to_symbols(word: str, byte_table: str) -> str:
    """The bytes of a word, each as its character in `byte_table`, a string of 256 characters."""
    return utf8(word).decode("latin-1").translate(byte_table)
