"""Exercises of lesson 05: check them with "minitx learn 05 --check".

A word is a tuple of bytes, (108, 111, 119) for "low". Merge number i joins a pair of tokens into the token 256 + i.
"""


def bpe_merges(words, num_merges):
    """Learn merges: a list of pairs (a, b), in the order learnt.

    `words` is a dict from a word to how often it occurs. Again and again, the most frequent pair of neighbours, on a
    tie the smallest pair, becomes one new token, whose number is 256 + the number of merges before it. Joining goes
    from left to right and does not overlap; every place where two neighbours stand counts when counting (a a a holds
    a a twice). Stop after `num_merges`, or when no word has two tokens left.
    """
    raise NotImplementedError


def encode_word(word, merges):
    """The tokens of one word: a list of ints.

    `word` is a tuple of bytes, `merges` a list of pairs (a, b) in the order learnt. Go through the merges in that
    order; each joins its pair wherever it stands, from left to right, without overlap: a a a becomes (a a) a.
    """
    raise NotImplementedError


def decode(tokens, merges):
    """The text of a list of tokens: a str.

    A token below 256 is a byte; token 256 + i stands for the two tokens of merges[i]. Bytes that are no UTF-8, half of
    a character for instance, become U+FFFD, as `bytes.decode(errors="replace")` does it. No tokens give "".
    """
    raise NotImplementedError
