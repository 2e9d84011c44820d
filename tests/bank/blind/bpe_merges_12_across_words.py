# piece: bpe_merges
# verdict: wrong
# mistake: the words are put one behind the other, so pairs across the border of two words count
# style: one long list of tokens

from collections import Counter


def bpe_merges(words, num_merges):
    stream = []
    for word, n in words.items():
        for _ in range(n):
            stream.extend(word)
    merges = []
    for step in range(num_merges):
        stats = Counter(p for p in zip(stream, stream[1:]) if None not in p)
        if not stats:
            break
        pair = min(stats, key=lambda p: (-stats[p], p))
        merges.append(pair)
        out = []
        for token in stream:
            if out and (out[-1], token) == pair:
                out[-1] = 256 + step
            else:
                out.append(token)
        stream = out
    return merges
