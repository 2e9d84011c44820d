"""SentenceEncoder and MultiTaskModel: against a torch twin over 20 steps, and what must not change a vector."""

import math
import re

import numpy as np
import pytest
import torch
from reference import TorchMultiTask, assert_same, ragged_mask
from torch.nn import functional as TF

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.checkpoint import load_config, save_model
from minitx.training.optim import Adam

TEXTS = ["the app crashes", "love it", "ok", "it keeps crashing since the last update and nobody answers", "ok"]


def make_model(seed=0, tokenizer=None, **settings):
    config = {"vocab_size": 30, "hidden_size": 12, "num_heads": 3, "intermediate_size": 20, "max_length": 16} | settings
    rng = np.random.default_rng(seed)
    encoder = SentenceEncoder(EncoderConfig(**config), tokenizer, rng=rng)
    return MultiTaskModel(
        encoder, {"sentiment": 3, "engagement": ["low", "high"]}, settings.get("dropout", 0.1), rng=rng
    )


@pytest.fixture
def batch(rng):
    mask = ragged_mask([7, 3, 1, 5], 7)
    labels = {"sentiment": np.array([0, 2, 1, 2]), "engagement": np.array([1, 0, 0, 1])}
    return np.where(mask, rng.integers(1, 30, size=(4, 7)), 0), mask, labels


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-8), (np.float32, 1e-4)], ids=["float64", "float32"])
def test_twenty_adam_steps_equal_torch(batch, dtype, atol):
    """The whole model: two heads, a rate for each part, a frozen block: every loss, and the weights at the end."""
    ids, mask, labels = batch
    ours = make_model(dropout=0.0).to(dtype)
    theirs = TorchMultiTask(ours)
    rates = {"encoder": 3e-3, "sentiment": 1e-2, "engagement": 3e-2}
    frozen = {name: p.data.copy() for name, p in ours.encoder.transformer.blocks[0].named_parameters()}
    ours.encoder.transformer.blocks[0].freeze()
    theirs.blocks[0].requires_grad_(False)

    parts = {"encoder": ours.encoder, **ours.heads}
    optimizer = Adam([{"params": parts[name].parameters(), "lr": lr, "name": name} for name, lr in rates.items()])
    optimizer.check(ours)
    heads = set(theirs.heads.parameters())
    groups = [{"params": [p for p in theirs.parameters() if p not in heads], "lr": rates["encoder"]}]
    groups += [{"params": theirs.heads[name].parameters(), "lr": rates[name]} for name in theirs.heads]
    twin = torch.optim.Adam(groups)

    for step in range(20):
        optimizer.zero_grad()
        loss = sum(ours.losses(ours(ids, mask), labels).values(), start=Tensor(0.0))
        loss.backward()
        optimizer.step()
        twin.zero_grad()
        logits = theirs(torch.tensor(ids), torch.tensor(mask))
        expected = sum(TF.cross_entropy(logits[name], torch.tensor(target)) for name, target in labels.items())
        expected.backward()
        twin.step()
        assert abs(loss.item() - expected.item()) <= atol, f"step {step}"
    assert loss.item() < 1.0  # it did learn something
    if dtype == np.float64:
        # Not in float32: a key's bias shifts all scores of a row alike, so its gradient is rounding noise around 0,
        # and Adam makes full-sized steps of noise.
        assert_same(TorchMultiTask.state_from(ours), theirs.state_dict(), atol=atol)
    for name, parameter in ours.encoder.transformer.blocks[0].named_parameters():
        np.testing.assert_array_equal(parameter.data, frozen[name])


