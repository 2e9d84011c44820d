"""Learning byte-pair merges, the inputs, and the commonest wrong answers."""

from collections import Counter
from itertools import pairwise

import numpy as np

from minitx.learn import plain
from minitx.learn.piece import Piece, slips


def bpe_merges(words, num_merges):
    """Learn merges: a list of pairs of ints, in the order learnt.

    words is a dict from a word, a tuple of bytes (ints below 256), to how often it occurs. Again and again the most
    frequent pair of neighbours, on a tie the smallest pair, becomes one new token, whose number is 256 + the number of
    merges before it. When counting, every place where two neighbours stand counts (a a a holds a a twice); when
    joining, go from left to right without overlap. Stop early when no word has two tokens left.
    """
    return plain.bpe_merges(words, num_merges)


def _words(**counts):
    return {tuple(word.encode()): count for word, count in counts.items()}


def _random_words(seed):
    rng = np.random.default_rng(seed)
    return {tuple(rng.integers(97, 101, rng.integers(1, 9)).tolist()): int(rng.integers(1, 4)) for _ in range(12)}


def _inputs():
    return {
        "low, lower, newest, widest": (_words(low=5, lower=2, newest=6, widest=3), 8),
        "a tie": (_words(zy=2, ab=2, xab=1, zyx=1), 3),
        "a tie that the other order breaks otherwise": (_words(ca=1, ab=1, bd=1, dab=1, ca_=1), 4),
        "aaaa and aaa": (_words(aaaa=1, aaa=2, baab=1), 4),
        "one rare word full of pairs": (_words(xyxyxyxyz=1, pq=3), 6),
        "overlapping pairs": (_words(aaa=2, bc=3), 2),
        "more merges than there are pairs": (_words(ab=1, c=4), 10),
        "words at random": (_random_words(0), 12),
        "other words at random": (_random_words(1), 12),
        "the bytes 0 and 255": ({(0, 255, 0): 2, (0, 0, 255): 3, (255, 255, 0, 0): 1}, 6),
        "no word": ({}, 3),
        "no merge wanted": (_words(ab=1), 0),
    }


def _learn(**slip):
    s = {
        "best": lambda pair, count: (-count, pair),
        "count": "all",
        "weight": True,
        "first": 256,
        "join": plain.join_pair,
    }
    s |= {"stop": True, "again": True, "at_least": 1} | slip

    def wrong(words, num_merges):
        pieces, merges = [(list(word), count) for word, count in words.items()], []
        for rank in range(num_merges):
            counts = Counter()
            for word, count in pieces:
                pairs = list(pairwise(word))
                if s["count"] == "once a word":
                    pairs = sorted(set(pairs), key=pairs.index)
                elif s["count"] == "no overlap":
                    pairs = [
                        pair for i, pair in enumerate(pairs) if not (i and pairs[i - 1] == pair and _even(pairs, i))
                    ]
                for pair in pairs:
                    counts[pair] += count if s["weight"] else 1
            if (s["stop"] and not counts) or max(counts.values(), default=2) < s["at_least"]:
                break
            best = min(counts, key=lambda pair: s["best"](pair, counts[pair]))
            if s["again"]:
                largest = max((token for word, _ in pieces for token in word), default=0)
                new = largest + 1 if s["first"] == "largest" else s["first"] + rank
                pieces = [(s["join"](word, best, new), count) for word, count in pieces]
            merges.append(best)
        return merges

    return wrong


def _even(pairs, i):
    """Whether an odd number of equal pairs stands right before place i, so that i overlaps the last one counted."""
    run = 0
    while i - run - 1 >= 0 and pairs[i - run - 1] == pairs[i]:
        run += 1
    return run % 2 == 1


def _first_place_only(word, pair, new):
    word = list(word)
    for i, two in enumerate(pairwise(word)):
        if two == pair:
            return [*word[:i], new, *word[i + 2 :]]
    return word


def _one_count_for_all(words, num_merges):
    counts = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_merges]


def _skips_after_a_join(word, pair, new):
    """Tokens after a join are looked at one place too late."""
    out, i = [], 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            out.append(new)
            i += 2
            if i < len(word):
                out.append(word[i])
                i += 1
        else:
            out.append(word[i])
            i += 1
    return out


def _from_the_right(word, pair, new):
    return plain.join_pair(word[::-1], pair[::-1], new)[::-1]


def _across_words(words, num_merges):
    return plain.bpe_merges({tuple(token for word, n in words.items() for token in word * n): 1}, num_merges)


def _across_words_once(words, num_merges):
    return plain.bpe_merges({tuple(token for word in words for token in word): 1}, num_merges)


BPE_MERGES = Piece(
    bpe_merges,
    _inputs,
    slips(
        {
            "a tie goes to the pair that was counted first, not to the smallest": (
                _learn(best=lambda pair, count: -count),
            ),
            "a tie goes to the largest pair, not to the smallest": (
                _learn(best=lambda pair, count: (-count, -pair[0], -pair[1])),
            ),
            "the frequencies of the words are not used": (_learn(weight=False),),
            "a pair counts once in a word, however often it stands there": (_learn(count="once a word"),),
            "overlapping places are not counted: a a a holds a a twice": (_learn(count="no overlap"),),
            "new tokens are numbered from 0, so that they are taken for bytes": (_learn(first=0),),
            "new tokens are numbered from 255, which is a byte": (_learn(first=255),),
            "new tokens are numbered from 257": (_learn(first=257),),
            "new tokens are numbered after the largest token so far, not from 256": (_learn(first="largest"),),
            "pairs are joined from the right, not from the left": (_learn(join=_from_the_right),),
            "pairs across the border of two words count, too": (_across_words, _across_words_once),
            "one merge too many": (lambda words, num_merges: plain.bpe_merges(words, num_merges + 1),),
            "one merge too few": (lambda words, num_merges: plain.bpe_merges(words, num_merges - 1),),
            "the new tokens are returned, not the pairs": (
                lambda words, num_merges: [256 + i for i in range(len(plain.bpe_merges(words, num_merges)))],
            ),
            "a tie goes by the first token of the pair alone": (_learn(best=lambda pair, count: (-count, pair[0])),),
            "no end when there is no pair left: min or max of nothing": (_learn(stop=False),),
            "the rarest pair, not the most frequent": (_learn(best=lambda pair, count: (count, pair)),),
            "pairs are counted once, at the start, and not again after each merge": (_one_count_for_all,),
            "the words are not changed by a merge, so that one pair is learnt again and again": (_learn(again=False),),
            "a pair is joined at its first place in a word only": (_learn(join=_first_place_only),),
            "after a join a token is skipped": (_learn(join=_skips_after_a_join),),
            "pairs that occur once are not joined": (_learn(at_least=2),),
        }
    ),
)

PIECES = [BPE_MERGES]
