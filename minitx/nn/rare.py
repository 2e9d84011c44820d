"""What few models do with the vectors of tokens: the rarer poolings, several side by side, and layers behind them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor, cat
from minitx.errors import InputError
from minitx.nn.layers import Linear
from minitx.nn.module import Module
from minitx.nn.pooling import POOLING_MODES as COMMON, Pooling

POOLING_MODES = (*COMMON, "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# A class of torch.nn -> what it computes.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"Identity": lambda x: x, "Tanh": Tensor.tanh}
ACTIVATIONS |= {"Sigmoid": Tensor.sigmoid, "ReLU": F.relu, "GELU": F.gelu, "SiLU": F.silu}


class RarePooling(Pooling):
    """x (B, T, D) and attention_mask (B, T) -> (B, D), by `mode`, or (B, n D) by n modes joined by "+".

    * "mean_sqrt_len_tokens": the sum of the real tokens over the root of their number.
    * "weightedmean": the average of the real tokens, of which the first counts once, the second twice ...
    * "lasttoken": the last real token, as for models that read from left to right.

    sentence-transformers: `models.Pooling`.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def forward(self, x: Tensor, attention_mask: np.ndarray) -> Tensor:
        """(B, T, D), (B, T) -> (B, D), or (B, n D)."""
        if "+" in self.mode:
            return cat([new_pooling(mode)(x, attention_mask) for mode in self.mode.split("+")], dim=1)
        places = attention_mask.astype(bool) * np.arange(1, x.shape[1] + 1)  # 0 for padding
        if self.mode == "weightedmean":
            return F.mean_pool(x, places)
        if self.mode == "lasttoken":
            return F.mean_pool(x, places == places.max(axis=1, keepdims=True, initial=1))
        return F.mean_pool(x, attention_mask) * np.sqrt(np.count_nonzero(places, axis=1, keepdims=True)).astype(x.dtype)


def new_pooling(mode: str) -> Pooling:
    """The pooling of a name, or of several joined by "+"; `InputError` if there is none."""
    if unknown := [part for part in mode.split("+") if part not in POOLING_MODES]:
        raise InputError(f"unknown pooling {unknown[0]!r:.60}: choose from {', '.join(POOLING_MODES)}")
    return Pooling(mode) if mode in COMMON else RarePooling(mode)


@dataclass(frozen=True)
class DenseConfig:
    """Sizes and choices of a Dense."""

    in_features: int
    out_features: int
    bias: bool = True
    activation: str = "Tanh"  # of ACTIVATIONS
    normalize: bool = False  # the input is scaled to length 1 first


class Dense(Module):
    """y = act(x Wᵀ + b): (B, in_features) -> (B, out_features), with `normalize` of x / |x|.

    sentence-transformers: `models.Dense`, after `models.Normalize` with `normalize`.
    """

    def __init__(self, config: DenseConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.linear = Linear(config.in_features, config.out_features, config.bias, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_features) -> (B, out_features)."""
        return ACTIVATIONS[self.config.activation](self.linear(F.normalize(x) if self.config.normalize else x))
