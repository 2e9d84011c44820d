# piece: leak_free_split
# verdict: right
# style: rows by key, flood fill from every row that has no group yet

from collections import defaultdict, deque


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    keys = []
    for text, name in zip(texts, ids):
        own = {(0, " ".join(text.casefold().split()))}
        if name is not None:
            own.add((1, name))
        keys.append(own)
    rows_of = defaultdict(list)
    for row, own in enumerate(keys):
        for key in own:
            rows_of[key].append(row)

    label = [-1] * n
    num_groups = 0
    for start in range(n):
        if label[start] >= 0:
            continue
        label[start] = num_groups
        queue = deque([start])
        while queue:
            for key in keys[queue.popleft()]:
                for row in rows_of.pop(key, ()):
                    if label[row] < 0:
                        label[row] = num_groups
                        queue.append(row)
        num_groups += 1

    in_test = set()
    for group in rng.permutation(num_groups):
        if len(in_test) < test_fraction * n:
            in_test |= {row for row in range(n) if label[row] == group}
    return [r for r in range(n) if r not in in_test], sorted(in_test)
