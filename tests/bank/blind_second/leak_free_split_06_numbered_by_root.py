# piece: leak_free_split
# verdict: wrong
# mistake: the groups are numbered by their union-find root, which may be a later row, not by their first row
# style: union-find class with union by size
class Groups:
    def __init__(self, n):
        self.up = list(range(n))
        self.size = [1] * n

    def root(self, i):
        while self.up[i] != i:
            i = self.up[i]
        return i

    def join(self, i, j):
        i, j = self.root(i), self.root(j)
        if i != j:
            big, small = (i, j) if self.size[i] >= self.size[j] else (j, i)
            self.up[small] = big
            self.size[big] += self.size[small]


def leak_free_split(texts, ids, test_fraction, rng):
    sets, seen = Groups(len(texts)), {}
    for i, text in enumerate(texts):
        sets.join(seen.setdefault(("t", " ".join(text.casefold().split())), i), i)
        if ids[i] is not None:
            sets.join(i, seen.setdefault(("i", ids[i]), i))
    roots = [sets.root(i) for i in range(len(texts))]
    order, sides = sorted(set(roots)), ([], [])
    for g in rng.permutation(len(order)):
        side = sides[len(sides[1]) < test_fraction * len(texts)]
        side.extend(i for i, root in enumerate(roots) if root == order[g])
    return sorted(sides[0]), sorted(sides[1])
