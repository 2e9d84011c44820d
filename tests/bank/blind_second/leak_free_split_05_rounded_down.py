# piece: leak_free_split
# verdict: wrong
# mistake: the wanted size of test is rounded down with int(), so test stops too early if it is not a whole number
# style: groups as sets that are merged
def leak_free_split(texts, ids, test_fraction, rng):
    groups = []
    for row in range(len(texts)):
        keys = {(" ".join(texts[row].casefold().split()),)}
        if ids[row] is not None:
            keys.add(("id", ids[row]))
        rows = [row]
        others = []
        for other_keys, other_rows in groups:
            if keys & other_keys:
                keys = keys | other_keys
                rows = rows + other_rows
            else:
                others.append((other_keys, other_rows))
        groups = [*others, (keys, rows)]
    groups = sorted(sorted(rows) for _, rows in groups)

    wanted = int(test_fraction * len(texts))
    train, test = [], []
    for g in rng.permutation(len(groups)):
        if len(test) < wanted:
            test.extend(groups[g])
        else:
            train.extend(groups[g])
    return sorted(train), sorted(test)
