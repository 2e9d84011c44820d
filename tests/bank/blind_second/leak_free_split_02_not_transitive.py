# piece: leak_free_split
# verdict: wrong
# mistake: a row joins one group it knows by text or id, but two groups that it links are not made one
# style: dict from key to group number
def leak_free_split(texts, ids, test_fraction, rng):
    group_of = {}
    labels = []
    for row, (text, identity) in enumerate(zip(texts, ids)):
        keys = [("text", " ".join(text.casefold().split()))]
        if identity is not None:
            keys.append(("id", identity))
        known = [group_of[key] for key in keys if key in group_of]
        label = min(known, default=row)
        labels.append(label)
        for key in keys:
            group_of[key] = label

    names = sorted(set(labels))
    train, test = [], []
    for number in rng.permutation(len(names)):
        rows = [row for row, label in enumerate(labels) if label == names[number]]
        if len(test) < test_fraction * len(texts):
            test += rows
        else:
            train += rows
    return sorted(train), sorted(test)
