"""What does a test split share with the training rows? Texts, reviewIds, and texts that are nearly the same.

`split` keeps equal texts and shared reviewIds on one side; parts that come from elsewhere may share them. A near
duplicate ("great app, love it so much" and "great app, love it so so much") is not a fault of the split, but predicting
it is a matter of memory too, so near duplicates are counted.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike

import numpy as np
import pandas as pd

from minitx.data.split import LabelledTexts, normalise
from minitx.data.texts import read_texts
from minitx.errors import InputError, suggestion
from minitx.text.tokenizer import check_list, checked

SIMILARITY = 0.8  # of near duplicates, at least
EXAMPLES = 3  # of each kind, in the text of a report

KINDS = {
    "same_text": "the same text, but for case, punctuation and spaces",
    "same_id": "the same reviewId",
    "near": f"near duplicates: at least {SIMILARITY:.0%} of the two texts' distinct words are in both",
}
Part = LabelledTexts | Sequence[str] | PathLike[str] | pd.DataFrame


@dataclass(frozen=True)
class LeakageReport:
    """Pairs (test row, training row) of each kind; a test row appears once in a kind, with the first that fits."""

    train: LabelledTexts
    test: LabelledTexts
    pairs: dict[str, list[tuple[int, int]]]  # kind -> pairs; the kinds are those of KINDS

    def rows(self, kind: str) -> int:
        """How many test rows are of this kind; `InputError` for none of `KINDS`."""
        if kind not in self.pairs:
            raise InputError(f"no kind {kind!r:.60}; {suggestion(kind, list(KINDS))}")
        return len(self.pairs[kind])

    def to_dict(self) -> dict[str, object]:
        """Counts as plain JSON types, without any text."""
        return {"train_rows": len(self.train), "test_rows": len(self.test), **{k: self.rows(k) for k in KINDS}}

    def __str__(self) -> str:
        lines = [f"{len(self.test):,} test rows against {len(self.train):,} training rows"]
        for kind, meaning in KINDS.items():
            share = self.rows(kind) / max(1, len(self.test))
            lines.append(f"  {self.rows(kind):,} ({share:.1%}) {meaning}")
            for test, train in self.pairs[kind][:EXAMPLES]:
                lines.append(f"      test      {_line(self.test.texts[test])}")
                lines.append(f"      training  {_line(self.train.texts[train])}")
        return "\n".join(lines)


def leakage_report(train: Part, test: Part, text: str | None = None) -> LeakageReport:
    """Find the rows of `test` that are in `train` too: the same text, the same reviewId, or a near duplicate.

    Each is a list of texts, a file of them (`data.texts.stream_texts`), a DataFrame or `LabelledTexts`; `text` is the
    column of a file or a DataFrame.

    * same text: equal after `normalise`;
    * same reviewId: equal ids, where both have one;
    * near duplicate: not the same text, but a Jaccard similarity |A ∩ B| / |A ∪ B| of at least 0.8 between the sets of
      words of the normalised texts. The order of words and their repetition do not count.

    All near duplicates are found, without comparing every pair: two sets of at least that similarity share one of the
    rarest few words of each (prefix filtering; Chaudhuri, Ganti & Kaushik 2006).
    """
    train, test = _rows(train, text), _rows(test, text)
    train_texts, test_texts = ([normalise(text) for text in part.texts] for part in (train, test))
    first_text = _first_rows(train_texts)
    first_id = _first_rows(train.ids)
    same_text = [(row, first_text[text]) for row, text in enumerate(test_texts) if text in first_text]
    same_id = [(row, first_id[i]) for row, i in enumerate(test.ids) if i is not None and i in first_id]

    word_sets = [frozenset(text.split()) for text in first_text]
    rarity = Counter(word for words in word_sets for word in words)
    holders: dict[str, list[int]] = defaultdict(list)  # a word -> the training texts that have it in their prefix
    for number, words in enumerate(word_sets):
        for word in _prefix(words, rarity):
            holders[word].append(number)
    train_rows, near = list(first_text.values()), []
    for row, text in enumerate(test_texts):
        if text not in first_text:
            words = frozenset(text.split())
            candidates = sorted({number for word in _prefix(words, rarity) for number in holders.get(word, ())})
            similar = (n for n in candidates if len(words & word_sets[n]) / len(words | word_sets[n]) >= SIMILARITY)
            if (found := next(similar, None)) is not None:
                near.append((row, train_rows[found]))
    return LeakageReport(train, test, {"same_text": same_text, "same_id": same_id, "near": near})


def _rows(part: Part, text: str | None) -> LabelledTexts:
    if isinstance(part, LabelledTexts):
        return part
    if not isinstance(part, str | PathLike):
        part = part[text] if isinstance(part, pd.DataFrame) and text is not None else part
        check_list(part)
    texts = read_texts(part, text) if isinstance(part, str | PathLike) else [*map(checked, part)]
    ids: list[str | None] = [None] * len(texts)
    with suppress(InputError):  # not every file has them
        ids = [i.strip() or None for i in read_texts(part, "reviewId")] if isinstance(part, str | PathLike) else ids
    return LabelledTexts(texts, {}, {}, ids)


def fingerprints(texts: Iterable[str]) -> np.ndarray:
    """(N,) uint64, equal for the same text: enough to find it again later without keeping it (64 bits of BLAKE2b)."""
    digests = (hashlib.blake2b(normalise(text).encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _prefix(words: frozenset[str], rarity: Counter[str]) -> list[str]:
    """The rarest words of a set, as many as it cannot lack all of and still be similar enough to another set."""
    ordered = sorted(words, key=lambda word: (rarity[word], word))
    return ordered[: len(words) - math.ceil(SIMILARITY * len(words) - 1e-9) + 1]


def _first_rows(keys: Iterable[str | None]) -> dict[str, int]:
    """Key -> the first row that has it, in the order of rows."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key is not None:
            first.setdefault(key, row)
    return first


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"
