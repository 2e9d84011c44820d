# piece: bpe_merges
# verdict: wrong
# mistake: the new token is the largest token so far plus 1 instead of 256 plus the number of merges
# style: dict rebuilt each round

from collections import Counter


def bpe_merges(words, num_merges):
    words = dict(words)
    merges = []
    next_token = max((t for w in words for t in w), default=0) + 1
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words.items():
            counts.update(dict.fromkeys(zip(w, w[1:]), 0))
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        pair = min(counts, key=lambda p: (-counts[p], p))
        merges.append(pair)
        rebuilt = {}
        for w, n in words.items():
            out, i = [], 0
            while i < len(w):
                hit = w[i : i + 2] == pair
                out.append(next_token if hit else w[i])
                i += 2 if hit else 1
            rebuilt[tuple(out)] = n
        words = rebuilt
        next_token += 1
    return merges
