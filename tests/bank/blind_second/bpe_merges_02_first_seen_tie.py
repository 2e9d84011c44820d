# piece: bpe_merges
# verdict: wrong
# mistake: on a tie the pair that was met first wins, because max looks at the counts only
# style: two helpers as in minbpe
def get_stats(vocab):
    stats = {}
    for ids, n in vocab:
        for pair in zip(ids, ids[1:]):
            stats[pair] = stats.get(pair, 0) + n
    return stats


def merge(ids, pair, idx):
    out, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            out.append(idx)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def bpe_merges(words, num_merges):
    vocab = [(list(word), n) for word, n in words.items()]
    merges = []
    for i in range(num_merges):
        stats = get_stats(vocab)
        if not stats:
            break
        pair = max(stats, key=stats.get)
        vocab = [(merge(ids, pair, 256 + i), n) for ids, n in vocab]
        merges.append(pair)
    return merges
