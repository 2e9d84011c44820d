# piece: leak_free_split
# verdict: wrong
# mistake: the row numbers are returned in the order of the shuffled groups instead of ascending
# style: smallest label by repeated passes


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    keys = [(" ".join(t.casefold().split()),) for t in texts]
    label = list(range(n))
    for _ in range(n):
        low = {}
        for i in range(n):
            for key in (keys[i], ids[i]):
                if key is not None:
                    low[key] = min(label[i], low.get(key, n))
        label = [min(low[key] for key in (keys[i], ids[i]) if key is not None) for i in range(n)]
    groups = {}
    for i, g in enumerate(label):
        groups.setdefault(g, []).append(i)
    blocks = [groups[g] for g in sorted(groups)]
    train, test = [], []
    for b in rng.permutation(len(blocks)):
        if len(test) < test_fraction * n:
            test += blocks[b]
        else:
            train += blocks[b]
    return train, test
