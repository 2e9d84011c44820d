# piece: leak_free_split
# verdict: wrong
# mistake: the text is put into lower case with lower() instead of casefold(), which keeps STRASSE and straße apart
# style: labels lowered to the smallest neighbour until nothing changes
def normal(text):
    return " ".join(text.lower().split())


def lowest_labels(labels, keys):
    smallest = {}
    for label, key in zip(labels, keys):
        if key is not None:
            smallest[key] = min(label, smallest.get(key, label))
    return [smallest.get(key, label) for label, key in zip(labels, keys)]


def leak_free_split(texts, ids, test_fraction, rng):
    labels, before = list(range(len(texts))), None
    cleaned = [normal(text) for text in texts]
    while labels != before:
        before = labels
        labels = lowest_labels(lowest_labels(labels, cleaned), ids)

    groups = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    groups = list(groups.values())
    train, test = [], []
    for number in rng.permutation(len(groups)):
        target = test if len(test) < test_fraction * len(texts) else train
        target += groups[number]
    return sorted(train), sorted(test)
