"""What changed since BERT: positions that are turns, blocks that look at neighbours, gates, and no biases."""

import numpy as np
import pytest
import torch
import transformers
from reference import ragged_mask
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.nn.modernbert import RotaryAttention, rotate

SIZES = {"hidden_size": 24, "num_layers": 3, "num_heads": 3, "intermediate_size": 10, "max_length": 64}


@pytest.mark.parametrize("theta", [10_000.0, 160_000.0])
def test_the_turn_is_transformers(theta, rng):
    B, T, H, K = 2, 300, 3, 8
    x = rng.normal(size=(B, T, H * K)).astype(np.float32)
    speed = 1.0 / (theta ** (torch.arange(0, K, 2, dtype=torch.float) / K))
    angle = torch.arange(T)[:, None].float() * speed
    cos, sin = (f(torch.cat([angle, angle], -1))[None] for f in (torch.cos, torch.sin))
    heads = torch.tensor(x).reshape(B, T, H, K).transpose(1, 2)
    expected, _ = apply_rotary_pos_emb(heads, heads, cos, sin)
    y = rotate(Tensor(x), H, theta).data
    np.testing.assert_allclose(y, expected.transpose(1, 2).reshape(x.shape).numpy(), atol=2e-5)


def test_a_turn_keeps_lengths_and_leaves_the_first_token_and_its_gradient_turns_back(rng):
    x = Tensor(rng.normal(size=(2, 5, 12)), requires_grad=True, dtype=np.float64)
    y = rotate(x, 3, 100.0)
    pairs = y.data.reshape(2, 5, 3, 2, 2), x.data.reshape(2, 5, 3, 2, 2)
    np.testing.assert_allclose(np.linalg.norm(pairs[0], axis=3), np.linalg.norm(pairs[1], axis=3), rtol=1e-6)
    np.testing.assert_array_equal(y.data[:, 0], x.data[:, 0])
    y.backward(y.data)
    np.testing.assert_allclose(x.grad, x.data, atol=1e-6)  # an orthogonal map's transpose is its inverse


def test_scores_depend_on_distance_alone(rng):
    q, k = rng.normal(size=(2, 8))
    same = np.tile(q, (1, 9, 1)), np.tile(k, (1, 9, 1))
    turned = [rotate(Tensor(x, dtype=np.float64), 1, 50.0).data[0] for x in same]
    scores = turned[0] @ turned[1].T
    np.testing.assert_allclose(scores[1:, 1:], scores[:-1, :-1], atol=1e-5)
    assert not np.allclose(scores[0], scores[0, 0])


def test_a_local_block_sees_so_many_tokens_to_each_side(rng):
    layer = RotaryAttention(8, 2, 100.0, 2, rng=rng)
    x = rng.normal(size=(1, 9, 8)).astype(np.float32)
    before = layer(Tensor(x), np.ones((1, 9), bool)).data
    x[0, 4] += 1
    changed = np.abs(layer(Tensor(x), np.ones((1, 9), bool)).data - before).max(axis=2)[0] > 0
    assert changed.tolist() == [2 <= i <= 6 for i in range(9)]


def test_padding_beyond_the_reach_of_all_real_tokens_gives_no_nan(rng):
    layer = RotaryAttention(8, 2, 100.0, 1, rng=rng)
    x = Tensor(rng.normal(size=(2, 6, 8)).astype(np.float32), requires_grad=True)
    y = layer(x, ragged_mask([2, 0], 6))
    y.backward(np.ones_like(y.data))
    assert np.isfinite(y.data).all()
    assert np.isfinite(x.grad).all()
    assert not x.grad[1].any()


def test_nothing_has_a_bias_and_the_first_block_no_norm():
    config = EncoderConfig(50, **SIZES, norm_first=True, positions="learned", rotary=((100.0, 0), (10.0, 2), (10.0, 2)))
    encoder = SentenceEncoder(config, rng=np.random.default_rng(0))
    names = [name for name, _ in encoder.named_parameters()]
    assert not [name for name in names if "bias" in name or "position" in name]
    assert [name for name in names if "norm1" in name] == [f"transformer.blocks.{i}.norm1.weight" for i in (1, 2)]
    theirs = transformers.ModernBertModel(
        transformers.ModernBertConfig(
            vocab_size=50,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=10,
            pad_token_id=0,
        )
    )
    assert encoder.num_parameters() == sum(p.numel() for p in theirs.parameters())


def test_a_head_of_odd_width_cannot_be_turned():
    with pytest.raises(InputError, match="hidden_size / num_heads must be even"):
        EncoderConfig(50, hidden_size=21, num_heads=3, rotary=((10.0, 0), (10.0, 0)))
