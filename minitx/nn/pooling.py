"""From one vector per token to one vector per sentence."""

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor, as_tensor, where
from minitx.errors import InputError
from minitx.nn.module import Module

POOLING_MODES = ("mean", "cls", "max")


class Pooling(Module):
    """x (B, T, D) and attention_mask (B, T) -> (B, D), by `mode`:

    * "mean": the average of the real tokens. Padding does not count: dividing by T instead of by the number of real
      tokens would make a sentence's vector depend on the other sentences in its batch.
    * "cls": the first token, which stands for the sentence in BERT.
    * "max": the largest value of each column over the real tokens.

    A sample without a real token gives zeros ("mean" and "max"; "cls" too if there is not even padding).
    sentence-transformers: `models.Pooling`. Plain: `learn.plain.mean_pool`.
    """

    def __init__(self, mode: str = "mean") -> None:
        if mode not in POOLING_MODES:
            raise InputError(f"unknown pooling {mode!r}: choose from {', '.join(POOLING_MODES)}")
        self.mode = mode

    def forward(self, x: Tensor, attention_mask: np.ndarray) -> Tensor:
        """(B, T, D), (B, T) -> (B, D)."""
        if self.mode == "mean" or not x.shape[1]:
            return F.mean_pool(x, attention_mask)
        if self.mode == "cls":
            return x[:, 0]
        real = attention_mask.astype(bool)[:, :, None]
        lowest = as_tensor(np.finfo(x.dtype).min, x)
        return where(real.any(axis=1), where(real, x, lowest).max(dim=1), as_tensor(0.0, x))


class Normalize(Module):
    """Scale each vector to length 1, so that a dot product is a cosine.

    sentence-transformers: `models.Normalize`. Plain: `learn.plain.normalize`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return F.normalize(x)
