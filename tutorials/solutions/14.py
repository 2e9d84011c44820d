"""14. Solutions: a split without leaks, the interval behind a verdict, attention a few samples at a time."""

import math

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import cat
from minitx.learn.piece import Mistake, Piece

# -- a split without leaks ------------------------------------------------------------------------------------------


def leak_free_split(texts, ids, test_fraction, rng):
    """Two ascending lists of row numbers, (train, test), such that no text and no id has rows in both.

    texts is a list of str; ids has a str or None for each row. Rows are kept together if they share a text (up to case
    and white space: " ".join(text.casefold().split())) or an id (None shares nothing), directly or through other rows.
    Number these groups by their first row; take them in the order rng.permutation(number of groups); put each whole
    group into test while test has fewer than test_fraction * N rows, else into train.
    """
    # Idea: point each row at an earlier row that shares something with it; rows that end at one root are a group.
    # Line: root[find(row)] = find(first.setdefault(key, row)) for the row's text and, unless it is None, for its id.
    root = list(range(len(texts)))

    def find(row):
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    first = {}
    for row, (text, id) in enumerate(zip(texts, ids, strict=True)):
        for key in (("text", " ".join(text.casefold().split())), ("id", id)):
            if key != ("id", None):
                a, b = find(row), find(first.setdefault(key, row))
                root[max(a, b)] = min(a, b)
    groups = {}  # the first row of a group -> its rows; in the order of first rows
    for row in range(len(texts)):
        groups.setdefault(find(row), []).append(row)
    groups, train, test = list(groups.values()), [], []
    for number in rng.permutation(len(groups)):
        (test if len(test) < test_fraction * len(texts) else train).extend(groups[number])
    return sorted(train), sorted(test)


# -- the interval of a paired difference ----------------------------------------------------------------------------


def paired_interval(a, b, t):
    """Is b better than a? Arrays a and b (n,), one value for each seed, and a number t -> (mean, low, high).

    The mean of the differences b - a, seed by seed, and mean - h and mean + h with h = t s / sqrt(n); s is the standard
    deviation of the differences, with n - 1 in its denominator. For a 95 % interval t is the 0.975 quantile of
    Student's distribution with n - 1 degrees of freedom: 12.71, 4.30, 3.18, 2.78, 2.57 for n = 2, 3, 4, 5, 6.
    """
    # Idea: take the differences first. What a seed does to both of its runs is gone before anything is averaged.
    # Line: half = t * (b - a).std(ddof=1) / math.sqrt(len(a)).
    differences = b - a
    mean = float(differences.mean())
    half = t * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return mean, mean - half, mean + half


def _around(mean, half):
    return float(mean), float(mean - half), float(mean + half)


def _unpaired(a, b, t):
    return _around((b - a).mean(), t * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)))


def _divided_by_n(a, b, t):
    return _around((b - a).mean(), t * (b - a).std() / np.sqrt(len(a)))


def _spread_of_one(a, b, t):
    return _around((b - a).mean(), t * (b - a).std(ddof=1))


def _a_minus_b(a, b, t):
    return paired_interval(b, a, t)


def _normal(a, b, t):
    return paired_interval(a, b, 1.96)


def _runs():
    rng = np.random.default_rng(0)
    of_seed = rng.normal(0.8, 0.05, 5)
    return {
        "5 seeds": (of_seed, of_seed + rng.normal(0.01, 0.005, 5), 2.78),
        "2 seeds": (np.array([0.5, 0.9]), np.array([0.6, 0.8]), 12.71),
        "no difference": (of_seed, of_seed.copy(), 2.78),
    }


# -- attention, a few samples at a time -----------------------------------------------------------------------------


def attention_in_blocks(q, k, v, block):
    """softmax(q k^T / sqrt(K)) v of each sample, `block` samples at a time: Tensors (B, T, K) -> Tensor (B, T, K).

    The same numbers and gradients as for all samples at once; only the scores in memory are fewer. The last block may
    be smaller, and `block` may be larger than B. B is at least 1; scores are not too large for exp.
    """
    # Idea: samples do not look at each other, so the batch can be cut anywhere along its first axis.
    # Line: cat([attend(q[i : i + block], k[i : i + block], v[i : i + block]) for i in range(0, B, block)])
    return cat([_attend(*(x[i : i + block] for x in (q, k, v))) for i in range(0, len(q.data), block)])


def _weights(q, k):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return (scores - scores.data.max(axis=-1, keepdims=True)).exp()


def _attend(q, k, v):
    e = _weights(q, k)
    return e / e.sum(dim=-1, keepdim=True) @ v


def _last_block_forgotten(q, k, v, block):
    B = len(q.data)
    starts = range(0, B - block + 1, block)
    return cat([_attend(*(x[i : i + block] for x in (q, k, v))) for i in starts])


def _softmax_over_those_who_ask(q, k, v, block):
    e = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).exp()
    return e / e.sum(dim=1, keepdim=True) @ v


def _not_scaled(q, k, v, block):
    return _attend(q * math.sqrt(q.shape[-1]), k, v)


def _always_the_first_block(q, k, v, block):
    return cat([_attend(q[i : i + block], k[:block], v[:block]) for i in range(0, len(q.data), block)])


def _through_arrays(q, k, v, block):
    return Tensor(attention_in_blocks(q, k, v, block).data)


def _batches():
    rng = np.random.default_rng(0)

    def tensors(*shape):
        return (Tensor(rng.normal(size=shape), requires_grad=True) for _ in range(3))

    return {
        "4 samples, 2 at a time": (*tensors(4, 3, 4), 2),
        "5 samples, 2 at a time": (*tensors(5, 3, 4), 2),
        "a block larger than the batch": (*tensors(2, 3, 4), 8),
    }


EXERCISES = [
    "leak_free_split",
    Piece(
        right=paired_interval,
        examples=_runs,
        mistakes=(
            Mistake(
                "the spread of both arms, not of their differences",
                _unpaired,
                lambda yours, right, *_: f"{yours[2] - yours[1]:.3f} wide; paired it is {right[2] - right[1]:.3f}",
            ),
            Mistake(
                "divided by n, not by n - 1, in the standard deviation",
                _divided_by_n,
                "np.std does that unless it is given ddof=1",
            ),
            Mistake(
                "not divided by the root of n",
                _spread_of_one,
                "that is where one more seed might fall; the mean of n is surer",
            ),
            Mistake("a - b, not b - a", _a_minus_b, lambda yours, right, *_: f"{yours[0]:+.3f}, not {right[0]:+.3f}"),
            Mistake("1.96 in place of t", _normal, "that is the quantile for very many seeds"),
        ),
    ),
    Piece(
        right=attention_in_blocks,
        examples=_batches,
        mistakes=(
            Mistake(
                "the last, smaller block is left out",
                _last_block_forgotten,
                lambda yours, right, *_: f"{len(yours)} samples came back, not {len(right)}",
            ),
            Mistake(
                "the softmax runs over the tokens that ask",
                _softmax_over_those_who_ask,
                "weights must add up to 1 over the tokens that are asked: the last axis",
            ),
            Mistake("scores are not divided by sqrt(K)", _not_scaled, "the weights are too sharp"),
            Mistake(
                "every block looks at the first block's k and v", _always_the_first_block, "cut all three the same way"
            ),
            Mistake("the result is made of arrays", _through_arrays, "no gradient can flow through .data; use cat"),
        ),
    ),
]
