# piece: leak_free_split
# verdict: wrong
# mistake: a row joins the group of its text or else of its id, two existing groups are never merged
# style: dict from key to group number


def leak_free_split(texts, ids, test_fraction, rng):
    group_of_key = {}
    groups = []
    for row, (text, label) in enumerate(zip(texts, ids)):
        keys = [("t", " ".join(text.casefold().split()))]
        if label is not None:
            keys.append(("i", label))
        known = [group_of_key[k] for k in keys if k in group_of_key]
        number = known[0] if known else len(groups)
        if number == len(groups):
            groups.append([])
        groups[number].append(row)
        for k in keys:
            group_of_key.setdefault(k, number)
    train, test = [], []
    for g in rng.permutation(len(groups)):
        (test if len(test) < test_fraction * len(texts) else train).extend(groups[g])
    return sorted(train), sorted(test)
