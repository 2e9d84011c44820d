"""Byte-level byte-pair encoding: learn a vocabulary from text, and cut text into its tokens.

Start with the 256 bytes. Again and again, join the two neighbouring tokens that are seen together most often into one
new token, until the vocabulary is full. To cut a new text, replay those merges in the order they were learnt. As every
string is bytes, no text is ever unknown, and decoding gives back exactly what went in.

Four words, seen 5, 2, 6 and 3 times: the merges can be checked by hand ("es" is in newest and widest, 9 times):

>>> words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
>>> tokenizer = BPETokenizer.train(words, vocab_size=256 + 4, special_tokens=())
>>> print(*tokenizer.explain("lowest"), sep="\\n")
'lowest' -> 259 257
  l o w e s t
  l o w es t    merge 0: e + s = id 256
  l o w est     merge 1: es + t = id 257
  lo w est      merge 2: l + o = id 258
  low est       merge 3: lo + w = id 259

One idea makes both halves fast. While a word is being merged, it is a Python string in which **each token is one
character**, `chr(id)`. A pair of tokens is then a string of two characters, finding it is `str.split`, merging it is
`str.join`, and both run in C, scan from left to right and never overlap, which is exactly what a merge must do.

Sources: Sennrich, Haddow & Birch 2016 (BPE for words); Radford et al. 2019, "Language models are unsupervised multitask
learners", section 2.2 (bytes, and the split that keeps merges within words). Merges and ids equal those of the Hugging
Face `tokenizers` library: `BpeTrainer(initial_alphabet=ByteLevel.alphabet())` with the `ByteLevel` pre-tokenizer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from operator import add
from typing import Self

from minitx.errors import InputError
from minitx.text.explain import explain_merges, readable
from minitx.text.offsets import Span, byte_spans
from minitx.text.spec import MAX_ID, TokenizerSpec
from minitx.text.specials import CLS_NAMES, SEP_NAMES, SpecialToken, check_new_specials
from minitx.text.tokenizer import Memo, Tokenizer, check_list, checked
from minitx.text.words import BYTE_SYMBOLS, SYMBOL_BYTES, WORD, chunks, count_words, to_symbols

DEFAULT_SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


def learn_merges(word_counts: Mapping[str, int], first_new: int, max_merges: int, min_frequency: int = 0) -> list[str]:
    """Learn which pairs of tokens to join, most frequent first; on a tie the pair with the smaller ids.

    Args:
        word_counts: words as strings of one character per token, and how often each occurs.
        first_new: id of the first token to be made; they count up from there.
        max_merges: stop after so many, or when no pair is left that occurs `min_frequency` times.

    The example of the Wikipedia article: "aa" is first and becomes x, then "ab" becomes y, then "xy" z.

    >>> learn_merges({"aaabdaaabac": 1}, first_new=ord("x"), max_merges=3)
    ['aa', 'ab', 'xy']

    Recounting all pairs after each merge would cost (merges x words). A merge changes only the words that hold the
    pair, and there only the pairs next to it, so three records are kept up to date instead:

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
        new, left, right = chr(first_new + len(merges)), pair[0], pair[1]
        merges.append(pair)
        born: defaultdict[str, list[int]] = defaultdict(list)
        for index in where.pop(pair):
            parts = words[index].split(pair)
            if len(parts) == 1:
                continue
            words[index], frequency, last = new.join(parts), frequencies[index], len(parts) - 1
            # Part i lies between occurrence i - 1 and occurrence i: the pairs to update are at its two ends.
            for i, part in enumerate(parts):
                if part and i > 0:
                    counts[right + part[0]] -= frequency
                    counts[new + part[0]] += frequency
                    born[new + part[0]].append(index)
                if part and i < last:
                    counts[part[-1] + left] -= frequency
                    counts[part[-1] + new] += frequency
                    born[part[-1] + new].append(index)
                if not part and 0 < i < last:  # two occurrences touch
                    counts[right + left] -= frequency
                    counts[new + new] += frequency
                    born[new + new].append(index)
        where.update(born)
        for pair in born:
            heappush(heap, (-counts[pair], pair))
    return merges


