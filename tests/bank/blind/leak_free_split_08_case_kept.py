# piece: leak_free_split
# verdict: wrong
# mistake: upper and lower case are told apart when texts are compared
# style: flood fill over neighbours


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    norm = [" ".join(t.split()) for t in texts]

    def tied(i, j):
        return norm[i] == norm[j] or (ids[i] is not None and ids[i] == ids[j])

    groups, free = [], set(range(n))
    for start in range(n):
        if start not in free:
            continue
        group, todo = [], [start]
        free.discard(start)
        while todo:
            i = todo.pop()
            group.append(i)
            near = [j for j in free if tied(i, j)]
            free.difference_update(near)
            todo.extend(near)
        groups.append(group)
    test = []
    for g in rng.permutation(len(groups)):
        if len(test) < test_fraction * n:
            test.extend(groups[g])
    return sorted(set(range(n)) - set(test)), sorted(test)
