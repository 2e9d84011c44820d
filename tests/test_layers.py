"""Each layer beside its torch twin: forward and every gradient, float32 and float64, ragged masks throughout."""

import math

import numpy as np
import pytest
import torch
from reference import (
    assert_same,
    attention_state,
    block_state,
    gradients,
    load,
    ragged_mask,
    to_torch,
)
from torch import nn

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.nn.attention import MultiHeadAttention
from minitx.nn.layers import Dropout, Embedding, LayerNorm, Linear
from minitx.nn.pooling import Normalize, Pooling
from minitx.nn.position import LearnedPosition, SinusoidalPosition, sinusoidal_table
from minitx.nn.transformer import FeedForward, TransformerBlock, TransformerEncoder

B, T, D, H, F = 4, 7, 12, 3, 20
MASK = ragged_mask([7, 3, 1, 5], T)
HIDDEN = torch.tensor(~MASK)  # torch marks the padding
TOLERANCE = {np.float32: 5e-6, np.float64: 1e-13}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def compare(ours, theirs, dtype, rng, x=None, *, mine=None, twin=None, state=None):
    """Forward and all gradients of a random x, under a random cotangent that is not zero on padding either."""
    mine, twin = mine or ours, twin or theirs
    x = rng.normal(size=(B, T, D)).astype(dtype) if x is None else x
    x_ours, x_theirs = Tensor(x, requires_grad=True), to_torch(x)
    y_ours, y_theirs = mine(x_ours), twin(x_theirs)
    dy = rng.normal(size=y_ours.shape).astype(dtype)
    y_ours.backward(dy)
    y_theirs.backward(torch.tensor(dy))
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    assert_same({"y": y_ours.data, "dx": x_ours.grad}, {"y": y_theirs, "dx": x_theirs.grad}, **close)
    assert_same(state(ours, "grad") if state else gradients(ours), gradients(theirs), **close)


def test_linear(rng, dtype):
    ours = Linear(D, F, rng=rng).to(dtype)
    compare(ours, load(nn.Linear(D, F), ours.state_dict()), dtype, rng)


def test_linear_without_bias(rng, dtype):
    ours = Linear(D, F, bias=False, rng=rng).to(dtype)
    assert list(ours.state_dict()) == ["weight"]
    compare(
        ours, load(nn.Linear(D, F, bias=False), ours.state_dict()), dtype, rng, rng.normal(size=(5, D)).astype(dtype)
    )


def test_layer_norm(rng, dtype):
    ours = LayerNorm(D, eps=1e-3).to(dtype)  # an eps that is not the default, large enough to be seen
    for parameter in ours.parameters():
        parameter.data[...] = rng.normal(size=D)
    x = rng.normal(0.5, 0.5, size=(B, T, D)).astype(dtype)
    compare(ours, load(nn.LayerNorm(D, eps=1e-3), ours.state_dict()), dtype, rng, x)


def test_embedding_adds_the_gradients_of_repeated_ids(rng, dtype):
    ours = Embedding(10, D, rng=rng).to(dtype)
    theirs = load(nn.Embedding(10, D), ours.state_dict())
    ids = rng.integers(0, 6, size=(B, T))  # ids 6 to 9 never occur, the others many times
    y_ours, y_theirs = ours(ids), theirs(torch.tensor(ids))
    dy = rng.normal(size=y_ours.shape).astype(dtype)
    y_ours.backward(dy)
    y_theirs.backward(torch.tensor(dy))
    assert_same({"y": y_ours.data}, {"y": y_theirs}, atol=0)
    assert_same(gradients(ours), gradients(theirs), atol=TOLERANCE[dtype])
    assert not ours.weight.grad[6:].any()


def test_attention(rng, dtype):
    ours = MultiHeadAttention(D, H, rng=rng).to(dtype)
    theirs = load(nn.MultiheadAttention(D, H, batch_first=True), attention_state(ours))

    def twin(x):
        return theirs(x, x, x, key_padding_mask=HIDDEN, need_weights=False)[0]

    compare(ours, theirs, dtype, rng, mine=lambda x: ours(x, MASK), twin=twin, state=attention_state)


