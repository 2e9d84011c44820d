# piece: bpe_merges
# verdict: wrong
# mistake: pairs are joined from right to left, so a a a becomes a X instead of X a
# style: loop backwards over the list, in place


def bpe_merges(words, num_merges):
    seqs = [[list(w), n] for w, n in words.items()]
    merges = []
    for step in range(num_merges):
        counts = {}
        for ids, n in seqs:
            for pair in zip(ids, ids[1:]):
                counts[pair] = counts.get(pair, 0) + n
        if len(counts) == 0:
            return merges
        high = max(counts.values())
        a, b = min(p for p in counts if counts[p] == high)
        for ids, _ in seqs:
            j = len(ids) - 2
            while j >= 0:
                if ids[j] == a and ids[j + 1] == b:
                    ids[j : j + 2] = [256 + step]
                    j -= 1
                j -= 1
        merges.append((a, b))
    return merges
