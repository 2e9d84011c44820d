"""07. Solutions: attention with a mask, in one head and in many."""

import math

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import cat, where


def attention(q, k, v, attention_mask):
    """softmax(q k^T / sqrt(K)) v over the real tokens: Tensors (B, T, K), mask (B, T) -> Tensor (B, T, K)."""
    # Idea: before the softmax, give every token that is not real a score so low that its exp is 0, but still finite.
    # Line: weights = softmax of the scores * real.any(axis=-1, keepdims=True) makes a sample without real tokens 0.
    real = np.asarray(attention_mask, bool)[:, None, :]  # (B, 1, T): the asked tokens are the last axis
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])  # (B, T, T)
    scores = where(real, scores, Tensor(np.asarray(-1e30, scores.dtype)))
    e = (scores - scores.data.max(axis=-1, keepdims=True)).exp()
    weights = e / e.sum(dim=-1, keepdim=True) * real.any(axis=-1, keepdims=True)
    return weights @ v


def multi_head_attention(x, w, num_heads, attention_mask):
    """Attention in each of H heads: Tensor x (B, T, D), w a dict of weights and biases -> Tensor (B, T, D)."""
    # Idea: project once with the whole D x D matrices, then give each head its K columns of q, k and v.
    # Line: attention(q[:, :, a : a + K], k[:, :, a : a + K], v[:, :, a : a + K], attention_mask), a = 0, K, 2 K, ...
    q, k, v = (x @ w[f"{name}.weight"].T + w[f"{name}.bias"] for name in ("query", "key", "value"))
    K = x.shape[-1] // num_heads
    columns = [(slice(None), slice(None), slice(h * K, (h + 1) * K)) for h in range(num_heads)]
    heads = [attention(q[own], k[own], v[own], attention_mask) for own in columns]
    return cat(heads, dim=2) @ w["out.weight"].T + w["out.bias"]


EXERCISES = ["attention", "multi_head_attention"]
