"""Labelled texts, and how to divide them into training, validation and test rows without leaks.

A review that stands in two of the parts makes the test measure memory. So rows with the same text, but for case and
punctuation, and rows with the same reviewId form a group, and a group stays on one side.
"""

import string
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from minitx.errors import InputError


@dataclass
class LabelledTexts:
    """N texts, a class number for each of them per head, and the reviewIds, which texts may share."""

    texts: list[str]
    labels: dict[str, np.ndarray]  # head -> (N,) int64, an index into classes[head], or -100 for none
    classes: dict[str, tuple[str, ...]]
    ids: list[str | None]  # N reviewIds, None where there is none

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, indices: np.ndarray) -> "LabelledTexts":
        """The rows at `indices` (integers), in that order; class numbers keep their meaning."""
        labels = {head: values[indices] for head, values in self.labels.items()}
        return LabelledTexts([self.texts[i] for i in indices], labels, self.classes, [self.ids[i] for i in indices])

    def class_counts(self, head: str) -> np.ndarray:
        """Rows per class of `head`, (C,) int64, classes without a row included."""
        labels = self.labels[head]
        return np.bincount(labels[labels >= 0], minlength=len(self.classes[head]))


class Split(NamedTuple):
    """Three disjoint parts of one LabelledTexts; no group has rows in two of them."""

    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts


_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’«»–—…¡¿")


def normalise(text: str) -> str:
    """What two texts must have in common to count as the same: NFKC, case-folded, without punctuation, single spaces.

    Emoji stay, because "ok 👍" and "ok 👎" are two opinions. A text of nothing but punctuation keeps it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_PUNCTUATION).split()) or " ".join(folded.split())


def group_rows(*keys: Sequence[Hashable]) -> np.ndarray:
    """Number the rows (N,) int64 so that rows sharing a key, directly or through other rows, get one number.

    Each argument holds one key per row; None shares nothing. This is union-find with path halving.
    """
    parent = list(range(len(keys[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for column in keys:
        first: dict[Hashable, int] = {}
        for row, key in enumerate(column):
            if key is not None:
                parent[root(row)] = root(first.setdefault(key, row))
    return np.unique([root(row) for row in range(len(parent))], return_inverse=True)[1].astype(np.int64)


def split(data: LabelledTexts, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0) -> Split:
    """Split into train, validation and test so that no group has rows on two sides; the same seed gives the same split.

    A group is what shares a text, up to `normalise`, or a reviewId: see `group_rows`.

    Stratified over the combinations of all labels as far as the groups allow: each side starts out needing its fraction
    of every combination. Groups are dealt out from the largest to the smallest (ties in random order), each to a side
    drawn by remaining need among those with room for it. Drawn, because giving each to the neediest side would send
    every repeated text to train, and test would be made of other reviews than those that come in. Only a group above a
    twentieth of a side is kept out of it where possible: on the real reviews, test accuracy of a linear model moved by
    four points with the side on which the 225 texts "good" fell.

    Raises InputError for unusable fractions, a head with one class only, fewer rows than classes, or an empty side.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"fractions {fractions}: expected three positive numbers that add up to 1")
    for head, names in data.classes.items():
        present = [name for name, rows in zip(names, data.class_counts(head), strict=True) if rows]
        if len(present) < 2 or len(data) < len(names):
            which = f"{len(present)} of the {len(names)} classes of {head} ({', '.join(present):.60})"
            found = f"{len(data):,} rows with {which}"
            raise InputError(f"split: {found}; at least 2 classes, and no fewer rows than classes, are needed")
    # A number for each combination of labels, and for each group.
    strata = np.unique(np.stack(list(data.labels.values())), axis=1, return_inverse=True)[1].reshape(-1)
    groups = group_rows([normalise(text) for text in data.texts], data.ids)
    sides = _deal(groups, strata, fractions, np.random.default_rng(seed))[groups]
    parts = Split(*(data.subset(np.flatnonzero(sides == side)) for side in range(3)))
    for name, part in zip(Split._fields, parts, strict=True):
        if not len(part):
            rows = f"{len(data):,} rows in {groups.max() + 1:,} groups of shared texts or ids"
            raise InputError(f"split: nothing left for {name}: {rows}; more distinct texts are needed")
    return parts


def _deal(groups: np.ndarray, strata: np.ndarray, fractions: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """The side (G,) of each group; `groups` and `strata` (N,) number the groups and label combinations from 0."""
    sides = range(len(fractions))
    members: list[Counter[int]] = [Counter() for _ in range(groups.max() + 1)]  # rows by stratum
    for group, stratum in zip(groups.tolist(), strata.tolist(), strict=True):
        members[group][stratum] += 1
    need = [(fraction * np.bincount(strata)).tolist() for fraction in fractions]  # [side][stratum], rows still wanted
    total = [fraction * len(groups) for fraction in fractions]
    limit = [fraction * len(groups) / 20 if fraction < max(fractions) else len(groups) for fraction in fractions]
    order = sorted(rng.permutation(len(members)).tolist(), key=lambda group: -members[group].total())
    side_of_group = np.empty(len(members), dtype=np.int64)
    for group, draw in zip(order, rng.random(len(members)).tolist(), strict=True):
        counts, size = members[group], members[group].total()
        wants = [max(0.0, min(need[side][s] for s in counts)) if total[side] > 1e-9 else 0.0 for side in sides]
        room = [wants[side] * all(need[side][s] > n - 1e-9 for s, n in counts.items()) for side in sides]
        gentle = [room[side] * (size <= limit[side]) for side in sides]
        # Without room, the best by combination, else by size alone: rounding leaves some side with a positive total.
        choices = (gentle, room, wants, [max(0.0, rows) for rows in total])
        weights = next(weights for weights in choices if any(weights))
        cumulative = list(accumulate(weights))
        side = bisect(cumulative, draw * cumulative[-1], hi=len(sides) - 1)
        side_of_group[group] = side
        total[side] -= size
        for stratum, count in counts.items():
            need[side][stratum] -= count
    return side_of_group
