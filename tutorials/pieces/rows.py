"""Two pieces about rows: batches of similar length, and a split that does not leak."""

import math

import numpy as np

from minitx.learn import plain
from minitx.learn.piece import Mistake, Piece, slips


def length_batches(lengths, batch_size):
    """Row numbers by length, shortest first and equal lengths in the order they came, in lists of batch_size.

    The last batch may be smaller. No rows give [].
    """
    return plain.length_batches(lengths, batch_size)


def _length_inputs():
    rng = np.random.default_rng(0)
    return {
        "seven rows in batches of three": ([5, 2, 9, 2, 7, 1, 5], 3),
        "fifty rows of few lengths": (rng.integers(1, 5, 50).tolist(), 8),
        "two hundred rows": (rng.integers(0, 30, 200).tolist(), 32),
        "equal lengths": ([4, 4, 4, 4], 3),
        "batches of one": ([3, 1, 2], 1),
        "a batch larger than the data": ([3, 1, 2], 10),
        "a number of rows that is divided exactly": ([3, 1, 2, 0], 2),
        "no rows": ([], 4),
        "an empty text among them": ([2, 0, 1, 0], 2),
    }


def _cut(rows, size):
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def _batches(**slip):
    s = {"key": lambda lengths: lambda row: lengths[row], "reverse": False, "drop": False} | slip

    def wrong(lengths, batch_size):
        rows = sorted(range(len(lengths)), key=s["key"](lengths), reverse=s["reverse"])
        batches = _cut(rows, batch_size)
        return [batch for batch in batches if len(batch) == batch_size] if s["drop"] else batches

    return wrong


