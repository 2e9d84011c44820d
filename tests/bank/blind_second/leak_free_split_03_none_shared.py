# piece: leak_free_split
# verdict: wrong
# mistake: None is treated as an id like any other, so all rows without an id end up in one group
# style: union-find with path halving
def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    parent = list(range(n))

    def find(a):
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    first = {}
    for i in range(n):
        for key in [(0, " ".join(texts[i].casefold().split())), (1, ids[i])]:
            j = first.setdefault(key, i)
            low, high = sorted((find(i), find(j)))
            parent[high] = low

    roots = [i for i in range(n) if find(i) == i]
    train, test = [], []
    for g in rng.permutation(len(roots)):
        side = test if len(test) < test_fraction * n else train
        side.extend(i for i in range(n) if find(i) == roots[g])
    return sorted(train), sorted(test)
