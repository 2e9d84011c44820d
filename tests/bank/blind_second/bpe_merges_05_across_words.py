# piece: bpe_merges
# verdict: wrong
# mistake: all words are put into one stream without a border, so pairs across two words are counted and joined
# style: one long list of tokens
from collections import Counter


def bpe_merges(words, num_merges):
    stream = []
    for word, count in words.items():
        stream.extend(word * count)

    merges = []
    for step in range(num_merges):
        pairs = Counter(zip(stream, stream[1:]))
        if not pairs:
            break
        top = max(pairs.values())
        best = min(pair for pair, n in pairs.items() if n == top)
        merges.append(best)
        shorter = []
        for token in stream:
            if shorter and (shorter[-1], token) == best:
                shorter[-1] = 256 + step
            else:
                shorter.append(token)
        stream = shorter
    return merges
