"""encode(), similarity and search: the shapes, the order, the threads, and sentence-transformers' answers."""

import threading

import numpy as np
import pytest
import torch
from checkpoints import TEXTS, make_checkpoint
from sentence_transformers import SentenceTransformer, util

from minitx.errors import InputError
from minitx.models import encoding
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.encoding import batches_by_length, run_batches
from minitx.models.search import cos_sim, dot_score, semantic_search


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    make_checkpoint("bert", path)
    return path


@pytest.fixture(scope="module")
def encoder(directory):
    return SentenceEncoder.from_pretrained(directory)


@pytest.fixture(scope="module")
def reference(directory):
    return SentenceTransformer(str(directory))


def test_a_string_a_list_and_nothing(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 21)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(encoder.encode(TEXTS[0]), vectors[0], atol=1e-6)
    assert encoder.encode([]).shape == (0, 21)


@pytest.mark.parametrize(
    "options",
    [
        {"normalize_embeddings": True},
        {"truncate_dim": 7},
        {"truncate_dim": 7, "normalize_embeddings": True},
        {"batch_size": 1},
    ],
    ids=str,
)
def test_options_mean_what_they_mean_there(encoder, reference, options):
    np.testing.assert_allclose(encoder.encode(TEXTS, **options), reference.encode(TEXTS, **options), atol=1e-5)


def test_token_embeddings(encoder, reference):
    ours = encoder.encode(TEXTS, output_value="token_embeddings")
    theirs = reference.encode(TEXTS, output_value="token_embeddings")
    assert [states.shape for states in ours] == [tuple(states.shape) for states in theirs]
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS[0], output_value="token_embeddings"), ours[0], atol=1e-6)


def test_a_vector_does_not_depend_on_its_neighbours(encoder):
    texts = [" ".join(TEXTS[: i % 4 + 1]) for i in range(50)]
    together = encoder.encode(texts)
    alone = np.array([encoder.encode(text) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], together, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_text_without_a_token_gives_zeros(pooling):
    class Words:
        vocab_size, pad_id = 9, 0

        def encode_and_cut(self, texts, max_length):
            return [[len(word) for word in text.split()] for text in texts], 0

    config = EncoderConfig(9, hidden_size=8, num_heads=2, pooling=pooling, normalize=True)
    vectors = SentenceEncoder(config, Words(), rng=np.random.default_rng(0)).encode(["", "a word", ""])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([0, 1, 0])


def test_the_mode_is_as_it_was(encoder):
    encoder.train()
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))  # without dropout all the same
    assert encoder.training
    assert encoder.dropout.training
    encoder.eval()