class BPETokenizer(Tokenizer):
    """Byte-level BPE: any text to ids, and back without loss.

    Equivalent: `tokenizers.Tokenizer(models.BPE(vocab, merges))` with `pre_tokenizers.ByteLevel()`.
    """

    model = "BPE"

    def __init__(self, spec: TokenizerSpec) -> None:
        super().__init__(spec)
        self._byte_table = "".join(chr(spec.vocab[symbol]) for symbol in BYTE_SYMBOLS)
        ids = spec.vocab
        self._pairs = [chr(ids[a]) + chr(ids[b]) for a, b in spec.merges]  # rank -> the pair, and in the next line
        self._made = [chr(ids[a + b]) for a, b in spec.merges]  # the token it becomes, one character a token
        self._ranks = {pair: rank for rank, pair in enumerate(self._pairs)}
        self._bytes = {id: self._token_bytes(token, id) for token, id in spec.vocab.items()}
        self._words = Memo(self._encode_word)
        self._first_chunks = Memo(self._encode_chunk)
        self._other_chunks = Memo(self._encode_spaced_chunk)

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
            vocab_size: the size to stop at; a small text may run out of pairs before, as `tokenizer.vocab_size` tells.
            min_frequency: pairs that occur less often are not joined.
            special_tokens: those of them that are called [CLS] and [SEP] (or <s> and </s>) go around every text.

        Raises:
            InputError: `vocab_size` does not hold the specials and the bytes, or a special token could also be learnt
                from text, which would let a text forge it.
        """
        check_list(texts)
        check_new_specials(special_tokens)
        tokens = [*special_tokens, *sorted(BYTE_SYMBOLS)]
        if not isinstance(vocab_size, int) or not len(tokens) <= vocab_size <= MAX_ID:
            needs = f"256 bytes and {len(special_tokens)} special tokens need {len(tokens)}"
            raise InputError(f"vocab_size is {vocab_size!r:.60}; {needs}, and {MAX_ID} is the most")

        byte_table = "".join(chr(tokens.index(symbol)) for symbol in BYTE_SYMBOLS)
        counts = {to_symbols(word, byte_table): count for word, count in count_words(map(checked, texts)).items()}
        merges = []
        for pair in learn_merges(counts, len(tokens), vocab_size - len(tokens), min_frequency):
            left, right = (tokens[ord(char)] for char in pair)
            merges.append((left, right))
            tokens.append(left + right)
        return cls(
            TokenizerSpec(
                "BPE",
                vocab={token: id for id, token in enumerate(tokens)},
                special_tokens=[SpecialToken(token, id) for id, token in enumerate(special_tokens)],
                prefix=[name for name in CLS_NAMES if name in special_tokens][:1],
                suffix=[name for name in SEP_NAMES if name in special_tokens][:1],
                merges=merges,
            )
        )

    def _token_bytes(self, token: str, id: int) -> bytes:
        if id in self._special_ids or not all(symbol in SYMBOL_BYTES for symbol in token):
            return token.encode()
        return bytes(SYMBOL_BYTES[symbol] for symbol in token)

    def _encode_plain(self, text: str, start: int = 0, allow_special: bool = False) -> list[int]:
        first, *others = chunks(self._first_space(text) + text)
        return [*self._first_chunks[first], *chain.from_iterable(map(self._other_chunks.__getitem__, others))]

    def _first_space(self, text: str) -> str:
        return " " if self.spec.add_prefix_space and text and not text.startswith(" ") else ""

    def _encode_chunk(self, chunk: str) -> list[int]:
        return [*chain.from_iterable(map(self._words.__getitem__, WORD.findall(chunk)))]

    def _encode_spaced_chunk(self, chunk: str) -> list[int]:
        return self._encode_chunk(" " + chunk)

    def _encode_word(self, word: str) -> list[int]:
        return [*map(ord, self._merge(to_symbols(word, self._byte_table)))]

    def _merge(self, word: str, steps: list[tuple[int, str]] | None = None) -> str:
        """Replay the merges on one word: always the earliest-learnt that applies, wherever it applies.

        The ranks that may apply wait in a heap, each once: a merge can only make pairs that hold its new token, and
        these rank after it, so none comes back. As in learning, a rank can be stale: its pair has lost a token to an
        earlier merge, and the split finds nothing. `steps`, if given, receives each rank and the word after it.
        """
        ranks = {self._ranks[pair] for pair in map(add, word, word[1:]) if pair in self._ranks}
        waiting = sorted(ranks)
        while waiting:
            rank = heappop(waiting)
            pair, new = self._pairs[rank], self._made[rank]
            parts = word.split(pair)
            if len(parts) == 1:
                continue
            word = new.join(parts)
            if steps is not None:
                steps.append((rank, word))
            for before, after in pairwise(parts):
                for made in (before[-1:] + new, new + (after[:1] or new)):
                    if made in self._ranks and self._ranks[made] not in ranks:
                        ranks.add(self._ranks[made])
                        heappush(waiting, self._ranks[made])
        return word

    def _join(self, ids: list[int]) -> str:
        return b"".join([self._bytes[id] for id in ids]).decode("utf-8", errors="replace")

    def _encode_spans(self, text: str, start: int, allow_special: bool = False) -> list[Span]:
        ids = self._encode_plain(text)
        spans = byte_spans(text, start, len(self._first_space(text)), ids, [len(self._bytes[id]) for id in ids])
        return [self._trim(span, self._tokens[span.id]) for span in spans]

    def readable(self, id: int) -> str:
        """A token for the eye: a space as a middle dot, line ends escaped, bytes short of a character as <E2>."""
        return readable(self._bytes[id])

    def explain(self, text: str) -> list[str]:
        """For each word its ids, then one line for each merge: the tokens so far, and which merge made the new one."""
        lines = []
        for word in WORD.findall(self._first_space(text) + text):
            start, steps = to_symbols(word, self._byte_table), list[tuple[int, str]]()
            self._merge(start, steps)
            lines += explain_merges(word, start, steps, self._pairs, self._made, self.readable)
        return lines