def test_first_loss_is_ln_of_the_number_of_classes(batch):
    ids, mask, labels = batch
    model = make_model().eval()
    losses = model.losses(model(ids, mask), labels)
    assert losses["sentiment"].item() == pytest.approx(math.log(3), abs=0.05)
    assert losses["engagement"].item() == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_padding_does_not_change_a_vector(batch, pooling, positions):
    ids, mask, _ = batch
    encoder = make_model(pooling=pooling, positions=positions).encoder.eval()
    alone = np.concatenate(
        [encoder(row[None, :n], np.ones((1, n), bool)).data for row, n in zip(ids, mask.sum(1), strict=True)]
    )
    wider = np.pad(ids, ((0, 0), (0, 5)), constant_values=29), np.pad(mask, ((0, 0), (0, 5)))
    np.testing.assert_allclose(encoder(ids, mask).data, alone, atol=2e-6)
    np.testing.assert_allclose(encoder(*wider).data, alone, atol=2e-6)


def test_word_order_changes_a_vector(batch):
    ids, mask, _ = batch
    encoder = make_model().encoder.eval()
    assert np.abs(encoder(ids[:1], mask[:1]).data - encoder(ids[:1, ::-1], mask[:1]).data).max() > 1e-3


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(TEXTS, vocab_size=300)


def test_encode_keeps_the_order_and_the_shape(tokenizer):
    encoder = make_model(tokenizer=tokenizer, vocab_size=300, max_length=64).encoder
    vectors = encoder.encode(TEXTS, batch_size=2)
    assert vectors.shape == (5, 12)
    assert vectors.dtype == np.float32
    assert encoder.training  # as it was before
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode(text), vector, atol=1e-6)
    np.testing.assert_array_equal(encoder.encode([]), np.empty((0, 12)))


def test_normalized_vectors_have_length_one(tokenizer):
    encoder = make_model(tokenizer=tokenizer, vocab_size=300, max_length=64, normalize=True).encoder
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(TEXTS), axis=1), 1, atol=1e-6)


def test_predict_agrees_with_its_probabilities(tokenizer):
    model = make_model(tokenizer=tokenizer, vocab_size=300, max_length=64)
    probabilities = model.predict_proba(TEXTS)
    for head, rows in probabilities.items():
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        for row, prediction in zip(rows, model.predict(TEXTS), strict=True):
            label, probability = prediction[head]
            assert row[model.classes[head].index(label)] == pytest.approx(probability) == row.max()
    assert model.classes == {"sentiment": ("0", "1", "2"), "engagement": ("low", "high")}


def test_what_an_encoder_refuses(batch):
    with pytest.raises(InputError, match="no tokenizer"):
        make_model().encoder.encode("text")
    with pytest.raises(InputError, match="17 tokens are more than this encoder's 16 positions"):
        make_model().encoder(np.zeros((1, 17), int), np.ones((1, 17), bool))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_heads": 5}, "12 / 5 is not whole"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, and a whole number, not 0"),
        ({"num_layers": 2.5}, "num_layers must be at least 1, and a whole number, not 2.5"),
        ({"vocab_size": "300"}, "vocab_size must be at least 1, and a whole number, not '300'"),
        ({"dropout": 1.5}, "dropout must be from 0 to 0.99998, not 1.5"),
        ({"positions": "rotary"}, "unknown positions 'rotary': choose from sinusoidal, learned"),
        ({"pooling": "sum"}, "unknown pooling 'sum'"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
    ],
)
def test_settings_that_cannot_work(setting, message):
    with pytest.raises(InputError, match=message):
        EncoderConfig(**{"vocab_size": 30, "hidden_size": 12, "num_heads": 3, **setting})


@pytest.mark.parametrize("name", ["a b", "", "embeddings", "heads"])
def test_a_head_may_not_have_the_name_of_another_part(name, rng):
    encoder = SentenceEncoder(EncoderConfig(9, hidden_size=4, num_heads=1, num_layers=1, intermediate_size=4), rng=rng)
    with pytest.raises(InputError, match="head name"):
        MultiTaskModel(encoder, {name: 2}, rng=rng)


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ({"y": "bad"}, "head y: 'bad'; expected a number of classes, or a list of different names"),
        ({"y": 1}, "head y: 1; expected a number of classes, or a list of different names, at least 2"),
        ({"y": ["a"]}, "head y: ['a']; expected a number of classes"),
        ({"y": ["x", "x"]}, "head y: "),
        ({"y": 0}, "head y: 0"),
        ({"y": []}, "head y: "),
        ({"y": {"a"}}, "head y: "),
        ({"y": [1, "1"]}, "head y: "),
        ({"y": ["a", None]}, "head y: "),
        ({"y": ["a", ""]}, "head y: "),
        ({1: 3}, "head name 1: "),
        ({}, "heads is {}: expected name -> number of classes, or their names in a list"),
        (["a", "b"], "heads is "),
    ],
    ids=str,
)
def test_what_cannot_be_heads_is_refused(rng, heads, found):
    with pytest.raises(InputError, match=re.escape(found)):
        MultiTaskModel(SentenceEncoder(EncoderConfig(9, hidden_size=8, num_heads=2), rng=rng), heads, rng=rng)


