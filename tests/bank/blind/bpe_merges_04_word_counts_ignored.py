# piece: bpe_merges
# verdict: wrong
# mistake: every word counts once, how often it occurs is ignored
# style: Counter and a helper for joining

from collections import Counter


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
    corpus = {word: list(word) for word in words}
    merges = []
    for step in range(num_merges):
        stats = Counter()
        for word in corpus:
            for pair in zip(corpus[word], corpus[word][1:]):
                stats[pair] += 1
        if not stats:
            break
        pair = min(stats, key=lambda p: (-stats[p], p))
        merges.append(pair)
        corpus = {word: merge(ids, pair, 256 + step) for word, ids in corpus.items()}
    return merges
