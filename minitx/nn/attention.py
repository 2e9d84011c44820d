"""Multi-head attention: four projections around `functional.attention`."""

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module


class MultiHeadAttention(Module):
    """Each token gathers from the others what its heads look for.

        Attention(x) = concat(head_1, ..., head_H) Wo ;  head_h = softmax(q_h k_hᵀ / √K) v_h ;  K = D / H
        q = x Wq,  k = x Wk,  v = x Wv,  of which head h owns the columns h K to (h + 1) K

    Vaswani et al. 2017, section 3.2.2. Names there: Wq = `query`, Wk = `key`, Wv = `value`, Wo = `out`, all with
    bias. Every head has its own K x D slice of each matrix, and scores are divided by √K, not √D: two things
    that tutorials get wrong. Torch: `torch.nn.MultiheadAttention(D, H, batch_first=True)`, whose
    `key_padding_mask` is the inverse of `attention_mask`. Plain: `learn.plain.multi_head_attention`.

    Raises:
        InputError: `num_heads` does not divide `embed_dim`.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, *, rng: np.random.Generator) -> None:
        if num_heads < 1 or embed_dim % num_heads:
            raise InputError(f"the number of heads must divide the width: {embed_dim} is no multiple of {num_heads}")
        self.num_heads = num_heads
        self.query = Linear(embed_dim, embed_dim, rng=rng)
        self.key = Linear(embed_dim, embed_dim, rng=rng)
        self.value = Linear(embed_dim, embed_dim, rng=rng)
        self.out = Linear(embed_dim, embed_dim, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)  # of attention weights

    def forward(self, x: Tensor, attention_mask: np.ndarray | None = None, bias: Tensor | None = None) -> Tensor:
        """x (B, T, D), attention_mask (B, T) with True = a real token, bias (H, T, T) on the scores -> (B, T, D).

        A mask (B, T, T) says for each token which it may see: repeated for each sample, `np.tri(T)` those up to itself.
        """
        q, k, v = self.query(x), self.key(x), self.value(x)
        return self.out(F.attention(q, k, v, self.num_heads, attention_mask, bias, *self.dropout.draw()))
