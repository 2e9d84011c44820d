# piece: leak_free_split
# verdict: right
# style: union-find with the smaller row as root


def leak_free_split(texts, ids, test_fraction, rng):
    root = list(range(len(texts)))

    def find(i):
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first = {}
    for i, (text, key) in enumerate(zip(texts, ids)):
        marks = [("text", " ".join(text.casefold().split()))]
        if key is not None:
            marks.append(("id", key))
        for mark in marks:
            a, b = sorted((find(i), find(first.setdefault(mark, i))))
            root[b] = a

    groups = {}
    for i in range(len(texts)):
        groups.setdefault(find(i), []).append(i)
    numbered = list(groups.values())
    train, test = [], []
    for g in rng.permutation(len(numbered)):
        side = test if len(test) < test_fraction * len(texts) else train
        side.extend(numbered[g])
    return sorted(train), sorted(test)
