# piece: bpe_merges
# verdict: wrong
# mistake: on a tie the pair seen first is taken instead of the smallest
# style: max over a dict by value


def bpe_merges(words, num_merges):
    tokens = [(list(w), n) for w, n in words.items()]
    merges = []
    for k in range(num_merges):
        stats = {}
        for ids, n in tokens:
            for a, b in zip(ids, ids[1:]):
                stats[a, b] = stats.get((a, b), 0) + n
        if not stats:
            break
        best = max(stats, key=stats.get)
        merges.append(best)
        for ids, _ in tokens:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [256 + k]
                i += 1
    return merges
