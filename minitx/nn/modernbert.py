"""ModernBERT: what changed since BERT. Read `nn.transformer` first; what is not here is as it was.

    positions      No vector is added to a token. Queries and keys are turned, by an angle that grows with their place;
                   the product of two of them then depends on how far they are apart (Su et al. 2021, "RoFormer").
    attention      In two blocks of three, a token looks at its neighbours only; every third block is global. Local
                   blocks turn faster: they have no far places to tell apart.
    feed-forward   GeGLU: one half of the wide layer, through an activation, is a gate for the other (Shazeer 2020).
    norms          Before each sublayer. The first block has none before its attention: the embeddings have just been
                   normalised. Nothing has a bias.

Warner et al. 2024, "Smarter, Better, Faster, Longer". transformers: `ModernBertModel`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.engine import Gradients
from minitx.autograd.tensor import Tensor
from minitx.nn.layers import Dropout, LayerNorm, Linear
from minitx.nn.module import Module


def rotate(x: Tensor, num_heads: int, theta: float) -> Tensor:
    """Turn a head's columns j and j + K / 2 at place t by t / theta^(2j / K) radians: (B, T, D) -> (B, T, D).

    Su et al. 2021, section 3.2. Fused for cost. transformers: `apply_rotary_pos_emb`.
    """
    # y = x cos + turned(x) sin, where turned((a, b)) = (-b, a) ;  dx = dy cos - turned(dy sin)
    B, T, D = x.shape
    half = D // num_heads // 2
    speed = 1 / np.float32(theta) ** (np.arange(half, dtype=np.float32) / np.float32(half))
    angle = np.tile(np.arange(T, dtype=np.float32)[:, None] * speed, 2 * num_heads)  # (T, D)
    cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)

    def turned(v: np.ndarray) -> np.ndarray:
        pairs = v.reshape(B, T, num_heads, 2, half)
        return np.stack([-pairs[:, :, :, 1], pairs[:, :, :, 0]], axis=3).reshape(v.shape)

    def backward(dy: np.ndarray) -> Gradients:
        return (dy * cos - turned(dy * sin),)

    return Tensor.from_op(x.data * cos + turned(x.data) * sin, (x,), backward)


class RotaryAttention(Module):
    """Multi-head attention by distance: x (B, T, D) -> (B, T, D); at most `reach` tokens to each side if not 0."""

    def __init__(
        self, dim: int, num_heads: int, theta: float, reach: int, dropout: float = 0.0, *, rng: np.random.Generator
    ) -> None:
        self.num_heads, self.theta, self.reach = num_heads, theta, reach
        self.qkv = Linear(dim, 3 * dim, bias=False, rng=rng)
        self.out = Linear(dim, dim, bias=False, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)

    def forward(self, x: Tensor, attention_mask: np.ndarray | None = None) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        (_, T, D), H, all_three = x.shape, self.num_heads, self.qkv(x)
        q, k, v = (all_three[:, :, start : start + D] for start in (0, D, 2 * D))
        q, k, bias = rotate(q, H, self.theta), rotate(k, H, self.theta), None
        if 0 < self.reach < T - 1:
            places = np.arange(T)
            near = np.abs(places[:, None] - places) <= self.reach
            bias = Tensor(np.broadcast_to(np.where(near, x.dtype.type(0), x.dtype.type(-np.inf)), (H, T, T)))
        return self.out(F.attention(q, k, v, H, attention_mask, bias, *self.dropout.draw()))


class GatedFeedForward(Module):
    """y = W2 (act(a) g), with a and g the halves of W1 x: `linear1` (2F, D), `linear2` (D, F)."""

    def __init__(self, dim: int, hidden: int, activation: str = "gelu", *, rng: np.random.Generator) -> None:
        self.linear1 = Linear(dim, 2 * hidden, bias=False, rng=rng)
        self.linear2 = Linear(hidden, dim, bias=False, rng=rng)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        y, hidden = self.linear1(x), self.linear2.weight.shape[1]
        return self.linear2(getattr(F, self.activation)(y[:, :, :hidden]) * y[:, :, hidden:])


class ModernBlock(Module):
    """x = x + attention(norm1(x)) ;  x = x + feed_forward(norm2(x)), the `first` block without norm1."""

    def __init__(
        self,
        rotary: tuple[float, int],
        first: bool,
        dim: int,
        num_heads: int,
        hidden: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        eps: float = 1e-5,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.norm1 = None if first else LayerNorm(dim, eps, bias=False)
        self.attention = RotaryAttention(dim, num_heads, *rotary, dropout, rng=rng)
        self.norm2 = LayerNorm(dim, eps, bias=False)
        self.feed_forward = GatedFeedForward(dim, hidden, activation, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)

    def forward(self, x: Tensor, attention_mask: np.ndarray | None = None, bias: Tensor | None = None) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D); there is no bias."""
        x = x + self.dropout(self.attention(x if self.norm1 is None else self.norm1(x), attention_mask))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


def modern_blocks(rotary: Sequence[tuple[float, int]], *sizes: Any, rng: np.random.Generator) -> list[Module]:
    """The blocks of a ModernBERT: `rotary` is theta and reach of each, `sizes` are what else a ModernBlock takes."""
    return [ModernBlock(pair, i == 0, *sizes, rng=rng) for i, pair in enumerate(rotary)]
