"""What defines a tokenizer, whichever file it came from, and which definitions can be used."""

from dataclasses import dataclass, field
from typing import Any

from minitx.errors import InputError
from minitx.system import brief
from minitx.text.specials import SpecialToken
from minitx.text.words import BYTE_SYMBOLS

MAX_ID = 0x10FFFF  # a token is one character, chr(id), while words are merged


@dataclass
class TokenizerSpec:
    """All that defines a tokenizer."""

    model: str  # "BPE", "NFC BPE" (of composed text), "WordPiece" or "Unigram"
    vocab: dict[str, int]  # token -> id, special tokens included, no id twice
    special_tokens: list[SpecialToken] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)  # the special tokens before every text, for BERT ["[CLS]"]
    suffix: list[str] = field(default_factory=list)  # and after it, ["[SEP]"]
    # Two texts as one input: (special token or None for a text, token type). Empty: prefix, text, suffix, text, suffix.
    pair: list[tuple[str | None, int]] = field(default_factory=list)
    pad_token: str | None = None  # None: the one that is spelt "<pad>" or "[PAD]"
    added_tokens: list[SpecialToken] = field(default_factory=list)  # ordinary ones that are found whole, too
    # BPE only.
    merges: list[tuple[str, str]] = field(default_factory=list)  # pairs of tokens to join, in the order learnt
    add_prefix_space: bool = False  # give the first word of a text a space too
    trim_offsets: bool = False  # leave white space out of the offsets ...
    keep_first_space: bool = False  # ... but not the first one of the text
    # Unigram only.
    scores: dict[str, float] = field(default_factory=dict)  # piece -> the logarithm of its probability
    byte_fallback: bool = False  # spell what is unknown by bytes
    normalizer: dict[str, Any] | None = None  # how text is cleaned, as in tokenizer.json
    split_blanks: bool = True  # white space ends a word, and is dropped
    split_spaces: bool = True  # a word goes no further than the next space
    prepend_scheme: str = "always"  # which words get a space before them: "always", "first" or "never"
    # WordPiece only, but for unk_token. clean_text, split_chinese, strip_accents, lowercase are how BERT cleans text.
    unk_token: str = "[UNK]"
    subword_prefix: str = "##"
    max_word_length: int = 100
    clean_text: bool = True
    split_chinese: bool = True
    strip_accents: bool = True
    lowercase: bool = True
    cleanup: bool = True  # decode "ok ." as "ok."
    source: str = field(default="this tokenizer", compare=False, repr=False)  # the file, for messages

    def pair_template(self) -> list[tuple[str | None, int]]:
        """`pair`, or what stands for it if it is empty: BERT's way."""
        ends = [(token, 1) for token in self.suffix]
        return self.pair or [*((token, 0) for token in (*self.prefix, None, *self.suffix)), (None, 1), *ends]

    def check(self) -> None:
        """`InputError` for a token that is needed and missing, or merges that cannot be replayed."""
        for token in [*self.prefix, *self.suffix, *filter(None, [self.pad_token])]:
            if token not in self.vocab:
                raise InputError(f"{self.source}: the special token {brief(token)} is not in the vocabulary")
        if self.model in ("BPE", "NFC BPE"):
            self._check_merges()
        elif self.unk_token not in self.vocab:
            raise InputError(f"{self.source}: the vocabulary lacks {self.unk_token!r:.60}, the token for unknown words")

    def _check_merges(self) -> None:
        """Encoding applies a merge everywhere at once and never returns to an earlier one.

        That is right if each token is made only once, and from bytes or from tokens made before. Learnt merges are so;
        a file is held to it.
        """
        for symbol in BYTE_SYMBOLS:
            if symbol not in self.vocab:
                needs = "byte-level BPE needs a token for each of the 256 bytes"
                raise InputError(f"{self.source}: the vocabulary lacks {symbol!r}; {needs}")
        specials, made = {special.content for special in self.special_tokens}, set(BYTE_SYMBOLS)
        for rank, (left, right) in enumerate(self.merges):
            where, new = f"{self.source}: merge {rank}, {left!r:.60} + {right!r:.60}", left + right
            if new not in self.vocab:
                raise InputError(f"{where}: the result is not in the vocabulary")
            if left not in made or right not in made:
                raise InputError(f"{where}: it joins a token that is neither a byte nor made by an earlier merge")
            if new in made or new in specials:
                raise InputError(f"{where}: the result is a special token or made by an earlier merge already")
            made.add(new)


# What the readers of files check, whose values may be anything.


def check_vocab(vocab: dict[str, Any], where: str) -> dict[str, int]:
    """The vocabulary itself: at least one token, ids that are small whole numbers, none of them twice."""
    if not vocab:
        raise InputError(f"{where}: the vocabulary is empty")
    owners: dict[int, str] = {}
    for token, id in vocab.items():
        if type(id) is not int or not 0 <= id <= MAX_ID:
            raise InputError(f"{where}: {token!r:.60} has the id {brief(id)}; ids are whole numbers from 0 to {MAX_ID}")
        if owners.setdefault(id, token) != token:
            raise InputError(f"{where}: the id {id} is given to both {brief(owners[id])} and {brief(token)}")
        if any("\ud800" <= char <= "\udfff" for char in token):  # JSON can spell it, as an escape; nothing else can
            raise InputError(f"{where}: the token {token!r:.60} holds half of a surrogate pair, which is no UTF-8")
    return vocab


def check_merges(merges: list[Any], where: str) -> list[tuple[str, str]]:
    """Pairs of tokens, from either notation: ["a", "b"], or "a b" as written before tokenizers 0.20."""
    pairs = []
    for rank, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(token, str) for token in pair):
            raise InputError(f'{where}: merge {rank} is {brief(merge)}; a merge is ["a", "b"] or "a b"')
        pairs.append((pair[0], pair[1]))
    return pairs
