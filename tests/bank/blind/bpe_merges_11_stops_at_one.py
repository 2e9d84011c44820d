# piece: bpe_merges
# verdict: wrong
# mistake: stops as soon as the most frequent pair occurs only once
# style: plain loop


def bpe_merges(words, num_merges):
    corpus = [(tuple(w), n) for w, n in words.items()]
    merges = []
    for step in range(num_merges):
        counts = {}
        for w, n in corpus:
            for p in zip(w, w[1:]):
                counts[p] = counts.get(p, 0) + n
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        new_corpus = []
        for w, n in corpus:
            out = []
            for t in w:
                if out and (out[-1], t) == best:
                    out[-1] = 256 + step
                else:
                    out.append(t)
            new_corpus.append((tuple(out), n))
        corpus = new_corpus
    return merges
