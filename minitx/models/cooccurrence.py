"""Where do the first embeddings come from? Tokens that keep the same company start close to each other.

A few thousand labelled texts are few to learn from; the texts themselves, without their labels, say which tokens are
alike. That is cheap to find out before training, and saves an encoder from scratch its first epochs.
"""

from collections.abc import Sequence

import numpy as np

MOST_TOKENS = 8000  # of the vocabulary, the most frequent: at the worst three matrices of 256 MB
SMOOTHING = 0.75  # of how often a token occurs as company: else the rarest seem the most telling


def cooccurrence_vectors(
    sequences: Sequence[Sequence[int]], vocab_size: int, dim: int, *, window: int = 4, rng: np.random.Generator
) -> np.ndarray:
    """A vector of length 1 for each token that occurs beside others, zeros for the rest: (V, dim) float32.

    With n(t, c) the number of times that c stands within `window` tokens of t, each counted as 1 / distance:

        P(t, c) = max(0, log( n(t, c) / (n(t) p(c)) )) ,  p(c) = n(c)^0.75 / sum n^0.75
        P ≈ U S Vᵀ, the `dim` largest singular values ;  vector(t) = row t of U √S, centred, over its length

    Levy, Goldberg & Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings",
    sections 2 and 3: positive pointwise mutual information, whose factors are what word2vec finds. The singular values
    by random projection: Halko, Martinsson & Tropp 2011, algorithm 4.4, which is what `rng` is for.
    `sequences` are the ids of training texts, without special tokens; at most the 8,000 most frequent tokens count.
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
    company = count**SMOOTHING
    expected = np.maximum(count[:, None] * (company / max(company.sum(), 1)), np.finfo(np.float32).tiny)
    P = np.log(np.maximum(np.divide(n, expected, out=n), 1, out=n), out=n)

    basis = P @ rng.normal(size=(len(tokens), dim + 32)).astype(np.float32)
    for _ in range(3):
        basis = P @ (P.T @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    u, s, _ = np.linalg.svd(basis.T @ P, full_matrices=False)
    found = (basis @ u)[:, :dim] * np.sqrt(s[:dim])

    known = count > 0
    found[known] -= found[known].mean(axis=0) if known.any() else 0
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    vectors = np.zeros((vocab_size, dim), np.float32)
    vectors[tokens[known], : found.shape[1]] = (found / np.maximum(lengths, 1e-6))[known]
    return vectors
