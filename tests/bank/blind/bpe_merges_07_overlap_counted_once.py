# piece: bpe_merges
# verdict: wrong
# mistake: overlapping places are counted without overlap, a a a holds a a only once
# style: Counter, counting with a skip

from collections import Counter


def stats_of(words):
    stats = Counter()
    for ids, n in words:
        last = None
        for i in range(len(ids) - 1):
            pair = (ids[i], ids[i + 1])
            if pair == last and ids[i] == ids[i + 1]:
                last = None
                continue
            stats[pair] += n
            last = pair
    return stats


def apply(ids, pair, new):
    out = []
    for t in ids:
        if out and out[-1] == pair[0] and t == pair[1]:
            out[-1] = new
        else:
            out.append(t)
    return out


def bpe_merges(words, num_merges):
    current = [(list(w), n) for w, n in words.items()]
    merges = []
    for i in range(num_merges):
        stats = stats_of(current)
        if not stats:
            break
        best = sorted(stats.items(), key=lambda item: (-item[1], item[0]))[0][0]
        merges.append(best)
        current = [(apply(ids, best, 256 + i), n) for ids, n in current]
    return merges
