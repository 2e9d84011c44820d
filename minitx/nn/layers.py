"""Linear, Embedding, LayerNorm, Dropout: parameters and one call into `autograd.functional`.

Each layer draws its weights from the `rng` it is given, float32; `layer.to(np.float64)` for checks.
"""

import math

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import current
from minitx.autograd.tensor import Tensor
from minitx.nn.module import Module, Parameter


class Linear(Module):
    """y = x Wᵀ + b: (..., in_features) -> (..., out_features).

    `weight` (out_features, in_features) and `bias` (out_features,) start uniform in ±1/√in_features, torch's
    default. Torch: `torch.nn.Linear`. Plain: `learn.plain.linear`.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator) -> None:
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)).astype(np.float32))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype(np.float32)) if bias else None

    def forward(self, x: Tensor, activation: str | None = None) -> Tensor:
        """(..., in_features) -> (..., out_features); `activation`, "relu" or "gelu", is applied to the result."""
        return F.linear(x, self.weight, self.bias, activation)


class Embedding(Module):
    """A table of vectors: integer ids of any shape -> (*ids.shape, embedding_dim).

    `weight` (num_embeddings, embedding_dim) starts normal with standard deviation `std`; torch's default is 1.
    With `sparse`, its gradient is a `RowGradient`: only the rows of the batch's tokens, which saves most of an
    optimizer's work when the vocabulary is large. Torch: `torch.nn.Embedding`. Plain: `learn.plain.embedding`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        std: float = 1.0,
        sparse: bool = False,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.weight = Parameter(rng.normal(0, std, (num_embeddings, embedding_dim)).astype(np.float32))
        self.sparse = sparse

    def forward(self, ids: np.ndarray) -> Tensor:
        """Integer array -> (*ids.shape, embedding_dim)."""
        return F.embedding(ids, self.weight, self.sparse)


class LayerNorm(Module):
    """Each vector shifted to mean 0 and scaled to variance 1, then multiplied by `weight`, plus `bias`.

    Ba, Kiros & Hinton 2016. Torch: `torch.nn.LayerNorm`. Plain: `learn.plain.layer_norm`.
    """

    def __init__(self, normalized_shape: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.weight = Parameter(np.ones(normalized_shape, np.float32))
        # Without bias, a 0 that is not learned.
        self.bias = (Parameter if bias else Tensor)(np.zeros(normalized_shape, np.float32))
        self.eps = eps

    def forward(self, x: Tensor, r: Tensor | None = None, dropout: "Dropout | None" = None) -> Tensor:
        """The norm of x, or of x + dropout(r): (..., D) -> (..., D)."""
        if r is None:
            return F.layer_norm(x, self.weight, self.bias, self.eps)
        p, rng = dropout.draw() if dropout is not None else (0.0, None)
        return F.add_layer_norm(x, r, self.weight, self.bias, self.eps, p, rng)


class Dropout(Module):
    """Zeroes elements with probability p while training; the identity in eval mode. Torch: `torch.nn.Dropout`.

    The masks come from the generator of the run, where there is one (see `autograd.context`), as there is for each
    thread that shares a batch; else from the layer's own, split off `rng`, so that adding a layer elsewhere does not
    change them. Plain: `learn.plain.dropout`.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator) -> None:
        if not 0 <= p <= F.MAX_DROPOUT:
            raise ValueError(f"the dropout probability must be from 0 to {F.MAX_DROPOUT}, not {p}")
        self.p = p
        # SFC64 draws bytes about twice as fast as the default generator.
        self.rng = np.random.Generator(np.random.SFC64(rng.integers(2**63)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        p, rng = self.draw()
        return F.dropout(x, p, rng) if p else x

    def draw(self) -> tuple[float, np.random.Generator]:
        """The drop probability now, 0 in eval mode, and the generator to draw the mask from."""
        return self.p if self.training else 0.0, current().rng or self.rng
