# piece: bpe_merges
# verdict: wrong
# mistake: on a tie the largest pair is taken instead of the smallest
# style: max of (count, pair) tuples

from collections import defaultdict


def count_pairs(corpus):
    counts = defaultdict(int)
    for word, n in corpus:
        for pair in zip(word[:-1], word[1:]):
            counts[pair] += n
    return counts


def replace(word, pair, token):
    done = ()
    while word:
        if word[:2] == pair:
            done, word = (*done, token), word[2:]
        else:
            done, word = (*done, word[0]), word[1:]
    return done


def bpe_merges(words, num_merges):
    corpus = list(words.items())
    result = []
    while len(result) < num_merges and (counts := count_pairs(corpus)):
        _, pair = max((n, p) for p, n in counts.items())
        corpus = [(replace(word, pair, 256 + len(result)), n) for word, n in corpus]
        result.append(pair)
    return result
