# piece: bpe_merges
# verdict: wrong
# mistake: every word counts once, however often it occurs
# style: dict of words rebuilt after each merge
from collections import defaultdict


def bpe_merges(words, num_merges):
    current = {word: list(word) for word in words}
    merges = []
    for number in range(256, 256 + num_merges):
        counts = defaultdict(int)
        for word in words:
            tokens = current[word]
            for i in range(len(tokens) - 1):
                counts[tokens[i], tokens[i + 1]] += 1
        if len(counts) == 0:
            break
        best = sorted(counts, key=lambda p: (-counts[p], p))[0]
        for tokens in current.values():
            i = 0
            while i < len(tokens) - 1:
                if (tokens[i], tokens[i + 1]) == best:
                    tokens[i : i + 2] = [number]
                i += 1
        merges.append(best)
    return merges
