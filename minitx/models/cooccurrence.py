"""Where do the first embeddings come from? Tokens that occur beside the same tokens start close to each other.

A few thousand labelled texts are little to learn from; but the texts alone, without their labels, show which tokens are
used alike. That is cheap to find out before training, and saves an encoder that starts from scratch its first epochs.
"""

from collections.abc import Sequence

import numpy as np

from minitx.system import usable_cores, workers

MOST_TOKENS = 8000  # only the most frequent count, so that the three matrices take 256 MB each at most
SMOOTHING = 0.75  # exponent of the neighbours' counts; with 1, the rarest neighbours would seem to say the most
ROWS = 512  # of a product that a thread computes at once; fixed, so that bits depend on no number of threads


def cooccurrence_vectors(
    sequences: Sequence[Sequence[int]], vocab_size: int, dim: int, *, window: int = 4, rng: np.random.Generator
) -> np.ndarray:
    """A vector of length 1 for each token that occurs beside others, zeros for the rest: (V, dim), float32.

    With n(t, c) the number of times that c stands within `window` tokens of t, each counted as 1 / distance:

        P(t, c) = max(0, log( n(t, c) / (n(t) p(c)) )) ,  p(c) = n(c)^0.75 / sum n^0.75
        P ≈ U S Vᵀ, the `dim` largest singular values ;  vector(t) = row t of U √S, centred, over its length

    Levy, Goldberg & Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings",
    sections 2 and 3: positive pointwise mutual information, whose factors are what word2vec finds. The singular values
    are found by random projection: Halko, Martinsson & Tropp 2011, algorithm 4.4.

    Args:
        sequences: the ids of each training text, without special tokens; only the 8,000 most frequent tokens count.
        vocab_size: V, more than every id.
        dim: width of the vectors.
        window: how many tokens on either side count as neighbours.
        rng: draws the random projection.
    """
    flat = np.concatenate([np.asarray(ids, np.int64) for ids in sequences] or [np.zeros(0, np.int64)])
    text = np.repeat(np.arange(len(sequences)), [len(ids) for ids in sequences])
    tokens = np.sort(np.argsort(-np.bincount(flat, minlength=vocab_size), kind="stable")[:MOST_TOKENS])
    place = np.full(vocab_size, -1)
    place[tokens] = np.arange(len(tokens))
    flat = place[flat]

    n = np.zeros((len(tokens), len(tokens)), np.float32)
    for distance in range(1, window + 1):
        first, second = flat[:-distance], flat[distance:]
        together = (text[:-distance] == text[distance:]) & (first >= 0) & (second >= 0)
        np.add.at(n, (first[together], second[together]), 1 / distance)
    n += n.T

    count = n.sum(axis=1)
    smoothed = count**SMOOTHING
    expected = np.maximum(count[:, None] * (smoothed / max(smoothed.sum(), 1)), np.finfo(np.float32).tiny)
    P = np.log(np.maximum(np.divide(n, expected, out=n), 1, out=n), out=n)

    basis = rng.normal(size=(len(tokens), dim + 32)).astype(np.float32)
    with workers(usable_cores()) as pool:

        def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            parts = pool.map(lambda start: a[start : start + ROWS] @ b, range(0, max(1, len(a)), ROWS))
            return np.concatenate(list(parts))

        basis = times(P, basis)
        for _ in range(3):
            basis = times(P, times(P.T, np.linalg.qr(basis)[0]))
        basis = np.linalg.qr(basis)[0]
        u, s, _ = np.linalg.svd(times(P.T, basis).T, full_matrices=False)
        found = (basis @ u)[:, :dim] * np.sqrt(s[:dim])

    known = count > 0
    found[known] -= found[known].mean(axis=0) if known.any() else 0
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    vectors = np.zeros((vocab_size, dim), np.float32)
    vectors[tokens[known], : found.shape[1]] = (found / np.maximum(lengths, 1e-6))[known]
    return vectors
