# piece: leak_free_split
# verdict: wrong
# mistake: texts and ids share one dictionary, so a row whose id looks like another row's text is tied to it
# style: union-find with path halving


def leak_free_split(texts, ids, test_fraction, rng):
    parent = list(range(len(texts)))

    def find(a):
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    owner = {}
    for i in range(len(texts)):
        for key in (" ".join(texts[i].casefold().split()), ids[i]):
            if key is None:
                continue
            j = owner.setdefault(key, i)
            low, high = sorted([find(i), find(j)])
            parent[high] = low
    roots = sorted({find(i) for i in range(len(texts))})
    test = []
    for g in rng.permutation(len(roots)):
        if len(test) < test_fraction * len(texts):
            test += [i for i in range(len(texts)) if find(i) == roots[g]]
    train = [i for i in range(len(texts)) if i not in test]
    return train, sorted(test)
