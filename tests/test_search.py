"""Exact search: which inputs it takes, and which it refuses by row. test_encode.py compares what it finds."""

import tracemalloc

import numpy as np
import pytest

from minitx.errors import InputError
from minitx.models.search import SIMILARITIES, cos_sim, dot_score, semantic_search


def ids(hits):
    return [[hit["corpus_id"] for hit in row] for row in hits]


@pytest.mark.parametrize("score", [cos_sim, dot_score])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["query", "corpus"])
@pytest.mark.parametrize("top_k", [1, 100])
def test_a_row_that_has_no_place_in_the_order_is_named(rng, score, value, where, top_k):
    arrays = {"query": rng.normal(size=(23, 8)), "corpus": rng.normal(size=(57, 8))}
    arrays[where][17, 3] = value
    arrays[where][19, 3] = value
    arrays[where][17, 4] = -value  # inf - inf
    with pytest.raises(InputError, match=rf"^{where}_embeddings: row 17 holds NaN or infinity; accepted are finite"):
        semantic_search(*arrays.values(), 7, 13, top_k=top_k, score_function=score)


def test_a_score_function_that_gives_nan_is_named(rng):
    with pytest.raises(InputError, match="score_function gives NaN for finite vectors"):
        semantic_search(np.ones((2, 3)), np.ones((4, 3)), score_function=lambda a, b: dot_score(a, b) * np.nan)


def test_more_than_the_corpus_has_and_an_empty_corpus(rng):
    corpus = rng.normal(size=(5, 3))
    hits = semantic_search(corpus, corpus, corpus_chunk_size=2, top_k=50)
    assert [sorted(row) for row in ids(hits)] == [[0, 1, 2, 3, 4]] * 5
    assert [row[0] for row in ids(hits)] == [0, 1, 2, 3, 4]
    assert all(row == sorted(row, key=lambda hit: -hit["score"]) for row in hits)
    assert semantic_search(corpus, corpus[:0]) == [[]] * 5
    assert semantic_search(corpus[:0], corpus) == []


@pytest.mark.parametrize("dtypes", [("f2", "f2"), ("f8", "f8"), ("f2", "f4"), ("f4", "f8"), ("i2", "f4")], ids=str)
def test_vectors_of_every_precision(rng, dtypes):
    queries, corpus = (rng.normal(size=shape) * 40 for shape in ((4, 300), (50, 300)))
    queries, corpus = queries.astype(dtypes[0]), corpus.astype(dtypes[1])  # sums of squares overflow in float16
    expected = np.argsort(-cos_sim(queries.astype("f8"), corpus.astype("f8")), axis=1, kind="stable")[:, :3]
    hits = semantic_search(queries, corpus, corpus_chunk_size=9, top_k=3)
    assert ids(hits) == expected.tolist()
    top = [[hit["score"] for hit in row] for row in hits]
    exact = np.take_along_axis(cos_sim(queries.astype("f8"), corpus.astype("f8")), expected, axis=1)
    np.testing.assert_allclose(top, exact, atol=1e-13 if dtypes == ("f8", "f8") else 1e-6)


def test_one_query_is_a_row(rng):
    corpus = rng.normal(size=(9, 4))
    assert semantic_search(corpus[3], corpus, top_k=2) == semantic_search(corpus[3:4], corpus, top_k=2)
    with pytest.raises(InputError, match=r"queries \(1, 2, 4\) and corpus \(9, 4\) must be"):
        semantic_search(corpus[None, :2], corpus)
    with pytest.raises(InputError, match=r"queries \(1, 4\) and corpus \(4,\) must be"):
        semantic_search(corpus[3], corpus[3])


def test_a_memory_map_is_read_in_blocks(tmp_path):
    np.save(tmp_path / "corpus.npy", np.ones((100_000, 64), np.float32))  # 25.6 MB
    corpus = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        semantic_search(np.ones(64, np.float32), corpus, corpus_chunk_size=1000, top_k=3)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("score", [cos_sim, dot_score, semantic_search])
def test_texts_are_no_vectors(score):
    with pytest.raises(InputError, match=r"expected vectors, not texts 'a': encode texts first"):
        score("a", "b")


def test_vectors_of_different_widths_are_refused():
    for score in SIMILARITIES.values():
        with pytest.raises(InputError, match="vectors of 3 and of 2 numbers cannot be compared"):
            score(np.ones((4, 3)), np.ones((5, 2)))
