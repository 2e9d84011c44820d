"""Exercises of lesson 07: check them with "minitx learn 07 --check"."""

import math

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import cat, where


def attention(q, k, v, attention_mask):
    """softmax(q k^T / sqrt(K)) v over the real tokens: Tensors (B, T, K) -> a Tensor (B, T, K).

    `attention_mask` is an array (B, T) with True for a real token. A token that is not real gets the weight 0 from all
    others. A sample without a real token gives zeros, and its gradients are zeros, too.
    """
    raise NotImplementedError


def multi_head_attention(x, w, num_heads, attention_mask):
    """Attention in each of H heads: a Tensor x (B, T, D) -> a Tensor (B, T, D).

    `w` is a dict of Tensors: "query.weight" (D, D), "query.bias" (D,), and the same for key, value and out. A linear
    layer is x @ weight.T + bias. Head h uses the columns h K to (h + 1) K of q, k and v, with K = D // H; in each head
    attention is as above. The heads are put side by side again, and go through the out layer.
    """
    raise NotImplementedError
