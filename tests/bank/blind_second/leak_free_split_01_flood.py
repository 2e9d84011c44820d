# piece: leak_free_split
# verdict: right
# style: flood fill over rows and keys, which finds the groups in the order of their first rows
from collections import defaultdict


def leak_free_split(texts, ids, test_fraction, rng):
    keys = []
    for text, identity in zip(texts, ids):
        own = [("text", " ".join(text.casefold().split()))]
        keys.append(own if identity is None else [*own, ("id", identity)])
    rows_of = defaultdict(list)
    for row, own in enumerate(keys):
        for key in own:
            rows_of[key].append(row)

    groups, seen = [], set()
    for first in range(len(texts)):
        if first in seen:
            continue
        seen.add(first)
        group = [first]
        for row in group:  # grows while it is read
            for key in keys[row]:
                fresh = [other for other in rows_of.pop(key, []) if other not in seen]
                seen.update(fresh)
                group.extend(fresh)
        groups.append(group)

    test, train = [], []
    for number in rng.permutation(len(groups)):
        (test if len(test) < test_fraction * len(texts) else train).extend(groups[number])
    return sorted(train), sorted(test)