def test_texts_are_cut_where_they_are_cut_there(directory, reference):
    encoder, text = SentenceEncoder.from_pretrained(directory), "crashes " * 40
    encoder.max_seq_length = reference.max_seq_length = 9
    with pytest.warns(UserWarning, match="1 of 1 texts longer than 9 tokens"):
        vector = encoder.encode(text)
    np.testing.assert_allclose(vector, reference.encode(text), atol=1e-5)
    reference.max_seq_length = 160


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_value": "tokens"}, "unknown output_value 'tokens': choose from sentence_embedding, token_embeddings"),
        ({"truncate_dim": 22}, "truncate_dim from 1 to 21, not 32 and 22"),
        ({"truncate_dim": -1}, "truncate_dim"),
        ({"truncate_dim": 0}, "truncate_dim from 1 to 21, not 32 and 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_encode_refuses(encoder, options, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(TEXTS, **options)
    with pytest.raises(InputError, match="a text must be a str, got float"):
        encoder.encode([float("nan")])


def test_batches_hold_every_text_once_and_the_longest_come_first(rng):
    lengths = rng.integers(1, 300, size=500)
    lengths[::50] = 0
    batches = batches_by_length(lengths, 32)
    order = np.concatenate(batches)
    assert sorted(order) == np.flatnonzero(lengths).tolist()
    assert (np.diff(lengths[order]) <= 0).all()
    assert all(1 <= len(rows) <= 32 for rows in batches)
    tokens = [len(rows) * lengths[rows].max() for rows in batches]  # with padding
    assert max(tokens) <= encoding.TOKENS_IN_CACHE
    after = 0
    for rows in batches[:-1]:  # one more would be too many, or too short
        after += len(rows)
        too_many = len(rows) == 32 or (len(rows) + 1) * lengths[rows[0]] > encoding.TOKENS_IN_CACHE
        assert too_many or lengths[order[after]] < 0.9 * lengths[rows[0]]
    assert sum(tokens) < 1.05 * lengths.sum()  # hardly any of it padding
    assert max(len(rows) for rows in batches_by_length(lengths, 3)) == 3
    assert [rows.tolist() for rows in batches_by_length(np.array([0, 5000, 0]), 4)] == [[1]]
    assert batches_by_length(np.array([], np.int64), 4) == []


def test_what_is_padded_is_masked():
    """Each text meets the model whole, and nothing of it beside its own tokens counts as real."""
    texts = [list(range(1, n + 1)) for n in (5, 2, 9, 1, 0, 7)]
    met = {}

    def work(rows, ids, attention_mask):
        for row, padded, real in zip(rows, ids, attention_mask, strict=True):
            met[int(row)] = padded[real].tolist()
            assert (padded[~real] == 77).all()

    run_batches(texts, 4, 77, work)
    assert met == {row: ids for row, ids in enumerate(texts) if ids}


def test_all_cores_work_and_an_error_comes_through(monkeypatch):
    monkeypatch.setattr(encoding, "usable_cores", lambda: 3)
    monkeypatch.setattr(encoding, "TOKENS_IN_CACHE", 3)
    both, seen = threading.Barrier(3, timeout=10), set()

    def work(rows, ids, attention_mask):
        both.wait()  # goes on only if three threads are here at once
        seen.add(threading.current_thread().name)

    run_batches([[1, 2, 3]] * 3, 1, 0, work)
    assert len(seen) == 3

    def fail(rows, ids, attention_mask):
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        run_batches([[1, 2, 3]] * 50, 1, 0, fail)


def test_the_progress_bar_counts_texts(encoder, capsys):
    encoder.encode(TEXTS, show_progress_bar=True)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capsys.readouterr().err
    encoder.encode(TEXTS)
    assert capsys.readouterr().err == ""


def test_similarity(encoder, reference):
    vectors = encoder.encode(TEXTS)
    expected = reference.similarity(torch.tensor(vectors), torch.tensor(vectors))
    np.testing.assert_allclose(encoder.similarity(vectors, vectors), expected, atol=1e-6)
    np.testing.assert_allclose(cos_sim(vectors[0], vectors), util.cos_sim(vectors[0], vectors), atol=1e-6)
    assert cos_sim(np.zeros(3), np.ones(3)).tolist() == [[0]]


@pytest.mark.parametrize(("score", "theirs"), [(cos_sim, util.cos_sim), (dot_score, util.dot_score)])
@pytest.mark.parametrize("sizes", [(7, 13), (100, 1000), (1, 1)])
def test_search_finds_what_sentence_transformers_finds(rng, score, theirs, sizes):
    queries, corpus = rng.normal(size=(23, 8)).astype(np.float32), rng.normal(size=(57, 8)).astype(np.float32)
    for top_k in (1, 5, 100):
        found = semantic_search(queries, corpus, *sizes, top_k=top_k, score_function=score)
        expected = util.semantic_search(queries, corpus, top_k=top_k, score_function=theirs)
        for mine, other in zip(found, expected, strict=True):
            assert [hit["corpus_id"] for hit in mine] == [hit["corpus_id"] for hit in other]
            np.testing.assert_allclose(
                [hit["score"] for hit in mine], [hit["score"] for hit in other], rtol=1e-5, atol=1e-6
            )


def test_search_of_equals_gives_the_first_and_of_nothing_gives_nothing():
    hits = semantic_search(np.ones(3), np.ones((50, 3)), corpus_chunk_size=7, top_k=3)[0]
    assert [hit["corpus_id"] for hit in hits] == [0, 1, 2]
    assert semantic_search(np.ones((2, 3)), np.empty((0, 3))) == [[], []]
    with pytest.raises(InputError, match=r"queries \(1, 2\) and corpus \(4, 3\)"):
        semantic_search(np.ones(2), np.ones((4, 3)))
    with pytest.raises(InputError, match="at least 1"):
        semantic_search(np.ones(3), np.ones((4, 3)), top_k=0)
