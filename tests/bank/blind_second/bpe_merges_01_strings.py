# piece: bpe_merges
# verdict: right
# style: every token is one character of a string, so str.replace does the joining
from collections import Counter


def bpe_merges(words, num_merges):
    texts = [("".join(map(chr, word)), count) for word, count in words.items()]
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for text, count in texts:
            for left, right in zip(text, text[1:]):
                counts[left + right] += count
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        new = chr(256 + len(merges))
        texts = [(text.replace(best, new), count) for text, count in texts]
        merges.append((ord(best[0]), ord(best[1])))
    return merges
