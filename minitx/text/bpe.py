"""Byte-level byte-pair encoding: learn a vocabulary from text, and cut text into its tokens.

Start with the 256 bytes. Again and again, join the two neighbouring tokens that are seen together most often into one
new token, until the vocabulary is full. To cut a new text, replay those merges in the order they were learnt. As every
string is bytes, no text is ever unknown, and decoding gives back exactly what went in.

Five words, seen 5, 2, 6, 3 and 1 times; the first merges can be checked by hand ("es" is in newest and widest, 9 times):

>>> words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
>>> tokenizer = BPETokenizer.train(words, vocab_size=256 + 4, special_tokens=())
>>> print(*tokenizer.explain("lowest"), sep="\\n")
'lowest' -> 259 257
  l o w e s t
  l o w es t    merge 0: e + s = id 256
  l o w est     merge 1: es + t = id 257
  lo w est      merge 2: l + o = id 258
  low est       merge 3: lo + w = id 259

One idea carries the speed of both halves. A word under work is a Python string in which **each token is one
character**, `chr(id)`. A pair of tokens is then a string of two characters, finding it is `str.split`, merging it is
`str.join`, and both run in C, scan from left to right and never overlap, which is exactly what a merge must do.

Sources: Sennrich, Haddow & Birch 2016 (BPE for words); Radford et al. 2019, "Language models are unsupervised multitask
learners", section 2.2 (bytes, and the split that keeps merges within words). Merges and ids equal those of the Hugging
Face `tokenizers` library: `BpeTrainer(initial_alphabet=ByteLevel.alphabet())` with the `ByteLevel` pre-tokenizer.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from operator import add
from typing import Self

import regex

from minitx.errors import InputError
from minitx.text.tokenizer import CLS_NAMES, SEP_NAMES, Memo, Span, Tokenizer
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec

# The split of GPT-2: English endings, then a run of letters, of digits or of other signs, each with at most one space
# before it, then white space, which leaves its last space to the word that follows. No merge crosses a word.
WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

# Under that split, a space before a visible character always begins a word: the character takes the space with it, and
# nothing before can reach across. So a text may be cut there and each piece looked up in a dictionary, and the pattern,
# ten times slower, sees a piece only when it is new. `str.split` is the quickest knife, but would cut within a run of
# white space too; RUN notices the texts that hold a run, and CUT is the careful knife.
RUN = re.compile(r" (?!\S)(?<=\s )")
CUT = re.compile(r" (?=\S)")

DEFAULT_SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


def _byte_symbols() -> list[str]:
    """GPT-2's spelling of each byte as a visible character, so that tokens can be written in a file and read.

    Printable Latin-1 stands for itself; the other 68 bytes take the characters from U+0100 on, which is why a space is
    spelt as a G with a dot (U+0120).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(stand_ins)) for byte in range(256)]


BYTE_SYMBOLS = _byte_symbols()
SYMBOL_BYTES = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}


