# piece: leak_free_split
# verdict: wrong
# mistake: rows are grouped by their text only, a shared id does not keep them together
# style: dict of lists


def leak_free_split(texts, ids, test_fraction, rng):
    groups = {}
    for row, text in enumerate(texts):
        groups.setdefault(" ".join(text.casefold().split()), []).append(row)
    groups = list(groups.values())
    wanted = test_fraction * len(texts)
    train, test = [], []
    for i in rng.permutation(len(groups)):
        if len(test) < wanted:
            test.extend(groups[i])
        else:
            train.extend(groups[i])
    train.sort()
    test.sort()
    return train, test
