"""FeedForward, TransformerBlock, TransformerEncoder: (B, T, D) -> (B, T, D)."""

from collections.abc import Sequence

import numpy as np

from minitx.autograd.functional import ACTIVATIONS
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.nn.attention import MultiHeadAttention
from minitx.nn.layers import Dropout, LayerNorm, Linear
from minitx.nn.module import Module


class FeedForward(Module):
    """Two layers applied to each token alone: y = W2 act(W1 x + b1) + b2, wide in the middle.

    Vaswani et al. 2017, section 3.3. `linear1` (F, D), `linear2` (D, F); `activation` "relu" or "gelu". Plain:
    `learn.plain.feed_forward`.
    """

    def __init__(self, dim: int, hidden: int, activation: str = "gelu", *, rng: np.random.Generator) -> None:
        if activation not in ACTIVATIONS:
            raise InputError(f"unknown activation {activation!r}: choose from {', '.join(ACTIVATIONS)}")
        self.linear1 = Linear(dim, hidden, rng=rng)
        self.linear2 = Linear(hidden, dim, rng=rng)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.linear2(self.linear1(x, self.activation))


class TransformerBlock(Module):
    """Attention, then feed-forward; each adds to the stream that runs through the blocks.

        post-norm (the paper, BERT; default)     x = norm1(x + attention(x)) ;  x = norm2(x + feed_forward(x))
        pre-norm  (`norm_first`, GPT-2)          x = x + attention(norm1(x)) ;  x = x + feed_forward(norm2(x))

    Post-norm puts every token on the same scale after each block, pre-norm leaves an unbroken path from top to
    bottom (Xiong et al. 2020). Dropout is on what a sublayer adds, before the addition (Vaswani et al. 2017,
    section 5.4), and on attention weights. Torch: `torch.nn.TransformerEncoderLayer(..., batch_first=True)`,
    which has one more dropout inside the feed-forward network. Plain: `learn.plain.transformer_block`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden: int,
        activation: str = "gelu",
        dropout: float = 0.1,
        norm_first: bool = False,
        layer_norm_eps: float = 1e-5,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.attention = MultiHeadAttention(dim, num_heads, dropout, rng=rng)
        self.norm1 = LayerNorm(dim, layer_norm_eps)
        self.feed_forward = FeedForward(dim, hidden, activation, rng=rng)
        self.norm2 = LayerNorm(dim, layer_norm_eps)
        self.dropout1 = Dropout(dropout, rng=rng)
        self.dropout2 = Dropout(dropout, rng=rng)
        self.norm_first = norm_first

    def forward(self, x: Tensor, attention_mask: np.ndarray | None = None, bias: Tensor | None = None) -> Tensor:
        """x (B, T, D), attention_mask (B, T), bias (H, T, T) on the scores -> (B, T, D)."""
        if self.norm_first:
            x = x + self.dropout1(self.attention(self.norm1(x), attention_mask, bias))
            return x + self.dropout2(self.feed_forward(self.norm2(x)))
        x = self.norm1(x, self.attention(x, attention_mask, bias), self.dropout1)
        return self.norm2(x, self.feed_forward(x), self.dropout2)


class TransformerEncoder(Module):
    """A stack of blocks; after pre-norm ones a last LayerNorm, since nothing has normalised their sum.

    Torch: `torch.nn.TransformerEncoder`.
    """

    def __init__(self, blocks: Sequence[Module], norm: LayerNorm | None = None) -> None:
        self.blocks, self.norm = list(blocks), norm

    def forward(self, x: Tensor, attention_mask: np.ndarray | None = None, bias: Tensor | None = None) -> Tensor:
        """x (B, T, D), attention_mask (B, T), bias (H, T, T) for all blocks -> (B, T, D)."""
        for block in self.blocks:
            x = block(x, attention_mask, bias)
        return x if self.norm is None else self.norm(x)
