# piece: leak_free_split
# verdict: right
# style: every row takes the smallest label of the rows it touches, repeated until nothing changes; NumPy

import numpy as np


def _codes(values):
    seen = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=int)


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    by_text = _codes([" ".join(t.casefold().split()) for t in texts])
    by_id = _codes([("none", i) if s is None else ("id", s) for i, s in enumerate(ids)])
    label = np.arange(n)
    while True:
        old = label
        for code in (by_text, by_id):
            smallest = np.full(n, n)
            np.minimum.at(smallest, code, label)
            label = smallest[code]
        if np.array_equal(old, label):
            break
    _, group = np.unique(label, return_inverse=True)
    test = np.zeros(n, dtype=bool)
    for g in rng.permutation(len(np.unique(label))):
        if test.sum() < test_fraction * n:
            test[group == g] = True
    return np.flatnonzero(~test).tolist(), np.flatnonzero(test).tolist()
