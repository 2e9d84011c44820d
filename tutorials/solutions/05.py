"""05. Solutions: learning merges, replaying them, and the way back to text."""

from collections import Counter
from itertools import pairwise

from minitx.learn.piece import Mistake, Piece


def bpe_merges(words, num_merges):
    """A list of pairs (a, b), in the order learnt, from a dict word -> how often it occurs."""
    # Idea: keep each word as a list of tokens; count all pairs anew for every merge, then join the best in every word.
    # Line: a, b = min(pairs, key=lambda pair: (-pairs[pair], pair)) is the most frequent pair, the smallest on a tie.
    parts = {word: list(word) for word in words}
    merges = []
    for new in range(256, 256 + num_merges):
        pairs = Counter()
        for word, tokens in parts.items():
            for pair in pairwise(tokens):
                pairs[pair] += words[word]
        if not pairs:
            break
        a, b = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((a, b))
        for word, tokens in parts.items():
            joined = []
            for token in tokens:
                if joined and joined[-1] == a and token == b:
                    joined[-1] = new
                else:
                    joined.append(token)
            parts[word] = joined
    return merges


def encode_word(word, merges):
    """The tokens of one word: a list of ints, the merges replayed in their order."""
    # Idea: the outer loop is over the merges, in the order learnt; the inner one joins that pair all along the word.
    # Line: if joined and (joined[-1], token) == pair: joined[-1] = 256 + i, else joined.append(token)
    tokens = list(word)
    for i, pair in enumerate(merges):
        joined = []
        for token in tokens:
            if joined and (joined[-1], token) == pair:
                joined[-1] = 256 + i
            else:
                joined.append(token)
        tokens = joined
    return tokens


def decode(tokens, merges):
    """The text of a list of tokens; what is no UTF-8 becomes U+FFFD."""
    # Idea: a merge joins older tokens, so the bytes of every token can be listed in order; text is made at the end.
    # Line: spelt.append(spelt[a] + spelt[b]) for each merge (a, b), after the 256 bytes themselves.
    spelt = [bytes([byte]) for byte in range(256)]
    for a, b in merges:
        spelt.append(spelt[a] + spelt[b])
    return b"".join(spelt[token] for token in tokens).decode(errors="replace")


# -- what the commonest mistakes compute -------------------------------------------------------------------------


def _spelling(merges):
    spelt = [(byte,) for byte in range(256)]
    for a, b in merges:
        spelt.append(spelt[a] + spelt[b])
    return spelt


def _longest_match(word, merges):
    ids = {spelling: token for token, spelling in enumerate(_spelling(merges))}
    tokens, word = [], tuple(word)
    while word:
        end = next(end for end in range(len(word), 0, -1) if word[:end] in ids)
        tokens.append(ids[word[:end]])
        word = word[end:]
    return tokens


def _leftmost_first(word, merges):
    ids = {pair: 256 + i for i, pair in enumerate(merges)}
    tokens = list(word)
    while any(pair in ids for pair in pairwise(tokens)):
        i = next(i for i, pair in enumerate(pairwise(tokens)) if pair in ids)
        tokens[i : i + 2] = [ids[tokens[i], tokens[i + 1]]]
    return tokens


def _last_first(word, merges):
    tokens = list(word)
    for i, pair in reversed(list(enumerate(merges))):
        tokens = _join(tokens, pair, 256 + i)
    return tokens


def _join(tokens, pair, new):
    joined = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] = new
        else:
            joined.append(token)
    return joined


def _one_place(word, merges):
    tokens = list(word)
    for i, pair in enumerate(merges):
        places = [place for place, here in enumerate(pairwise(tokens)) if here == pair]
        if places:
            tokens[places[0] : places[0] + 2] = [256 + i]
    return tokens


def _keeps_the_second(word, merges):
    tokens = list(word)
    for i, pair in enumerate(merges):
        tokens = [256 + i if here == pair else here[0] for here in pairwise([*tokens, None])]
    return tokens


def _ignores(tokens, merges):
    return b"".join(bytes(_spelling(merges)[token]) for token in tokens).decode(errors="ignore")


def _one_by_one(tokens, merges):
    return "".join(bytes(_spelling(merges)[token]).decode(errors="replace") for token in tokens)


