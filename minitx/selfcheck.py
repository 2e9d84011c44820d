"""Are all gradients of minitx right? One row for every op and layer, checked numerically: `minitx gradcheck`.

The rows also drive the tests, which add a torch twin, other dtypes and odd shapes. A new op or layer is one new row.
Shapes are written in letters, each of another size, so that no two axes can be mistaken for one another; masks are
ragged, down to a sample without a real token; parameters are drawn at random, since a weight of 1 or a bias of 0
would hide a mistake.
"""

import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from minitx.autograd import functional as F
from minitx.autograd.gradcheck import gradcheck
from minitx.autograd.numeric import GradcheckError, compare
from minitx.autograd.tensor import Tensor, cat, stack, where
from minitx.errors import InputError
from minitx.models.encoder import EncoderConfig, SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.attention import MultiHeadAttention
from minitx.nn.layers import Dropout, Embedding, LayerNorm, Linear
from minitx.nn.module import Module
from minitx.nn.pooling import Normalize, Pooling
from minitx.nn.position import LearnedPosition, SinusoidalPosition
from minitx.nn.transformer import FeedForward, TransformerBlock, TransformerEncoder

SIZES = {"B": 3, "T": 4, "D": 6, "F": 5, "V": 7, "C": 5, "N": 8, "H": 2}
TOLERANCE = 1e-6  # worst relative error of a right gradient, in float64
HOW_TO = (
    "an op is a function of Tensors that returns Tensor.from_op(y, (x, ...), backward), where backward(dy) returns "
    "one derivative for each of (x, ...); docs/your-own-op.md has a template"
)


@dataclass(frozen=True)
class Case:
    """One row: `call(*tensors, *arrays)`, with float tensors of `shapes` and what `arrays` make of sizes and rng.

    `make`, for a layer, builds it; `call` then gets the layer first, and its parameters are checked as well.
    """

    name: str
    shapes: str  # "B T D, F D": two tensors; a digit is itself
    call: Callable[..., Tensor]
    arrays: tuple[Callable[[Mapping[str, int], np.random.Generator], np.ndarray], ...] = ()
    positive: bool = False  # draw from 0.5 to 1.5 in place of a normal distribution
    make: Callable[[np.random.Generator], Module] | None = None

    def build(
        self, sizes: Mapping[str, int] = SIZES, dtype: Any = np.float64, seed: int = 0
    ) -> tuple[Callable[..., Tensor], list[Any]]:
        """A function and the inputs to call it with: tensors that require gradients, arrays, parameters."""
        rng = np.random.default_rng(seed)
        tensors = [
            Tensor(rng.uniform(0.5, 1.5, shape) if self.positive else rng.normal(size=shape), True, dtype)
            for shape in self.shapes_of(sizes)
        ]
        arrays = [make(sizes, rng) for make in self.arrays]
        if self.make is None:
            return self.call, [*tensors, *arrays]
        layer, count = self.make(rng).to(dtype), len(tensors) + len(arrays)
        for parameter in layer.parameters():
            parameter.data = rng.normal(0, 0.5, parameter.shape).astype(dtype)

        def call(*inputs: Any) -> Tensor:
            for module in layer.modules():
                if isinstance(module, Dropout):
                    module.rng = np.random.default_rng(seed)
            return self.call(layer, *inputs[:count])

        return call, [*tensors, *arrays, *layer.parameters()]

    def shapes_of(self, sizes: Mapping[str, int] = SIZES) -> list[tuple[int, ...]]:
        """The shapes in numbers."""
        shapes = self.shapes.split(",") if self.shapes else []
        return [tuple(sizes.get(size) or int(size.replace(*("B", "0"))) for size in s.split()) for s in shapes]
