"""WordPiece: the tokens of BERT, DistilBERT, MiniLM and MPNet, cut by a vocabulary that is given, not learned here.

Where `bpe` replays merges, WordPiece looks for the longest token that begins the word, then the longest that goes on
from there, and so on. A token within a word is spelt with "##" before it. When nothing fits, the word becomes [UNK].

>>> vocab = {token: id for id, token in enumerate(["[UNK]", "un", "##aff", "##able", "##a", "!"])}
>>> tokenizer = WordPieceTokenizer(TokenizerSpec("WordPiece", vocab))
>>> print(*tokenizer.explain("Unaffable! Xyz"), sep="\\n")
'unaffable' -> 1 2 3
  un|affable    'un' is the longest known beginning
  un|aff|able   'aff' is the longest known continuation
  un|aff|able   'able' is the longest known continuation
'!' -> 5
  !   '!' is the longest known beginning
'xyz' -> 0
  no tokens make up 'xyz': the whole word is [UNK]

Before that, text is cleaned as BERT's authors did: control characters dropped, Chinese characters set apart, accents
stripped, capitals lowered, punctuation cut off; so decoding does not give back the text exactly.

Sources: Schuster & Nakajima 2012, "Japanese and Korean voice search" (the vocabulary); Devlin et al. 2019 (BERT).
Ids equal those of `tokenizers` with `BertNormalizer`, `BertPreTokenizer` and `models.WordPiece`.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain

import regex

from minitx.text.cleaning import Aligned, CleaningTokenizer, decompose, follow
from minitx.text.spec import TokenizerSpec
from minitx.text.tokenizer import Memo
from minitx.text.unicode_versions import ACCENT, CONTROL, LATER_MARK, PUNCTUATION
from minitx.text.words import utf8

WORD = regex.compile(rf"{PUNCTUATION}|[^\s{PUNCTUATION}]+", regex.V1)
CHINESE = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf"
    "\U0002f800-\U0002fa1f])"
)
GLUED = re.compile(r" (?=[.?!,]|n't|'m|'s|'ve|'re)")  # decoding puts no space before these


class WordPieceTokenizer(CleaningTokenizer):
    """Longest-match tokens for a given vocabulary; made by `load` or `minitx.text.load.load_tokenizer`."""

    model = "WordPiece"

    def __init__(self, spec: TokenizerSpec) -> None:
        super().__init__(spec)
        self._unknown = [spec.vocab[spec.unk_token]]
        # Two dictionaries, so that matching within a word need not put "##" before every candidate.
        mark = spec.subword_prefix
        self._beginnings = spec.vocab
        self._continuations = {token[len(mark) :]: id for token, id in spec.vocab.items() if token.startswith(mark)}
        self._longest = max(map(len, spec.vocab))
        self._words = Memo(self._encode_word)
        self._chunks = Memo(self._encode_chunk)

    def _encode_text(self, text: str, start: int, allow_special: bool) -> list[int]:
        # A space always ends a word, and nothing that cleaning does looks beyond it: each chunk between spaces is
        # cleaned and cut only once, and most of a text is dictionary look-ups.
        return [*chain.from_iterable(map(self._chunks.__getitem__, text.split(" ")))]

    def _encode_chunk(self, chunk: str) -> list[int]:
        utf8(chunk)
        return [*chain.from_iterable(map(self._words.__getitem__, WORD.findall(self._clean(chunk))))]

    def _clean(self, text: str) -> str:
        if LATER_MARK.search(text):  # Python would order it with the others
            return "".join([char for char, _ in self._align(text, 0)])
        return self._fold(self._space(text))

    def _space(self, text: str) -> str:
        if self.spec.clean_text:
            text = CONTROL.sub("", text)
        return CHINESE.sub(r" \1 ", text) if self.spec.split_chinese and not text.isascii() else text

    def _fold(self, text: str) -> str:
        if self.spec.strip_accents and not text.isascii():  # an accented letter, decomposed, is a letter and an accent
            text = ACCENT.sub("", unicodedata.normalize("NFD", text))
        # Python lowers a sigma that ends a word to another letter than one within; BERT does not look around.
        return text.replace("Σ", "σ").lower() if self.spec.lowercase else text

    def _encode_word(self, word: str) -> list[int]:
        if len(word) > self.spec.max_word_length:
            return self._unknown
        ids: list[int] = []
        start, vocab = 0, self._beginnings
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if (id := vocab.get(word[start:end])) is not None:
                    break
            else:
                return self._unknown
            ids.append(id)
            start, vocab = end, self._continuations
        return ids

    def _align(self, text: str, start: int) -> Aligned:
        chars = [(char, i) for i, original in enumerate(text, start) for char in self._space(original)]
        if self.spec.strip_accents and not text.isascii():
            apart = decompose("".join([char for char, _ in chars]))
            chars = follow([place for _, place in chars], [part for part, _ in apart])
        return [(folded, place) for char, place in chars for folded in self._fold(char)]

    def _cut(self, clean: str, firsts: int, allow_special: bool) -> Iterator[tuple[int, int, int]]:
        for match in WORD.finditer(clean):
            ids, done = self._words[match.group()], match.start()
            for i, id in enumerate(ids):
                end = match.end() if ids == self._unknown else done + len(self._spelling(id, i == 0))
                yield id, done, end
                done = end

    def _spelling(self, id: int, first: bool) -> str:
        return self._tokens[id] if first else self._tokens[id][len(self.spec.subword_prefix) :]

    def explain(self, text: str) -> list[str]:
        """For each word its ids, then one line for each token that was matched, from left to right."""
        lines = []
        for word in WORD.findall(self._clean(text)):
            ids = self._words[word]
            lines.append(f"{word!r} -> {' '.join(map(str, ids))}")
            if ids == self._unknown:
                lines.append(f"  no tokens make up {word!r}: the whole word is {self.spec.unk_token}")
                continue
            tokens = [self._spelling(id, i == 0) for i, id in enumerate(ids)]
            for i, token in enumerate(tokens):
                row = "|".join(filter(None, [*tokens[: i + 1], "".join(tokens[i + 1 :])]))
                what = "continuation" if i else "beginning"
                lines.append(f"  {row:{len(word) + len(tokens) - 1}}   {token!r} is the longest known {what}")
        return lines

    def _join(self, ids: list[int]) -> str:
        words = []
        for i, id in enumerate(ids):
            inside = i > 0 and self._tokens[id].startswith(self.spec.subword_prefix)
            words.append(" " * (i > 0 and not inside) + self._spelling(id, not inside))
        return "".join(GLUED.sub("", word) if self.spec.cleanup else word for word in words)
