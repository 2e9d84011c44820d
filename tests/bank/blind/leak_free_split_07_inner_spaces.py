# piece: leak_free_split
# verdict: wrong
# mistake: only spaces at the ends are removed, runs of white space inside the text stay as they are
# style: union-find in a class


class Sets:
    def __init__(self, n):
        self.up = list(range(n))

    def find(self, i):
        while self.up[i] != i:
            i = self.up[i]
        return i

    def union(self, i, j):
        i, j = self.find(i), self.find(j)
        self.up[max(i, j)] = min(i, j)


def normal(text):
    return text.strip().casefold()


def leak_free_split(texts, ids, test_fraction, rng):
    sets, text_row, id_row = Sets(len(texts)), {}, {}
    for i, (t, k) in enumerate(zip(texts, ids)):
        sets.union(i, text_row.setdefault(normal(t), i))
        if k is not None:
            sets.union(i, id_row.setdefault(k, i))
    groups = {}
    for i in range(len(texts)):
        groups.setdefault(sets.find(i), []).append(i)
    order = sorted(groups)
    train, test = [], []
    for g in rng.permutation(len(order)):
        part = test if len(test) < test_fraction * len(texts) else train
        part += groups[order[g]]
    return sorted(train), sorted(test)
