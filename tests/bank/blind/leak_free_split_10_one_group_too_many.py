# piece: leak_free_split
# verdict: wrong
# mistake: uses <= where < is meant, so a group is added to test although it already has enough rows
# style: union-find with an explicit loop


def leak_free_split(texts, ids, test_fraction, rng):
    n = len(texts)
    head = list(range(n))

    def top(i):
        while head[i] != i:
            i = head[i]
        return i

    where_text, where_id = {}, {}
    for i in range(n):
        text = " ".join(texts[i].casefold().split())
        links = [where_text.setdefault(text, i)]
        if ids[i] is not None:
            links.append(where_id.setdefault(ids[i], i))
        for j in links:
            a, b = top(i), top(j)
            head[max(a, b)] = min(a, b)
    members = [[i for i in range(n) if top(i) == h] for h in range(n) if head[h] == h]
    train, test = [], []
    for g in rng.permutation(len(members)):
        target = test if len(test) <= test_fraction * n else train
        target.extend(members[g])
    return sorted(train), sorted(test)