def test_attention_bias_and_scattered_mask(rng, dtype):
    """A bias on the scores, as MPNet has, and real tokens that are not all at the front."""
    mask = rng.random((B, T)) < 0.6
    mask[:, 2] = True
    ours = MultiHeadAttention(D, H, rng=rng).to(dtype)
    theirs = load(nn.MultiheadAttention(D, H, batch_first=True), attention_state(ours))
    bias = rng.normal(size=(H, T, T)).astype(dtype)
    b_ours, b_theirs = Tensor(bias, requires_grad=True), to_torch(bias)
    hidden = torch.zeros(B, T, dtype=b_theirs.dtype).masked_fill(torch.tensor(~mask), -torch.inf)

    def twin(x):
        scores = b_theirs.repeat(B, 1, 1) + hidden.repeat_interleave(H, 0)[:, None, :]
        return theirs(x, x, x, attn_mask=scores, need_weights=False)[0]

    x = rng.normal(size=(B, T, D)).astype(dtype)
    compare(ours, theirs, dtype, rng, x, mine=lambda x: ours(x, mask, b_ours), twin=twin, state=attention_state)
    assert_same({"dbias": b_ours.grad}, {"dbias": b_theirs.grad}, atol=TOLERANCE[dtype])


def test_attention_gives_zeros_and_no_gradient_to_a_sample_without_a_real_token(rng):
    ours = MultiHeadAttention(D, H, rng=rng)
    mask = ragged_mask([7, 0, 2, 0], T)
    x = Tensor(rng.normal(size=(B, T, D)).astype(np.float32), requires_grad=True)
    y = ours(x, mask)
    y.backward(rng.normal(size=y.shape))
    np.testing.assert_array_equal(y.data[~mask.any(axis=1)], np.broadcast_to(ours.out.bias.data, (2, T, D)))
    assert not x.grad[~mask.any(axis=1)].any()
    assert np.isfinite(x.grad).all()
    assert x.grad[0].any()


def test_attention_in_several_blocks_equals_one(rng, monkeypatch):
    """However many samples are taken at a time: the same bits."""
    ours = MultiHeadAttention(D, H, rng=rng)
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    dy = rng.normal(size=(B, T, D)).astype(np.float32)
    results = []
    for elements in (1, 2 * H * T * T, 10**6):
        monkeypatch.setattr("minitx.autograd.functional.SCORES_IN_CACHE", elements)
        ours.zero_grad()
        x_ours = Tensor(x, requires_grad=True)
        ours(x_ours, MASK).backward(dy)
        results.append(x_ours.grad)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_heads_must_divide_the_width(rng):
    with pytest.raises(InputError, match="12 is no multiple of 5"):
        MultiHeadAttention(12, 5, rng=rng)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
def test_block(rng, dtype, activation, norm_first):
    ours = TransformerBlock(D, H, F, activation, 0.0, norm_first, 1e-6, rng=rng).to(dtype)
    theirs = nn.TransformerEncoderLayer(D, H, F, 0.0, activation, 1e-6, batch_first=True, norm_first=norm_first)
    theirs = load(theirs, block_state(ours))

    def twin(x):
        return theirs(x, src_key_padding_mask=HIDDEN)

    compare(ours, theirs, dtype, rng, mine=lambda x: ours(x, MASK), twin=twin, state=block_state)


@pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
def test_encoder_stack(rng, norm_first):
    """A stack equals torch's, with torch's final norm where the blocks are pre-norm."""
    blocks = [TransformerBlock(D, H, F, "gelu", 0.0, norm_first, rng=rng) for _ in range(3)]
    ours = TransformerEncoder(blocks, LayerNorm(D) if norm_first else None).to(np.float64)
    layer = nn.TransformerEncoderLayer(D, H, F, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    norm = nn.LayerNorm(D) if norm_first else None
    theirs = nn.TransformerEncoder(layer, 3, norm, enable_nested_tensor=False)

    def state(model, part="data"):
        named = {f"layers.{i}.{n}": a for i, b in enumerate(model.blocks) for n, a in block_state(b, part).items()}
        return named | ({f"norm.{n}": getattr(p, part) for n, p in model.norm.named_parameters()} if norm_first else {})

    theirs = load(theirs, state(ours))

    def twin(x):
        return theirs(x, src_key_padding_mask=HIDDEN)

    compare(ours, theirs, np.float64, rng, mine=lambda x: ours(x, MASK), twin=twin, state=state)


def test_unknown_activation(rng):
    with pytest.raises(InputError, match=r"unknown activation 'swish': choose from relu, gelu"):
        FeedForward(D, F, "swish", rng=rng)


def test_dropout_drops_its_share_and_keeps_the_mean(rng):
    layer = Dropout(0.3, rng=rng)
    x = Tensor(np.ones(200_000, np.float32), requires_grad=True)
    y = layer(x)
    assert set(np.unique(y.data)) == {np.float32(0), y.data.max()}
    assert y.data.max() == pytest.approx(1 / 0.7, abs=1e-4)
    assert (y.data == 0).mean() == pytest.approx(0.3, abs=0.005)  # five standard deviations
    y.backward(np.full(x.shape, 2.0))
    np.testing.assert_array_equal(x.grad, 2 * y.data)  # the same mask on the way back


def test_dropout_is_the_identity_in_eval_mode_and_seeded_in_training():
    x = Tensor(np.arange(1000, dtype=np.float32))
    first, second = (Dropout(0.5, rng=np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first(x).data, second(x).data)
    assert (first(x).data != second.eval()(x).data).any()
    np.testing.assert_array_equal(second(x).data, x.data)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropout_probability(rng, p):
    with pytest.raises(ValueError, match="from 0 to"):
        Dropout(p, rng=rng)


def test_sinusoid_against_the_formula():
    table = sinusoidal_table(50, 7)  # an odd width: the last sine has no cosine
    assert table.dtype == np.float32
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert table[3, 2] == pytest.approx(np.sin(3 / 10000 ** (2 / 7)))
    assert table[49, 5] == pytest.approx(np.cos(49 / 10000 ** (4 / 7)))


def test_positions_are_added_and_only_learned_ones_learn(rng):
    x = Tensor(rng.normal(size=(2, 5, D)).astype(np.float32))
    fixed, learned = SinusoidalPosition(9, D), LearnedPosition(9, D, rng=rng)
    np.testing.assert_allclose(fixed(x).data - math.sqrt(D) * x.data, np.stack([sinusoidal_table(5, D)] * 2), atol=1e-6)
    assert not list(fixed.parameters())
    dy = rng.normal(size=x.shape).astype(np.float32)
    learned(x).backward(dy)
    np.testing.assert_allclose(learned.weight.grad[:5], dy.sum(axis=0), rtol=1e-5)
    assert not learned.weight.grad[5:].any()


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_pooling(rng, dtype, mode):
    mask = torch.tensor(MASK)[:, :, None]
    twins = {
        "mean": lambda x: (x * mask).sum(1) / mask.sum(1),
        "cls": lambda x: x[:, 0],
        "max": lambda x: x.masked_fill(~mask, -torch.inf).max(1).values,
    }
    pooling = Pooling(mode)
    compare(pooling, nn.Identity(), dtype, rng, mine=lambda x: pooling(x, MASK), twin=twins[mode])


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_pooling_without_a_real_token_gives_zeros(rng, mode):
    x = Tensor(rng.normal(size=(2, T, D)).astype(np.float32), requires_grad=True)
    y = Pooling(mode)(x, ragged_mask([0, 4], T))
    y.backward(rng.normal(size=y.shape))
    assert not y.data[0].any()
    assert not x.grad[0].any()
    assert x.grad[1].any()


def test_unknown_pooling():
    with pytest.raises(InputError, match="choose from mean, cls, max"):
        Pooling("sum")


def test_normalize(rng, dtype):
    x = rng.normal(size=(B, D)).astype(dtype)
    compare(Normalize(), nn.Identity(), dtype, rng, x, twin=nn.functional.normalize)


def test_normalize_of_a_zero_vector_is_zero():
    x = Tensor(np.zeros((2, D), np.float32), requires_grad=True)
    y = Normalize()(x)
    y.backward(np.ones_like(y.data))
    assert not y.data.any()
    assert np.isfinite(x.grad).all()
