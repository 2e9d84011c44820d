"""Unigram: the tokens of XLM-R, multilingual E5 and their like, cut so that the pieces are the most probable ones.

Each piece of the vocabulary has a score, the logarithm of its probability. Of all the ways to cut a word into pieces,
that with the largest sum of scores is taken. Viterbi's algorithm finds it in one pass: the best cut up to a place ends
with some piece, and before that piece comes the best cut up to where it begins.

>>> scores = {"<unk>": 0.0, "▁": -2.0, "▁un": -3.0, "able": -4.0, "a": -3.0, "b": -3.0, "le": -3.0}
>>> spec = TokenizerSpec("Unigram", {piece: id for id, piece in enumerate(scores)}, scores=scores, unk_token="<unk>")
>>> print(*UnigramTokenizer(spec).explain("unable unxa"), sep="\\n")
'▁unable' -> 2 3
  ▁un|able
'▁unxa' -> 2 0 4
  ▁un|x|a

A space is spelt "▁" and belongs to the word that follows it. A character that no piece has scores 10 less than the
worst piece; several in a row become one token, the unknown one, or bytes if the vocabulary has them.

Sources: Kudo 2018, "Subword regularization"; Kudo & Richardson 2018 (SentencePiece). A vocabulary is used here, not
learnt. Ids equal those of `tokenizers` with `models.Unigram` and the `Metaspace` pre-tokenizer.
"""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import regex

from minitx.system import Fields
from minitx.text.charsmap import JOINED_SPACE, Charsmap, read_steps
from minitx.text.cleaning import Aligned, CleaningTokenizer
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import BLANKS
from minitx.text.tokenizer import Memo
from minitx.text.words import utf8

SPACE, UNKNOWN_PENALTY = "▁", 10.0
ALL, WORD, PART = map(regex.compile, ("(?s).+", rf"[^{BLANKS}]+", rf"{SPACE}?[^{SPACE}]+|{SPACE}"))


class UnigramTokenizer(CleaningTokenizer):
    """The most probable pieces of a given vocabulary; made by `load` or `minitx.text.load.load_tokenizer`."""

    model = "Unigram"

    def __init__(self, spec: TokenizerSpec) -> None:
        self._steps = read_steps(Fields(spec.normalizer or {}, f"{spec.source}: normalizer"))
        super().__init__(spec)
        pieces = {piece: (score, spec.vocab[piece]) for piece, score in spec.scores.items()}
        # A special token that is spelt out is not found as a piece either, unless a call allows it.
        ordinary = {piece: found for piece, found in pieces.items() if found[1] not in self._special_ids}
        self._pieces = {True: pieces, False: ordinary}
        self._unknown = min(spec.scores.values()) - UNKNOWN_PENALTY, spec.vocab[spec.unk_token]
        self._longest = max(map(len, pieces))
        self._chunks = {allow: Memo(partial(self._encode_chunk, allow_special=allow)) for allow in (True, False)}
        table_alone = all(isinstance(step, Charsmap) and step.lookup(" ") is None for step in self._steps)
        self._by_chunks = table_alone and spec.split_blanks and spec.prepend_scheme != "first"

    def __reduce__(self) -> Any:  # for pickle and copy: what makes it fast is made anew
        return type(self), (self.spec,), {"allow_special": self.allow_special}

    def _clean(self, text: str) -> str:
        for step in self._steps:
            text = "".join([char for char, _ in step(text)])
        return text

    def _align(self, text: str, start: int) -> Aligned:
        chars = [(char, i) for i, char in enumerate(text, start)]
        for step in self._steps:
            chars = [(new, chars[place][1]) for new, place in step("".join([char for char, _ in chars]))]
        return chars

    def _encode_text(self, text: str, start: int, allow_special: bool) -> list[int]:
        if self.spec.prepend_scheme == "first":  # whether a word is the first, only the places can tell
            return [span.id for span in self._encode_spans(text, start, allow_special)]
        # Where a space always ends a word and what cleaning does, each chunk between spaces is worked out only once.
        chunks = text.split(" ") if self._by_chunks and not JOINED_SPACE.search(text) else [text]
        return [*chain.from_iterable(map(self._chunks[allow_special].__getitem__, chunks))]

    def _encode_chunk(self, chunk: str, allow_special: bool) -> list[int]:
        utf8(chunk)
        return [id for id, _, _ in self._cut(self._clean(chunk), 0, allow_special)]

    def _split(self, clean: str, firsts: int) -> Iterator[tuple[int, int, str]]:
        """(where the word begins, where the part does, the part): words, cut again before each space."""
        scheme = self.spec.prepend_scheme
        for match in (WORD if self.spec.split_blanks else ALL).finditer(clean):
            word, begin = match.group().replace(" ", SPACE), match.start()
            added = word[0] != SPACE and (scheme == "always" or (scheme == "first" and begin < firsts))
            for part in (PART if self.spec.split_spaces else ALL).finditer(SPACE * added + word):
                yield begin, begin + part.start() - added, part.group()

    def _cut(self, clean: str, firsts: int, allow_special: bool) -> Iterator[tuple[int, int, int]]:
        for begin, place, part in self._split(clean, firsts):
            for id, start, end in self._best(part, allow_special):  # a space that was put before came from what follows
                yield id, max(place + start, begin), max(place + end, begin + 1)

    def _best(self, part: str, allow_special: bool) -> list[tuple[int, int, int]]:
        """(id, start, end) of the pieces whose scores have the largest sum."""
        pieces, unknown = self._pieces[allow_special], self._unknown
        # Up to each place: the sum, and the last piece's id and start.
        best = [(0.0, 0, 0), *[(-float("inf"), 0, 0)] * len(part)]
        for start in range(len(part)):
            so_far = best[start][0]
            for end in range(start + 1, min(len(part), start + self._longest) + 1):
                found = pieces.get(part[start:end], unknown if end == start + 1 else None)
                if found and found[0] + so_far > best[end][0]:
                    best[end] = (found[0] + so_far, found[1], start)
        cut: list[tuple[int, int, int]] = []
        end = len(part)
        while end:
            _, id, start = best[end]
            last = cut.pop()[2] if cut and cut[-1][0] == id == unknown[1] else end
            cut.append((id, start, last))
            end = start
        return [token for piece in reversed(cut) for token in self._spell(part, *piece)]

    def _spell(self, part: str, id: int, start: int, end: int) -> list[tuple[int, int, int]]:
        """A piece; of an unknown one its bytes, if the vocabulary has them all."""
        ids = [id]
        if id == self._unknown[1] and self.spec.byte_fallback and part[start:end] != self.spec.unk_token:
            spelt = [self.spec.vocab.get(f"<0x{byte:02X}>", -1) for byte in part[start:end].encode()]
            ids = ids if -1 in spelt else spelt
        return [(id, start, end) for id in ids]

    def explain(self, text: str) -> list[str]:
        """For each word its ids, then its pieces."""
        lines = []
        for _, _, part in self._split(self._clean(text), firsts=1):
            cut = self._best(part, self.allow_special)
            lines.append(f"{part!r} -> {' '.join(str(id) for id, _, _ in cut)}")
            lines.append("  " + "|".join(part[start:end] for _, start, end in cut))
        return lines

    def _join(self, ids: list[int]) -> str:
        tokens = [self._tokens[id] for id in ids]
        if self.spec.prepend_scheme != "never":
            tokens[:1] = [token.replace(SPACE, "") for token in tokens[:1]]
        return "".join(tokens).replace(SPACE, " ")
