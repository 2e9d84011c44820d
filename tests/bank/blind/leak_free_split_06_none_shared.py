# piece: leak_free_split
# verdict: wrong
# mistake: rows without an id are tied together, None is treated like an id
# style: repeated smallest label


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    clean = [" ".join(t.casefold().split()) for t in texts]
    label = list(range(n))
    changed = True
    while changed:
        changed = False
        for values in (clean, ids):
            lowest = {}
            for v, g in zip(values, label):
                lowest[v] = min(g, lowest.get(v, g))
            new = [lowest[v] for v in values]
            changed = changed or new != label
            label = new
    names = sorted(set(label))
    picked = set()
    for g in rng.permutation(len(names)):
        if len(picked) < test_fraction * n:
            picked.update(i for i in range(n) if label[i] == names[g])
    return [i for i in range(n) if i not in picked], sorted(picked)