def _bytes_as_characters(tokens, merges):
    return "".join(map(chr, b"".join(bytes(_spelling(merges)[token]) for token in tokens)))


def _strict(tokens, merges):
    return b"".join(bytes(_spelling(merges)[token]) for token in tokens).decode()


def _one_step(tokens, merges):
    flat = [part for token in tokens for part in (merges[token - 256] if token >= 256 else (token,))]
    return bytes(flat).decode(errors="replace")


# -- the inputs --------------------------------------------------------------------------------------------------


def _pairs(*texts):
    """Merges from pairs of texts: ("e", "s") is a pair of bytes, ("es", "t") joins the token es with a byte."""
    ids, merges = {}, []
    for a, b in texts:
        merges.append(tuple(ids.get(part, ord(part[0])) for part in (a, b)))
        ids[a + b] = 255 + len(merges)
    return merges


def _words():
    west = _pairs(("e", "s"), ("es", "t"), ("b", "est"), ("w", "e"))
    return {
        "the word west": (tuple(b"west"), west),
        "a word in which a merge applies twice": (tuple(b"best-rest"), west),
        "a token of the whole word, learnt too late": (tuple(b"low"), _pairs(("l", "o"), ("o", "w"), ("l", "ow"))),
        "a a a a a": (tuple(b"aaaaa"), _pairs(("a", "a"))),
        "a word without any merge": (tuple(b"xyz"), west),
        "no merges": (tuple(b"west"), []),
        "an empty word": ((), west),
    }


def _tokens():
    merges = _pairs(("e", "s"), ("es", "t"), ("w", "est"))
    accent = list("café".encode())
    return {
        "the tokens of west": ([258], merges),
        "bytes and tokens": ([98, 257, 32, 258], merges),
        "a character in two tokens": (accent, merges),
        "a token that ends inside a character": ([256, 169], [(102, 195)]),
        "half a character": (accent[:-1], merges),
        "no tokens": ([], merges),
    }


EXERCISES = [
    "bpe_merges",
    Piece(
        right=encode_word,
        examples=_words,
        mistakes=(
            Mistake(
                "you take the longest token that fits, from the left; merges are replayed in the order learnt",
                _longest_match,
                lambda yours, right, word, merges: f"{bytes(word).decode()}: {len(yours)} tokens, not {len(right)}",
            ),
            Mistake(
                "you join the first pair from the left that is any merge; the one learnt first comes first",
                _leftmost_first,
                lambda yours, right, word, merges: f"your first token is {yours[0]}, right is {right[0]}",
            ),
            Mistake(
                "you go through the merges from the last to the first",
                _last_first,
                "merge 1 may need the token that merge 0 makes",
            ),
            Mistake(
                "each merge is applied at one place only; it applies wherever its pair stands",
                _one_place,
                lambda yours, right, *_: f"{len(yours) - len(right)} more tokens than there should be",
            ),
            Mistake(
                "after a pair is joined, its second token is kept as well",
                _keeps_the_second,
                lambda yours, right, *_: f"{len(yours) - len(right)} more tokens than there should be",
            ),
        ),
    ),
    Piece(
        right=decode,
        examples=_tokens,
        mistakes=(
            Mistake(
                'you leave out bytes that are no UTF-8 (errors="ignore"); one should see that something was there',
                _ignores,
                lambda yours, right, *_: f"{len(yours)} characters, not {len(right)}",
            ),
            Mistake(
                "you make text of each token alone; bytes of one character may be in two tokens",
                _one_by_one,
                lambda yours, right, *_: f"{yours.count(chr(0xFFFD))} times U+FFFD, not {right.count(chr(0xFFFD))}",
            ),
            Mistake(
                "you take every byte for a character; beyond ASCII, UTF-8 has several bytes for one",
                _bytes_as_characters,
                lambda yours, right, *_: f"{len(yours)} characters, not {len(right)}",
            ),
            Mistake("you decode strictly, and tokens can be cut inside a character", _strict, 'errors="replace"'),
            Mistake(
                "you expand a merged token only once; the two tokens in it may be joined ones, too",
                _one_step,
                "token 258 may hold token 257, and that token 256",
            ),
        ),
    ),
]