def test_kinds_of_no_head_and_encoders_that_are_names_are_refused(rng):
    encoder = SentenceEncoder(EncoderConfig(9, hidden_size=8, num_heads=2), rng=rng)
    with pytest.raises(InputError, match="kinds are of heads that it has not: starz"):
        MultiTaskModel(encoder, {"stars": 5}, kinds={"starz": "ordinal"}, rng=rng)
    with pytest.raises(InputError, match=r"expected SentenceEncoder.from_pretrained\('all-MiniLM-L6-v2'\)"):
        MultiTaskModel("all-MiniLM-L6-v2", {"stars": 5}, rng=rng)


def test_predict_takes_a_list(rng):
    encoder = SentenceEncoder(EncoderConfig(9, hidden_size=4, num_heads=1, num_layers=1, intermediate_size=4), rng=rng)
    with pytest.raises(InputError, match="not one str"):
        MultiTaskModel(encoder, {"mood": 2}, rng=rng).predict("one text")


def test_a_model_is_saved_and_read_again(tmp_path, rng):
    tokenizer = BPETokenizer.train(["hello world"], vocab_size=270)
    model = make_model(tokenizer=tokenizer, vocab_size=tokenizer.vocab_size)
    model.save_pretrained(tmp_path / "m")
    again = MultiTaskModel.from_pretrained(tmp_path / "m")
    texts = ["hello", "a world"]
    for head, p in model.eval().predict_proba(texts).items():
        np.testing.assert_array_equal(again.predict_proba(texts)[head], p)
    with pytest.raises(InputError, match="exists"):
        model.save_pretrained(tmp_path / "m")
    model.save_pretrained(tmp_path / "m", overwrite=True)


def test_a_model_that_is_saved_again_says_how_it_was_trained(tmp_path):
    tokenizer = BPETokenizer.train(["hello world"], vocab_size=270)
    (tmp_path / "run").mkdir()
    said = {"data": {"text": "message"}, "from_labels_alone": True}
    save_model(make_model(tokenizer=tokenizer, vocab_size=tokenizer.vocab_size), tmp_path / "run", **said)
    MultiTaskModel.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "copy")
    assert load_config(tmp_path / "copy") == load_config(tmp_path / "run")
    assert said.items() <= load_config(tmp_path / "copy").items()


def test_an_encoder_is_not_made_of_a_name_a_seed_or_fewer_rows_than_tokens(rng):
    tokenizer = BPETokenizer.train(["hello world"], vocab_size=270)
    config = EncoderConfig(vocab_size=tokenizer.vocab_size - 1, hidden_size=8, num_heads=2)
    with pytest.raises(InputError, match=r"a model is read by from_pretrained\(name\)\), not 'all-MiniLM-L6-v2'"):
        SentenceEncoder("all-MiniLM-L6-v2")
    with pytest.raises(InputError, match="as rng, not None"):
        SentenceEncoder(config)
    with pytest.raises(InputError, match=r"expected np.random.default_rng\(0\) as rng, not 0"):
        SentenceEncoder(config, rng=0)
    with pytest.raises(InputError, match=rf"the tokenizer has {tokenizer.vocab_size} tokens, and vocab_size is"):
        SentenceEncoder(config, tokenizer, rng=rng)
