"""Contrastive losses and measures against sentence-transformers and scipy; an encoder that learns from pairs."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sentence_transformers import util
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.evaluation.retrieval import evaluate_retrieval, similarity_correlation, spearman
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.text.bpe import BPETokenizer
from minitx.training.contrastive import (
    cosine_similarity_loss,
    fit_pairs,
    multiple_negatives_ranking_loss,
    pair_batches,
)
from minitx.training.optim import AdamW


class Passing(torch.nn.Module):
    """What stands where their losses expect a model: the vectors are the features."""

    def forward(self, features):
        return features


def vectors(rng, rows, columns=7):
    data = rng.normal(size=(rows, columns))
    return Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)


def assert_same_loss(ours, theirs, pairs):
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-12)
    ours.backward()
    theirs.backward()
    for mine, other in pairs:
        np.testing.assert_allclose(mine.grad, other.grad, atol=1e-12)


@pytest.mark.parametrize("scale", [20.0, 1.0])
@pytest.mark.parametrize("negatives", [0, 5])
def test_multiple_negatives_ranking(rng, scale, negatives):
    (a, a_twin), (b, b_twin) = vectors(rng, 5), vectors(rng, 5 + negatives)
    columns = [a_twin, b_twin[:5], b_twin[5:]][: 2 + bool(negatives)]
    theirs = MultipleNegativesRankingLoss(Passing(), scale=scale)
    expected = theirs([{"sentence_embedding": column} for column in columns], None)
    assert_same_loss(multiple_negatives_ranking_loss(a, b, scale), expected, [(a, a_twin), (b, b_twin)])


def test_cosine_similarity(rng):
    (a, a_twin), (b, b_twin) = vectors(rng, 6), vectors(rng, 6)
    target = np.array([-1, 0.25, 0.5, 1, 0, 0.75])  # exact in float32, to which theirs converts
    theirs = CosineSimilarityLoss(Passing())
    expected = theirs([{"sentence_embedding": x} for x in (a_twin, b_twin)], torch.tensor(target))
    assert_same_loss(cosine_similarity_loss(a, b, target), expected, [(a, a_twin), (b, b_twin)])


def test_no_text_is_twice_in_a_batch(rng):
    pairs = [(f"question {i}", f"answer {i % 7}") for i in range(40)] + [("same", "same")]
    batches = list(pair_batches(pairs, 8, rng))
    assert sorted(pair for batch in batches for pair in batch) == sorted(pairs)
    for batch in batches:
        assert len(batch) <= 8
        assert len({answer for _, answer in batch}) == len({question for question, _ in batch}) == len(batch)
    assert list(pair_batches(pairs, 8, np.random.default_rng(3))) == list(
        pair_batches(pairs, 8, np.random.default_rng(3))
    )


THINGS = ["app", "film", "price", "sound", "screen", "search", "login", "update", "support", "battery"]
WAYS = [("the {} is bad", "i do not like the {}"), ("{} is great", "what a good {}")]


PAIRS = [(a.format(thing), b.format(thing)) for thing in THINGS for a, b in WAYS]


def small_encoder(rng):
    tokenizer = BPETokenizer.train([text for pair in PAIRS for text in pair], vocab_size=320)
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, 32, 1, 2, 64, max_length=32, dropout=0.0)
    return SentenceEncoder(config, tokenizer, rng=rng)


def test_an_encoder_learns_to_find_partners():
    rng = np.random.default_rng(0)
    encoder = small_encoder(rng)

    def measure():
        queries, corpus = (encoder.encode(list(side)) for side in zip(*PAIRS, strict=True))
        return evaluate_retrieval(queries, corpus, [{i} for i in range(len(PAIRS))], ks=(1, 3))

    before = measure()
    seen = []
    losses = fit_pairs(
        encoder,
        PAIRS,
        AdamW([{"params": list(encoder.parameters()), "lr": 3e-3}]),
        epochs=20,
        batch_size=10,
        rng=rng,
        progress=False,
        on_epoch=lambda number, loss: seen.append((number, loss)),
    )
    after = measure()
    assert seen == [*enumerate(losses, 1)]
    assert losses[-1] < 0.3 * losses[0]
    assert after.accuracy[1] > max(0.9, before.accuracy[1])
    assert after.chance[1] == pytest.approx(1 / 20)
    assert not encoder.training


@pytest.mark.parametrize("kind", ["another model's", "a part's", "this model's and another's"])
def test_an_optimizer_that_does_not_train_the_encoder_is_refused(kind, rng):
    encoder, other = small_encoder(rng), small_encoder(rng)
    parameters, message = {
        "another model's": (other.parameters(), "parameters are not this model's: build the optimizer after the model"),
        "a part's": (encoder.transformer.parameters(), "trainable parameters are in no optimizer group: .*embedding"),
        "this model's and another's": ([*encoder.parameters(), *other.norm.parameters()], "2 of the optimizer's"),
    }[kind]
    before = {name: weights.copy() for name, weights in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        fit_pairs(encoder, PAIRS, AdamW(list(parameters)), rng=rng, progress=False)
    for name, weights in encoder.state_dict().items():
        np.testing.assert_array_equal(weights, before[name])


def test_a_frozen_encoder_is_refused_and_a_frozen_part_stays(rng):
    encoder = small_encoder(rng)
    optimizer = AdamW(list(encoder.parameters()))
    encoder.freeze()
    with pytest.raises(ValueError, match=r"all weights of this encoder are frozen: call encoder\.unfreeze\(\)"):
        fit_pairs(encoder, PAIRS, optimizer, rng=rng, progress=False)
    encoder.transformer.unfreeze()
    before = {name: weights.copy() for name, weights in encoder.state_dict().items()}
    fit_pairs(encoder, PAIRS, optimizer, rng=rng, progress=False)
    for name, weights in encoder.state_dict().items():
        assert (weights == before[name]).all() != name.startswith("transformer.")


def test_modes_while_training_and_after(rng):
    """Callers may encode between epochs, in eval mode; the next epoch trains again, with dropout."""
    encoder, seen = small_encoder(rng), []
    encoder.eval()

    def look(number, loss):
        seen.append({module.training for module in encoder.modules()})
        encoder.eval()

    fit_pairs(encoder, PAIRS, AdamW(list(encoder.parameters())), epochs=2, rng=rng, progress=False, on_epoch=look)
    assert seen == [{True}, {True}]
    assert not any(module.training for module in encoder.modules())


def test_what_pairs_are_refused():
    encoder = SentenceEncoder(EncoderConfig(30), rng=np.random.default_rng(0))
    optimizer = AdamW([{"params": list(encoder.parameters())}])
    two = ["good", "bad"]
    no_pairs = (two, [("a", "b"), ("a", "b", 1.0)], [{"anchor": "a", "positive": "b"}] * 2, ([*two, "x"], [*two, "x"]))
    for pairs in (*no_pairs, pd.DataFrame({"anchor": two, "positive": two})):
        with pytest.raises(
            InputError, match=r"pair \d is .*: expected two texts, as list\(zip\(anchors, positives\)\)"
        ):
            fit_pairs(encoder, pairs, optimizer, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2 pairs, and 2 in a batch, not 1 and 32"):
        fit_pairs(encoder, [("a", "b")], optimizer, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="not 2 and 1"):
        fit_pairs(encoder, [("a", "b"), ("c", "d")], optimizer, batch_size=1, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="no tokenizer"):
        fit_pairs(encoder, [("a", "b"), ("c", "d")], optimizer, rng=np.random.default_rng(0))


def test_spearman_is_scipys(rng):
    for x, y in [(rng.normal(size=30), rng.normal(size=30)), (rng.integers(0, 4, 30), rng.integers(0, 3, 30))]:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(spearman(np.ones(3), np.arange(3)))
    for x, y in (([1, np.nan, 3, 4], [1, 2, 3, 5]), ([1, 2, 3, 4], [1, 2, np.nan, 5]), ([1, np.inf, 3], [1, 2, 3])):
        assert spearman(np.array(x), np.array(y)) == pytest.approx(stats.spearmanr(x, y).statistic, nan_ok=True)
    with pytest.raises(InputError, match="two values at least on both sides, not 3 and 2"):
        spearman(np.ones(3), np.ones(2))
    a, b, scores = rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), rng.integers(0, 5, 9)
    expected = stats.spearmanr(util.pairwise_cos_sim(a, b), scores).statistic
    assert similarity_correlation(a, b, scores) == pytest.approx(expected)


class Looking:
    """A model that looks its vectors up, for their evaluator."""

    similarity_fn_name, model_card_data = "cosine", None

    def __init__(self, queries, corpus):
        self.vectors = {f"q{i}": v for i, v in enumerate(queries)} | {f"c{i}": v for i, v in enumerate(corpus)}

    def encode_query(self, texts, **_):
        return torch.tensor(np.array([self.vectors[text] for text in texts]))

    encode_document = encode_query


def test_retrieval_is_sentence_transformers(rng):
    queries, corpus = rng.normal(size=(12, 5)), rng.normal(size=(40, 5))
    relevant = [set(rng.choice(40, size=rng.integers(1, 6), replace=False).tolist()) for _ in range(12)]
    ours = evaluate_retrieval(queries, corpus, relevant, ks=(1, 5, 10))
    evaluator = InformationRetrievalEvaluator(
        {str(i): f"q{i}" for i in range(12)},
        {str(i): f"c{i}" for i in range(40)},
        {str(i): {str(row) for row in rows} for i, rows in enumerate(relevant)},
        mrr_at_k=[10],
        accuracy_at_k=[1, 5, 10],
        precision_recall_at_k=[1, 5, 10],
        score_functions={"cosine": util.cos_sim},
        write_csv=False,
    )
    theirs = evaluator.compute_metrices(Looking(queries, corpus))["cosine"]
    assert ours.accuracy == pytest.approx(theirs["accuracy@k"])
    assert ours.recall == pytest.approx(theirs["recall@k"])
    assert ours.mrr == pytest.approx(theirs["mrr@k"][10])
    assert str(ours).splitlines()[1].split()[0] == "1"


def test_chance_is_what_random_order_gives(rng):
    relevant = [{0, 3, 5}, {1}]
    chance = evaluate_retrieval(rng.normal(size=(2, 3)), rng.normal(size=(9, 3)), relevant, ks=(1, 4)).chance
    drawn = [[bool(set(rng.permutation(9)[:4].tolist()) & rows) for rows in relevant] for _ in range(4000)]
    assert chance[4] == pytest.approx(np.mean(drawn), abs=0.02)
    assert chance[1] == pytest.approx((3 / 9 + 1 / 9) / 2)


def test_what_retrieval_refuses():
    with pytest.raises(InputError, match="1 sets of relevant rows for 2 queries"):
        evaluate_retrieval(np.ones((2, 3)), np.ones((4, 3)), [{0}])
    for rows in ({4}, set()):
        with pytest.raises(InputError, match="every query needs relevant rows, from 0 to 3"):
            evaluate_retrieval(np.ones((1, 3)), np.ones((4, 3)), [rows])
