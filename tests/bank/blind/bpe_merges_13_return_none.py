# piece: bpe_merges
# verdict: empty
# style: returns None


def bpe_merges(words, num_merges):
    return None