def _evenly(lengths, size):
    order, batches = np.argsort(lengths, kind="stable"), -(-len(lengths) // size)
    return [part.tolist() for part in np.array_split(order, batches)] if batches else []


LENGTH_BATCHES = Piece(
    length_batches,
    _length_inputs,
    slips(
        {
            "equal lengths change their order: the sort is not stable | np.argsort needs kind='stable'": (
                lambda lengths, size: _cut(np.argsort(lengths).tolist(), size),
                _batches(key=lambda lengths: lambda row: (lengths[row], -row)),
            ),
            "longest first": (
                _batches(key=lambda lengths: lambda row: -lengths[row]),
                _batches(reverse=True),
                lambda lengths, size: (
                    _cut(plain.length_batches(lengths, max(1, len(lengths)))[0][::-1], size) if lengths else []
                ),
            ),
            "the last batch is dropped when it is not full | rows would never be trained on": (_batches(drop=True),),
            "not sorted": (lambda lengths, size: _cut(range(len(lengths)), size),),
            "cut first, then sorted inside each batch": (
                lambda lengths, size: [
                    sorted(batch, key=lambda row: lengths[row]) for batch in _cut(range(len(lengths)), size)
                ],
            ),
            "the lengths are returned, not the row numbers": (lambda lengths, size: _cut(sorted(lengths), size),),
            "rows are spread evenly over the batches, not filled up one after the other": (_evenly,),
            "a length is looked up with index(), which finds the first row of that length again and again": (
                lambda lengths, size: _cut([lengths.index(n) for n in sorted(lengths)], size),
            ),
            "one list of rows, not cut into batches": (
                lambda lengths, size: [row for batch in plain.length_batches(lengths, size) for row in batch],
            ),
            "the batches come in reverse order": (lambda lengths, size: plain.length_batches(lengths, size)[::-1],),
            "as many batches as batch_size asks rows: the two are exchanged": (
                lambda lengths, size: [
                    part.tolist() for part in np.array_split(np.argsort(lengths, kind="stable"), size)
                ],
            ),
            "no rows give one empty batch, or an error": (
                lambda lengths, size: plain.length_batches(lengths, size) or [[]],
            ),
            "one more batch than needed, an empty one, when the rows divide exactly": (
                lambda lengths, size: plain.length_batches(lengths, size) + [[]] * (len(lengths) % size == 0),
            ),
            "rows and lengths in pairs, not rows alone": (
                lambda lengths, size: _cut(sorted((n, row) for row, n in enumerate(lengths)), size),
            ),
        }
    ),
)


def leak_free_split(texts, ids, test_fraction, rng):
    """Train and test rows, two ascending lists of row numbers, with no text and no id on both sides.

    texts is a list of str, ids a list of str or None, one for each row. Rows are kept together if they share a text,
    up to case and white space (" ".join(text.casefold().split())), or an id (None shares nothing), directly or through
    other rows. Number these groups by their first row; take them in the order rng.permutation(number of groups); each
    goes to test, whole, while test has fewer than test_fraction * N rows, else to train.
    """
    return plain.leak_free_split(texts, ids, test_fraction, rng)


def _random_rows(seed):
    rng = np.random.default_rng(seed)
    texts = [f"text {n}" for n in rng.integers(0, 9, 12)]
    return texts, [None if n > 8 else f"id {n}" for n in rng.integers(0, 12, 12)]


def _split_inputs():
    words = ["good", "bad app", "Good", "crashes", "love it", "bad  app", "meh", "badapp", "why", "crashes "]
    ids = ["a", "b", "c", None, "d", "e", None, "b", "f", None]
    chain = (["one", "two", "two", "three", "four", "four", "five", "six"], ["r", "r", "s", "s", "t", "u", "u", None])
    late = (list("zabcddcbazef"), [None, "p", "q", "r", "s", None, "s", "r", "q", "s", None, None])

    def inputs(texts, ids, fraction, seed):
        return texts, ids, fraction, np.random.default_rng(seed)

    distinct = [f"text {row}" for row in range(12)]
    return {
        "ten rows with repeated texts and ids": inputs(words, ids, 0.3, 0),
        "the same with another seed": inputs(words, ids, 0.5, 1),
        "groups that hang together through other rows": inputs(*chain, 0.4, 2),
        "every row a group of its own": inputs(distinct, [None] * 12, 0.25, 3),
        "repeated ids and no repeated text": inputs(distinct, ["a", "b", "c", ""] * 3, 0.3, 4),
        "one group of half of the rows": inputs(["same"] * 6 + distinct[6:], [None] * 12, 0.5, 9),
        "a row that joins two groups": inputs(["a", "b", "a", "c", "d", "e"], ["x", "y", "y", "z", "v", "w"], 0.3, 0),
        "a chain that is joined from its end": inputs(*late, 0.3, 0),
        "ids that look like texts": inputs(["a", "b", "c", "d", "e"], ["c", "a", "v", "w", None], 0.3, 0),
        "straße is STRASSE, kız is not kiz": inputs(["straße", "kız", "STRASSE", "kiz", "c", "d"], [None] * 6, 0.3, 3),
        **{f"twelve rows at random, {seed}": inputs(*_random_rows(seed), 0.35, seed) for seed in range(4)},
        "empty texts and empty ids": inputs(["", "a", " ", "b", "c", "d"], ["", "x", None, "", "y", None], 0.4, 2),
        "to day is not today": inputs(["to day", "today", "a", "b"], [None] * 4, 0.25, 1),
        "the same text everywhere": inputs(["same"] * 4, [None] * 4, 0.5, 5),
        "no rows": inputs([], [], 0.2, 0),
    }


def _split(**slip):
    s = {"key": lambda text: " ".join(text.casefold().split()), "ids": True, "none": False, "chains": True}
    s |= {"exchange": False, "count": "rows", "cut": False, "most": False}
    s |= {"sorted": True, "number": "first row", "share": lambda fraction: fraction, "rounds": float} | slip

    def wrong(texts, ids, test_fraction, rng):
        keys = list(map(s["key"], texts))
        keys = [str(keys.index(key)) for key in keys]  # what is equal by their key, and nothing else
        ids = ids if s["ids"] else [None] * len(ids)
        ids = [str(one) for one in ids] if s["none"] else ids
        group = plain.row_groups(keys, ids) if s["chains"] else [keys.index(key) for key in keys]
        if not s["chains"]:
            pairs = list(zip(group, ids, strict=True))
            group = [pairs.index(pair) for pair in pairs]
        numbers = sorted(set(group))
        if s["number"] == "text":
            numbers.sort(key=lambda number: texts[number])
        if s["number"] == "last":
            numbers.sort(key=lambda number: max(row for row, its in enumerate(group) if its == number))
        test, groups_in_test = [], 0
        order = rng.permutation(len(numbers)).tolist()
        for number in order:
            rows = [row for row, its in enumerate(group) if its == numbers[number]]
            have, want = (len(test), len(texts)) if s["count"] == "rows" else (groups_in_test, len(numbers))
            enough = s["rounds"](s["share"](test_fraction) * want)
            if (have < enough or (s["most"] and have <= enough)) and not (s["cut"] and have + len(rows) > enough):
                test += rows
                groups_in_test += 1
        if not s["sorted"]:
            dealt = [row for number in order for row, its in enumerate(group) if its == numbers[number]]
            return [row for row in dealt if row not in test], test
        train = sorted(set(range(len(texts))) - set(test))
        return (sorted(test), train) if s["exchange"] else (train, sorted(test))

    return wrong


def _unmerged(texts, ids, test_fraction, rng):
    number_of, groups = {}, []
    for row, (text, one) in enumerate(zip(texts, ids, strict=True)):
        keys = [("text", " ".join(text.casefold().split())), *([("id", one)] if one is not None else [])]
        number = next((number_of[key] for key in keys if key in number_of), len(groups))
        groups += [[]] if number == len(groups) else []
        groups[number].append(row)
        number_of = dict.fromkeys(keys, number) | number_of
    return _dealt(groups, test_fraction * len(texts), rng)


def _one_dict(texts, ids, test_fraction, rng):
    group, first = list(range(len(texts))), {}
    for row, (text, one) in enumerate(zip(texts, ids, strict=True)):
        for key in (" ".join(text.casefold().split()), one):
            if key is not None:
                two = group[first.setdefault(key, row)], group[row]
                group = [min(two) if number in two else number for number in group]
    return _dealt(
        [[r for r, its in enumerate(group) if its == n] for n in sorted(set(group))], test_fraction * len(texts), rng
    )


def _dealt(groups, wanted, rng):
    test = []
    for number in rng.permutation(len(groups)):
        if len(test) < wanted:
            test += groups[number]
    return sorted(row for rows in groups for row in rows if row not in test), sorted(test)


def _row_split(texts, ids, test_fraction, rng):
    order = rng.permutation(len(texts)).tolist()
    n = round(test_fraction * len(texts))
    return sorted(order[n:]), sorted(order[:n])


def _leaks(yours, right, texts, *_):
    keys = [{" ".join(texts[row].casefold().split()) for row in side} for side in yours]
    shared = len(keys[0] & keys[1])
    return f"texts on both sides: {shared}" if shared else ""


SPLITS = {
    "rows are dealt out one by one: their groups are not kept together": (
        _row_split,
        _split(chains=False, ids=False, key=lambda text: object()),
    ),
    "ids are not used, texts alone keep rows together": (_split(ids=False),),
    "texts are not used, ids alone keep rows together": (_split(key=lambda text: object()),),
    "None is taken for an id that many rows share": (_split(none=True),),
    "rows are together only if they share text and id, both": (_split(chains=False),),
    "texts that differ in case or white space count as different": (
        _split(key=str),
        _split(key=str.casefold),
        _split(key=str.lower),
        _split(key=lambda text: " ".join(text.lower().split())),
        _split(key=str.strip),
        _split(key=lambda text: text.casefold().strip()),
        _split(key=lambda text: " ".join(text.split())),
    ),
    "white space inside a text is removed altogether": (_split(key=lambda text: "".join(text.casefold().split())),),
    "train and test are exchanged": (_split(exchange=True),),
    "test takes its share of the groups, not of the rows": (_split(count="groups"),),
    "a group goes to test although test has just enough: <=, not <": (_split(most=True),),
    "rows come in the order of the groups, not ascending": (_split(sorted=False),),
    "the number of rows that test asks for is rounded, not compared as it is": (
        _split(rounds=math.floor),
        _split(rounds=round),
    ),
    "groups are not numbered by their first row": (_split(number="last"),),
    "groups are numbered by their text, not by their first row": (_split(number="text"),),
    "test gets the share that is meant for train": (_split(share=lambda fraction: 1 - fraction),),
    "a row joins one group, and two groups that it connects are not merged": (_unmerged,),
    "texts and ids are looked up in one place: an id that looks like a text ties them together": (_one_dict,),
    "a group that would make test too large is passed over": (_split(cut=True),),
}
LEAK_FREE_SPLIT = Piece(
    leak_free_split,
    _split_inputs,
    tuple(Mistake(name, wrong, _leaks) for name, ways in SPLITS.items() for wrong in ways),
)

PIECES = [LENGTH_BATCHES, LEAK_FREE_SPLIT]
