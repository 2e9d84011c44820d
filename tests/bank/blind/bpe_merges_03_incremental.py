# piece: bpe_merges
# verdict: right
# style: pair counts kept up to date, only words that hold the pair are rewritten, generators

from collections import Counter
from itertools import pairwise


def joined(tokens, pair, new):
    it = iter(tokens)
    waiting = next(it, None)
    for token in it:
        if (waiting, token) == pair:
            yield new
            waiting = next(it, None)
        else:
            yield waiting
            waiting = token
    if waiting is not None:
        yield waiting


def bpe_merges(words, num_merges):
    state = [(tuple(word), n) for word, n in words.items()]
    counts = Counter()
    for word, n in state:
        for pair in pairwise(word):
            counts[pair] += n
    merges = []
    while counts and len(merges) < num_merges:
        pair = sorted(counts, key=lambda p: (-counts[p], p))[0]
        for i, (word, n) in enumerate(state):
            if pair in pairwise(word):
                new = tuple(joined(word, pair, 256 + len(merges)))
                for old_pair in pairwise(word):
                    counts[old_pair] -= n
                for new_pair in pairwise(new):
                    counts[new_pair] += n
                state[i] = (new, n)
        counts = Counter({p: c for p, c in counts.items() if c > 0})
        merges.append(pair)
    return merges
