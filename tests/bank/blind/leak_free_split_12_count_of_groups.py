# piece: leak_free_split
# verdict: wrong
# mistake: test gets a share of the groups instead of the rows
# style: union-find, slices of the permutation

import math


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    leader = list(range(n))

    def find(i):
        while leader[i] != i:
            i = leader[i]
        return i

    first = {}
    for i in range(n):
        for kind, key in (("text", " ".join(texts[i].casefold().split())), ("id", ids[i])):
            if key is not None:
                j = first.setdefault((kind, key), i)
                small, large = sorted((find(i), find(j)))
                leader[large] = small
    groups = [[i for i in range(n) if find(i) == g] for g in range(n) if leader[g] == g]
    order = rng.permutation(len(groups))
    cut = math.ceil(test_fraction * len(groups))
    test = sorted(i for g in order[:cut] for i in groups[g])
    train = sorted(i for g in order[cut:] for i in groups[g])
    return train, test
