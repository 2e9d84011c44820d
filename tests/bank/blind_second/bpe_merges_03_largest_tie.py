# piece: bpe_merges
# verdict: wrong
# mistake: on a tie the largest pair wins, since max compares (count, pair)
# style: Counter and a generator that joins
from collections import Counter


def joined(word, pair, new):
    i = 0
    while i < len(word):
        hit = word[i : i + 2] == pair
        yield new if hit else word[i]
        i += 2 if hit else 1


def bpe_merges(words, num_merges):
    vocab = list(words.items())
    learnt = []
    while len(learnt) < num_merges:
        counts = Counter()
        for word, n in vocab:
            for pair in zip(word, word[1:]):
                counts[pair] += n
        if not counts:
            return learnt
        _, best = max((n, pair) for pair, n in counts.items())
        vocab = [(tuple(joined(word, best, 256 + len(learnt))), n) for word, n in vocab]
        learnt.append(best)
    return learnt