def _pieces(text: str) -> list[str]:
    """Cut at the spaces that begin a word and drop them: every piece but the first stands for " " + piece."""
    return CUT.split(text) if RUN.search(text) else text.split(" ")


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word of the GPT-2 split occurs.

    >>> count_words(["no, no no"])
    Counter({' no': 2, 'no': 1, ',': 1})
    """
    firsts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for text in texts:
        first, *rest = _pieces(text)
        firsts[first] += 1
        others.update(rest)
    words: Counter[str] = Counter()
    for piece, count in chain(firsts.items(), ((" " + piece, count) for piece, count in others.items())):
        for word in WORD.findall(piece):
            words[word] += count
    return words


def learn_merges(word_counts: Mapping[str, int], first_new: int, max_merges: int, min_frequency: int = 0) -> list[str]:
    """Learn which pairs of tokens to join, most frequent first; on a tie the pair with the smaller ids.

    Args:
        word_counts: words as strings of one character per token, and how often each occurs.
        first_new: id of the first token to be made; they count up from there.
        max_merges: stop after so many, or when no pair is left that occurs `min_frequency` times.

    The example of the Wikipedia article: "aa" occurs most, becomes Z, then "ab" becomes Y, then "ZY" becomes X.

    >>> learn_merges({"aaabdaaabac": 1}, first_new=ord("X"), max_merges=3)
    ['aa', 'ab', 'XY']

    Recounting all pairs after each merge would cost (merges x words). A merge changes only the words that hold the pair,
    and there only the pairs next to it, so three records are kept up to date instead:

    - counts: pair -> occurrences;
    - where: pair -> the words it was seen in. A word stays listed after it has lost the pair; splitting it then finds
      nothing, which is cheaper than keeping the lists exact.
    - heap: (-count, pair), the largest count on top. Counts fall while their entries wait in the heap, and finding them
      there would cost more than leaving them: an entry is checked when it surfaces, and goes back with its true count.
      A pair's count never rises again after the merge in which it was born, so no entry can be too low.
    """
    words, frequencies = list(word_counts), list(word_counts.values())
    counts: defaultdict[str, int] = defaultdict(int)
    where: defaultdict[str, list[int]] = defaultdict(list)
    for index, (word, frequency) in enumerate(zip(words, frequencies, strict=True)):
        for pair in map(add, word, word[1:]):
            counts[pair] += frequency
            where[pair].append(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapify(heap)

    merges: list[str] = []
    while heap and len(merges) < max_merges:
        count, pair = heappop(heap)
        if -count != counts[pair]:
            heappush(heap, (-counts[pair], pair))
            continue
        if -count < max(1, min_frequency):
            break
        new, (left, right) = chr(first_new + len(merges)), pair
        merges.append(pair)
        born: defaultdict[str, list[int]] = defaultdict(list)
        for index in where.pop(pair):
            parts = words[index].split(pair)
            if len(parts) == 1:
                continue
            words[index], frequency, last = new.join(parts), frequencies[index], len(parts) - 1
            for i, part in enumerate(
                parts
            ):  # each part lies between two occurrences, or before the first, or after the last
                if not part:
                    if 0 < i < last:  # two occurrences touch
                        counts[right + left] -= frequency
                        counts[new + new] += frequency
                        born[new + new].append(index)
                    continue
                if i > 0:
                    counts[right + part[0]] -= frequency
                    counts[new + part[0]] += frequency
                    born[new + part[0]].append(index)
                if i < last:
                    counts[part[-1] + left] -= frequency
                    counts[part[-1] + new] += frequency
                    born[part[-1] + new].append(index)
        where.update(born)
        for pair in born:
            heappush(heap, (-counts[pair], pair))
    return merges


class BPETokenizer(Tokenizer):
    """Byte-level BPE: any text to ids and back without loss.

    Equivalent: `tokenizers.Tokenizer(models.BPE(vocab, merges))` with `pre_tokenizers.ByteLevel()`.
    """

    model = "BPE"

    def __init__(self, spec: TokenizerSpec) -> None:
        super().__init__(spec)
        for symbol in BYTE_SYMBOLS:
            if symbol not in spec.vocab:
                raise InputError(f"the vocabulary lacks {symbol!r}; byte-level BPE needs a token for each of 256 bytes")
        self._byte_table = "".join(chr(spec.vocab[symbol]) for symbol in BYTE_SYMBOLS)
        self._merges: list[tuple[str, str]] = []  # rank -> (the pair, what it becomes), each token one character
        made = set(self._byte_table)
        for rank, (left, right) in enumerate(spec.merges):
            pair, new = self._check_merge(rank, left, right, made)
            self._merges.append((pair, new))
            made.add(new)
        self._ranks = {pair: rank for rank, (pair, _) in enumerate(self._merges)}
        self._bytes = {id: self._token_bytes(token) for token, id in spec.vocab.items()}
        self._words = Memo(self._encode_word)
        self._first_pieces = Memo(self._encode_piece)
        self._spaced_pieces = Memo(self._encode_spaced_piece)

    def _check_merge(self, rank: int, left: str, right: str, made: set[str]) -> tuple[str, str]:
        # Replaying all occurrences of a merge at once is right only if tokens are made once, from tokens made before.
        ids = [self._ids.get(token) for token in (left, right, left + right)]
        where = f"merge {rank} ({left!r} + {right!r})"
        if None in ids:
            raise InputError(f"{where}: a part or the result is not in the vocabulary")
        a, b, new = (chr(id) for id in ids if id is not None)
        if a not in made or b not in made:
            raise InputError(f"{where}: uses a token that no earlier merge makes")
        if new in made or ids[2] in self._special_ids:
            raise InputError(f"{where}: makes a token that exists already, by an earlier merge or as a special token")
        return a + b, new

    def _token_bytes(self, token: str) -> bytes:
        if token in self._specials or not all(symbol in SYMBOL_BYTES for symbol in token):
            return token.encode()
        return bytes(SYMBOL_BYTES[symbol] for symbol in token)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 8000,
        min_frequency: int = 0,
        special_tokens: Sequence[str] = DEFAULT_SPECIALS,
    ) -> Self:
        """Learn a vocabulary. Ids: the special tokens, the 256 bytes, then the merges in the order learnt.

        Args:
            texts: what to learn from; special tokens in them are ordinary text.
            vocab_size: how many tokens to stop at. A small text may run out of pairs earlier: see `vocab_size` after.
            min_frequency: pairs that occur less often are not joined.
            special_tokens: those of them that are called [CLS] and [SEP] (or <s> and </s>) go around every text.

        Raises:
            InputError: `vocab_size` does not hold the specials and the bytes, or a special token could also be learnt
                from text, which would let a text forge it.
        """
        texts = [texts] if isinstance(texts, str) else texts
        specials = [SpecialToken(content, id) for id, content in enumerate(special_tokens)]
        for special in specials:
            if len(WORD.findall(special.content)) < 2:
                example = "; enclose it in brackets, as [PAD]"
                raise InputError(f"special token {special.content!r} could be learnt as an ordinary word{example}")
        symbols = sorted(BYTE_SYMBOLS)
        first_new = len(specials) + len(symbols)
        if len({*special_tokens}) < len(specials):
            raise InputError(f"special tokens must differ from each other, got {', '.join(special_tokens)}")
        if not first_new <= vocab_size <= 0x110000:
            needs = f"256 bytes and {len(specials)} special tokens need {first_new}"
            raise InputError(f"vocab_size is {vocab_size}; {needs}, and 1114112 is the most")

        tokens = [*special_tokens, *symbols]
        vocab = {token: id for id, token in enumerate(tokens)}
        table = "".join(chr(vocab[symbol]) for symbol in BYTE_SYMBOLS)
        counts = {_to_symbols(word, table): count for word, count in count_words(texts).items()}
        merges = []
        for left, right in learn_merges(counts, first_new, vocab_size - first_new, min_frequency):
            merges.append((tokens[ord(left)], tokens[ord(right)]))
            tokens.append(tokens[ord(left)] + tokens[ord(right)])
        vocab = {token: id for id, token in enumerate(tokens)}
        prefix = [name for name in CLS_NAMES if name in special_tokens][:1]
        suffix = [name for name in SEP_NAMES if name in special_tokens][:1]
        return cls(TokenizerSpec("BPE", vocab, specials, prefix, suffix, merges=merges))

    def _encode_plain(self, text: str) -> list[int]:
        if self.spec.add_prefix_space and not text.startswith(" "):
            text = " " + text
        first, *rest = _pieces(text)
        return [*self._first_pieces[first], *chain.from_iterable(map(self._spaced_pieces.__getitem__, rest))]

    def _encode_piece(self, piece: str) -> list[int]:
        return [*chain.from_iterable(map(self._words.__getitem__, WORD.findall(piece)))]

    def _encode_spaced_piece(self, piece: str) -> list[int]:
        return self._encode_piece(" " + piece)

    def _encode_word(self, word: str) -> list[int]:
        return [*map(ord, self._merge(_to_symbols(word, self._byte_table)))]

    def _merge(self, word: str, steps: list[tuple[int, str]] | None = None) -> str:
        """Replay the merges on one word: always the earliest-learnt that applies, wherever it applies.

        The ranks that may apply wait in a heap. As in learning, an entry can be stale: its pair has gone to an earlier
        merge, and the split finds nothing. A merge makes new pairs only next to the token it made, so only those are
        looked up, and a word of n bytes costs about n log n even if it is a megabyte without a space.
        """
        ranks = [self._ranks[pair] for pair in map(add, word, word[1:]) if pair in self._ranks]
        heapify(ranks)
        while ranks:
            rank = heappop(ranks)
            pair, new = self._merges[rank]
            parts = word.split(pair)
            if len(parts) == 1:
                continue
            word = new.join(parts)
            for before, after in pairwise(parts):
                for made in ((before[-1:] or new) + new, new + (after[:1] or new)):
                    if made in self._ranks:
                        heappush(ranks, self._ranks[made])
            if steps is not None:
                steps.append((rank, word))
        return word

    def _encode_spans(self, text: str) -> list[Span]:
        added = self.spec.add_prefix_space and not text.startswith(" ")
        # chars[i] is the character that byte i belongs to; the space that was not in the text shares the first one's place.
        chars = [0] * added + [i for i, char in enumerate(text) for _ in char.encode()]
        spans, start = [], 0
        for word in WORD.findall(" " * added + text):
            for id in self._words[word]:
                end = start + len(self._bytes[id])
                spans.append(Span(id, chars[start], chars[end - 1] + 1))
                start = end
        return [self._trim(span, i == 0) for i, span in enumerate(spans)] if self.spec.trim_offsets else spans

    def _trim(self, span: Span, first: bool) -> Span:
        data, (id, start, end) = self._bytes[span.id], span
        before, after = len(data) - len(data.lstrip(b" ")), len(data) - len(data.rstrip(b" "))
        if before and self.spec.keep_first_space and (first or start == 0):
            before -= 1
        start = min(start + before, end)
        return Span(id, start, max(end - after, start) if end >= after else end)

    def readable(self, id: int) -> str:
        """A token for the eye: a space as a middle dot, line ends and the like escaped, a part of a character as <bytes>."""
        data = self._bytes[id]
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return "".join(f"<{byte:02X}>" for byte in data)
        return "".join("·" if char == " " else char if char.isprintable() else repr(char)[1:-1] for char in text)

    def explain(self, text: str) -> list[str]:
        """For each word its ids, then one line for each merge: the tokens so far, and which merge made the new one."""
        lines = []
        for word in WORD.findall(" " * (self.spec.add_prefix_space and not text.startswith(" ")) + text):
            symbols = _to_symbols(word, self._byte_table)
            steps: list[tuple[int, str]] = []
            self._merge(symbols, steps)
            rows = [" ".join(self.readable(ord(char)) for char in row) for row in (symbols, *(row for _, row in steps))]
            width = max(map(len, rows))
            lines += [f"{word!r} -> {' '.join(map(str, self._words[word]))}", f"  {rows[0]}"]
            for (rank, _), row in zip(steps, rows[1:], strict=True):
                (left, right), new = self._merges[rank]
                joined = f"{self.readable(ord(left))} + {self.readable(ord(right))}"
                lines.append(f"  {row:{width}}   merge {rank}: {joined} = id {ord(new)}")
        return lines

    def _join(self, ids: list[int]) -> str:
        return b"".join([self._bytes[id] for id in ids]).decode("utf-8", errors="replace")


def _to_symbols(word: str, byte_table: str) -> str:
    """One character, `chr(id)`, for each byte of the word."""
    try:
        return word.encode().decode("latin-1").translate(byte_table)
    except UnicodeEncodeError as error:
        code = ord(word[error.start])
        raise InputError(
            f"the text holds U+{code:04X}, half of a surrogate pair, which UTF-8 cannot write; "
            "decode the text properly, or replace it with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
        ) from None
