"""Tokens that keep the same company get similar vectors."""

import numpy as np
import pytest

from minitx.models import cooccurrence
from minitx.models.cooccurrence import cooccurrence_vectors


def sentences(rng, n=400):
    """Tokens 0 to 9 between tokens 20 to 24, tokens 10 to 19 between 25 to 29; nothing else tells them apart."""
    for _ in range(n):
        kind = rng.integers(2)
        words, company = 10 * kind + rng.integers(10, size=4), 20 + 5 * kind + rng.integers(5, size=4)
        yield np.ravel(np.column_stack([company, words])).tolist()


def test_alike_are_those_that_stand_beside_the_same(rng):
    vectors = cooccurrence_vectors(list(sentences(rng)), 32, 8, rng=rng)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:30], axis=1), 1, atol=1e-5)
    assert not vectors[30:].any()  # never seen
    cosines = vectors[:20] @ vectors[:20].T
    same = np.add.outer(np.arange(20) // 10, np.arange(20) // 10) % 2 == 0
    assert cosines[same].min() > cosines[~same].max()


@pytest.mark.parametrize("dim", [3, 8])
def test_it_is_the_singular_value_decomposition(rng, dim):
    """Against the definition, counted pair by pair; singular vectors are only defined up to a rotation."""
    texts = [rng.integers(12, size=rng.integers(1, 9)).tolist() for _ in range(200)]
    n = np.zeros((12, 12))
    for text in texts:
        for i, t in enumerate(text):
            for j, c in enumerate(text):
                if 0 < abs(i - j) <= 2:
                    n[t, c] += 1 / abs(i - j)
    p = n.sum(0) ** 0.75 / (n.sum(0) ** 0.75).sum()
    P = np.maximum(np.log(np.maximum(n, 1e-300) / (n.sum(1, keepdims=True) * p)), 0)
    u, s, _ = np.linalg.svd(P)
    expected = u[:, :dim] * np.sqrt(s[:dim])
    expected -= expected.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = cooccurrence_vectors(texts, 12, dim, window=2, rng=rng)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_odd_cases(rng, monkeypatch):
    assert not cooccurrence_vectors([], 5, 4, rng=rng).any()
    assert not cooccurrence_vectors([[1], [], [2]], 5, 4, rng=rng).any()  # nobody keeps company
    wide = cooccurrence_vectors([[1, 2, 3], [2, 1]], 5, 40, rng=rng)
    assert wide.shape == (5, 40)
    assert np.isfinite(wide).all()
    monkeypatch.setattr(cooccurrence, "MOST_TOKENS", 2)
    few = cooccurrence_vectors([[1, 2, 3], [2, 1, 2], [1, 2]], 5, 4, rng=rng)
    assert np.flatnonzero(few.any(axis=1)).tolist() == [1, 2]


def test_the_same_generator_gives_the_same_bits():
    texts = list(sentences(np.random.default_rng(0)))
    runs = [cooccurrence_vectors(texts, 30, 8, rng=np.random.default_rng(1)).tobytes() for _ in range(2)]
    assert runs[0] == runs[1]
