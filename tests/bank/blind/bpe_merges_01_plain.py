# piece: bpe_merges
# verdict: right
# style: count, take the best, rewrite every word; all from scratch each time


def bpe_merges(words, num_merges):
    vocab = [(list(word), count) for word, count in words.items()]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for tokens, n in vocab:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] = counts.get(pair, 0) + n
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        new_id = 256 + len(merges)
        merges.append(best)
        vocab = [(join(tokens, best, new_id), n) for tokens, n in vocab]
    return merges


def join(tokens, pair, new_id):
    out = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair:
            out.append(new_id)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out
