"""Every op and layer of minitx as a row: how to call it, and on what. `selfcheck` checks them numerically.

The rows also drive the tests, which add a torch twin, other dtypes and odd shapes. A new op or layer is one new row.
Shapes are written in letters, each of another size, so that no two axes can be mistaken for one another; masks are
ragged, down to a sample without a real token; parameters are drawn at random, since a weight of 1 or a bias of 0
would hide a mistake.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minitx.autograd import functional as F, losses
from minitx.autograd.tensor import Tensor, cat, stack, where
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.heads import MLP, new_head
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.nn.attention import MultiHeadAttention
from minitx.nn.layers import Dropout, Embedding, LayerNorm, Linear
from minitx.nn.modernbert import GatedFeedForward, ModernBlock, RotaryAttention
from minitx.nn.module import Module
from minitx.nn.pooling import Normalize, Pooling
from minitx.nn.position import LearnedPosition, SinusoidalPosition
from minitx.nn.rare import POOLING_MODES, Dense, DenseConfig, new_pooling
from minitx.nn.relative import RelativePositionBias
from minitx.nn.transformer import FeedForward, TransformerBlock, TransformerEncoder
from minitx.training.baseline import SparseRows, sparse_linear

SIZES = {"B": 3, "T": 4, "D": 6, "F": 5, "V": 7, "C": 5, "N": 8, "H": 2}


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
        drawn = [
            rng.uniform(0.5, 1.5, size) if self.positive else rng.normal(size=size) for size in self.shapes_of(sizes)
        ]
        tensors = [Tensor(x, requires_grad=True, dtype=dtype) for x in drawn]
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
        return [tuple(sizes[size] if size in sizes else int(size) for size in s.split()) for s in shapes]


def _ids(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Token ids (B, T), some of them more than once."""
    return rng.integers(sizes["V"], size=(sizes["B"], sizes["T"]))


def ragged_mask(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """A mask (B, T) with rows of T, T - 2, ... and at last no real tokens; of a single row, all are real."""
    return np.arange(sizes["T"])[None, :] < sizes["T"] - 2 * np.arange(sizes["B"])[:, None]


def _seen(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """What each of T tokens may see of F others (B, T, F), nothing at all in places."""
    return rng.random((sizes["B"], sizes["T"], sizes["F"])) < 0.5


def _yes_or_no(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    return rng.integers(2, size=(sizes["N"], sizes["C"]))


def _targets(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Classes (N,), the second of them ignored."""
    targets = rng.integers(sizes["C"], size=sizes["N"])
    targets[1:2] = -100
    return targets


def _class_weights(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.5, 1.5, sizes["C"])


def _condition(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    return rng.random((sizes["B"], sizes["T"])) < 0.5


def _mostly_zeros(sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """A matrix (N, V) whose first row is 0 throughout."""
    x = rng.normal(size=(sizes["N"], sizes["V"])) * (rng.random((sizes["N"], sizes["V"])) < 0.3)
    x[:1] = 0
    return x


def _sparse_linear(w: Tensor, b: Tensor, x: np.ndarray) -> Tensor:
    rows, columns = np.nonzero(x)
    return sparse_linear(SparseRows(rows, columns, x[rows, columns], (len(x), x.shape[1])), w, b)


def _fresh() -> np.random.Generator:
    return np.random.default_rng(7)


def _encoder(rng: np.random.Generator, **options: Any) -> SentenceEncoder:
    config = EncoderConfig(7, hidden_size=4, num_layers=1, num_heads=2, intermediate_size=5, max_length=5, **options)
    return SentenceEncoder(config, rng=rng)


def _block(norm_first: bool, rng: np.random.Generator) -> TransformerBlock:
    return TransformerBlock(6, 2, 8, dropout=0.2, norm_first=norm_first, rng=rng)


def _new_pooling(mode: str, rng: np.random.Generator) -> Module:
    return new_pooling(mode)


def _call(layer: Module, *inputs: Any) -> Tensor:
    return layer(*inputs)


def _multitask_loss(model: MultiTaskModel, ids: np.ndarray, mask: np.ndarray) -> Tensor:
    losses = model.losses(model(ids, mask), {"a": np.array([0, 1, 2]), "b": np.array([1, -100, 0])})
    return losses["a"] + losses["b"]


OPS = [
    Case("Tensor.__add__", "B T D, T 1", lambda x, w: x + w),
    Case("Tensor.__radd__", "B T", lambda x: 2 + x),
    Case("Tensor.__sub__", "B T D, D", lambda x, w: x - w),
    Case("Tensor.__rsub__", "B T", lambda x: 2 - x),
    Case("Tensor.__neg__", "B T", lambda x: -x),
    Case("Tensor.__mul__", "B 1 D, T D", lambda x, w: x * w),
    Case("Tensor.__mul__ by itself", "B T", lambda x: x * x),
    Case("Tensor.__rmul__", "B T", lambda x: 0.3 * x),
    Case("Tensor.__truediv__", "T D, B T 1", lambda x, w: x / w, positive=True),
    Case("Tensor.__rtruediv__", "B T", lambda x: 2 / x, positive=True),
    Case("Tensor.__pow__ 3", "B T", lambda x: x**3),
    Case("Tensor.__rpow__ by a tensor", "B T, T", lambda x, n: x**n, positive=True),
    Case("Tensor.__rpow__ of a number", "B T", lambda x: 2**x),
    Case("Tensor.clamp", "B T", lambda x: x.clamp(-0.5, 0.5)),
    Case("Tensor.clone", "B T", lambda x: x.clone()),
    Case("Tensor.expand", "B 1 D", lambda x: x.expand(2, -1, 4, -1)),
    Case("Tensor.flatten", "B T D", lambda x: x.flatten(1)),
    Case("Tensor.masked_fill", "B T", lambda x, c: x.masked_fill(c, -3.0), (_condition,)),
    Case("Tensor.min", "B T D", lambda x: x.min(1)),
    Case("Tensor.sigmoid", "B T", lambda x: x.sigmoid()),
    Case("Tensor.std", "B T D", lambda x: x.std((0, 2))),
    Case("Tensor.var", "B T D", lambda x: x.var(1, 0, keepdim=True)),
    Case("Tensor.__pow__ -0.5", "B T", lambda x: x**-0.5, positive=True),
    Case("Tensor.__matmul__", "T D, D F", lambda x, w: x @ w),
    Case("Tensor.__matmul__ batch by matrix", "B T D, D F", lambda x, w: x @ w),
    Case("Tensor.__matmul__ broadcast batches", "B 1 T D, H D F", lambda x, w: x @ w),
    Case("Tensor.__matmul__ batch by vector", "B T D, D", lambda x, w: x @ w),
    Case("Tensor.__matmul__ vector by batch", "D, B D F", lambda x, w: x @ w),
    Case("Tensor.__matmul__ vector by matrix", "D, D F", lambda x, w: x @ w),
    Case("Tensor.__matmul__ vectors", "D, D", lambda x, w: x @ w),
    Case("Tensor.__rmatmul__", "D F", lambda w: np.linspace(0.1, 1, 2 * w.shape[0]).reshape(2, -1) @ w),
    Case("Tensor.exp", "B T", lambda x: x.exp()),
    Case("Tensor.log", "B T", lambda x: x.log(), positive=True),
    Case("Tensor.sqrt", "B T", lambda x: x.sqrt(), positive=True),
    Case("Tensor.tanh", "B T", lambda x: x.tanh()),
    Case("Tensor.abs", "B T", lambda x: x.abs()),
    Case("Tensor.sum", "B T D", lambda x: x.sum()),
    Case("Tensor.sum dim=(0, -1)", "B T D", lambda x: x.sum(dim=(0, -1))),
    Case("Tensor.sum dim=1, keepdim", "B T D", lambda x: x.sum(dim=1, keepdim=True)),
    Case("Tensor.mean", "B T D", lambda x: x.mean()),
    Case("Tensor.mean dim=-1", "B T D", lambda x: x.mean(dim=-1)),
    Case("Tensor.mean dim=(0, 2), keepdim", "B T D", lambda x: x.mean(dim=(0, 2), keepdim=True)),
    Case("Tensor.max", "B T D", lambda x: x.max()),
    Case("Tensor.max dim=1", "B T D", lambda x: x.max(dim=1)),
    Case("Tensor.max dim=(0, 1), keepdim", "B T D", lambda x: x.max(dim=(0, 1), keepdim=True)),
    Case("Tensor.view", "B T D", lambda x: x.view(-1, x.shape[2])),
    Case("Tensor.reshape", "B T D", lambda x: x.reshape(x.shape[1], x.shape[0] * x.shape[2])),
    Case("Tensor.permute", "B T D", lambda x: x.permute(1, -1, 0)),
    Case("Tensor.transpose", "B T D", lambda x: x.transpose(0, -1)),
    Case("Tensor.T", "T D", lambda x: x.T),
    Case("Tensor.unsqueeze", "B T", lambda x: x.unsqueeze(1)),
    Case("Tensor.squeeze", "B 1 T", lambda x: x.squeeze(1)),
    Case("Tensor.__getitem__ slices", "B T D", lambda x: x[:, 1:, ::-2]),
    Case("Tensor.__getitem__ integer, new axis", "B T 6", lambda x: x[..., None, 2]),
    Case("Tensor.__getitem__ repeated rows", "4 D", lambda x: x[np.array([[0, 2], [2, -1]])]),
    Case("Tensor.__getitem__ boolean", "4 D", lambda x: x[np.array([True, False, False, True])]),
    Case("cat", "B T, B D", lambda x, w: cat([x, w, x], dim=1)),
    Case("stack", "B T, B T", lambda x, w: stack([x, w, x], dim=-1)),
    Case("where", "B T, T", lambda x, w, condition: where(condition, x, w), (_condition,)),
    Case("linear", "B T D, F D, F", F.linear),
    Case("linear without bias", "D, F D", F.linear),
    *(Case(f"linear {name}", "B T D, F D, F", partial(F.linear, activation=name)) for name in F.ACTIVATIONS),
    Case("sparse_linear", "C V, C", _sparse_linear, (_mostly_zeros,)),
    *(Case(name, "B T D", getattr(F, name)) for name in F.ACTIVATIONS),
    Case("softmax", "B T D", F.softmax),
    Case("log_softmax", "B T D", F.log_softmax),
    Case("layer_norm", "B T D, D, D", F.layer_norm),
    Case("add_layer_norm", "B T D, B T D, D, D", F.add_layer_norm),
    Case(
        "add_layer_norm dropout",
        "B T D, B T D, D, D",
        lambda x, r, w, b: F.add_layer_norm(x, r, w, b, p=0.3, rng=_fresh()),
    ),
    Case("embedding", "V D", lambda w, ids: F.embedding(ids, w), (_ids,)),
    Case("embedding sparse", "V D", lambda w, ids: F.embedding(ids, w, sparse=True), (_ids,)),
    Case("dropout", "B T D", lambda x: F.dropout(x, 0.3, _fresh())),
    Case("attention", "B T D, B T D, B T D", lambda q, k, v: F.attention(q, k, v, 2)),
    Case("attention mask", "B T D, B T D, B T D", lambda q, k, v, m: F.attention(q, k, v, 2, m), (ragged_mask,)),
    Case(
        "attention mask, bias, dropout",
        "B T D, B T D, B T D, H T T",
        lambda q, k, v, bias, m: F.attention(q, k, v, 2, m, bias, 0.3, _fresh()),
        (ragged_mask,),
    ),
    Case(
        "attention of other tokens, causal",
        "B T D, B F D, B F D",
        lambda q, k, v, m: F.attention(q, k, v, 2, m, is_causal=True),
        (_seen,),
    ),
    Case("mean_pool", "B T D", F.mean_pool, (ragged_mask,)),
    Case("normalize", "B T D", F.normalize),
    Case("cross_entropy", "N C", F.cross_entropy, (_targets,)),
    Case(
        "cross_entropy weights, smoothing",
        "N C",
        lambda x, target, w: F.cross_entropy(x, target, w, label_smoothing=0.1),
        (_targets, _class_weights),
    ),
    Case("mse_loss", "B T, B T", losses.mse_loss),
    Case(
        "binary_cross_entropy_with_logits",
        "N C",
        lambda x, target, w: losses.binary_cross_entropy_with_logits(x, target, pos_weight=w),
        (_yes_or_no, _class_weights),
    ),
]

LAYERS = [
    Case("Linear", "B T D", lambda layer, x: layer(x), make=lambda rng: Linear(6, 5, rng=rng)),
    Case("Embedding", "", lambda layer, ids: layer(ids), (_ids,), make=lambda rng: Embedding(7, 6, rng=rng)),
    Case("LayerNorm", "B T D", lambda layer, x: layer(x), make=lambda rng: LayerNorm(6)),
    Case("Dropout", "B T D", lambda layer, x: layer(x), make=lambda rng: Dropout(0.3, rng=rng)),
    Case("SinusoidalPosition", "B T D", lambda layer, x: layer(x), make=lambda rng: SinusoidalPosition(5, 6)),
    Case("LearnedPosition", "B T D", lambda layer, x: layer(x), make=lambda rng: LearnedPosition(5, 6, rng=rng)),
    Case("RelativePositionBias", "", lambda b, i: b(i.shape[1]), (_ids,), make=lambda _: RelativePositionBias(8, 2)),
    Case("Pooling mean", "B T D", lambda layer, *x: layer(*x), (ragged_mask,), make=lambda rng: Pooling("mean")),
    Case("Pooling cls", "B T D", lambda layer, *x: layer(*x), (ragged_mask,), make=lambda rng: Pooling("cls")),
    Case("Pooling max", "B T D", lambda layer, *x: layer(*x), (ragged_mask,), make=lambda rng: Pooling("max")),
    *(
        Case(f"RarePooling {mode}", "B T D", _call, (ragged_mask,), make=partial(_new_pooling, mode))
        for mode in (*POOLING_MODES[3:], "cls+weightedmean")
    ),
    Case("Dense", "B D", _call, make=lambda rng: Dense(DenseConfig(6, 5, normalize=True), rng=rng)),
    Case("Normalize", "B D", lambda layer, x: layer(x), make=lambda rng: Normalize()),
    Case(
        "MultiHeadAttention mask, bias, dropout",
        "B T D, H T T",
        lambda layer, x, bias, mask: layer(x, mask, bias),
        (ragged_mask,),
        make=lambda rng: MultiHeadAttention(6, 2, 0.2, rng=rng),
    ),
    Case("FeedForward relu", "B T D", lambda layer, x: layer(x), make=lambda rng: FeedForward(6, 8, "relu", rng=rng)),
    Case("FeedForward gelu", "B T D", lambda layer, x: layer(x), make=lambda rng: FeedForward(6, 8, rng=rng)),
    Case("TransformerBlock post-norm", "B T D", _call, (ragged_mask,), make=partial(_block, False)),
    Case("TransformerBlock pre-norm", "B T D", _call, (ragged_mask,), make=partial(_block, True)),
    Case("RotaryAttention", "B T D", _call, (ragged_mask,), make=lambda rng: RotaryAttention(6, 1, 9.0, 2, rng=rng)),
    Case("GatedFeedForward", "B T D", _call, make=lambda rng: GatedFeedForward(6, 8, "silu", rng=rng)),
    Case("ModernBlock", "B T D", _call, (ragged_mask,), make=lambda g: ModernBlock((9.0, 0), False, 6, 1, 8, rng=g)),
    Case(
        "TransformerEncoder pre-norm",
        "B T 4",
        lambda layer, x, mask: layer(x, mask),
        (ragged_mask,),
        make=lambda rng: TransformerEncoder(
            [TransformerBlock(4, 2, 5, norm_first=True, rng=rng) for _ in range(2)], LayerNorm(4)
        ),
    ),
    Case(
        "SentenceEncoder",
        "",
        lambda model, ids, mask: model(ids, mask),
        (_ids, ragged_mask),
        make=lambda rng: _encoder(rng, positions="learned", relative_buckets=4, normalize=True),
    ),
    Case("MLP", "B D", lambda layer, x: layer(x), make=lambda rng: MLP(6, 8, 5, 0.2, rng=rng)),
    Case("Ordinal", "B D", lambda layer, x: layer(x), make=lambda rng: new_head("ordinal", 6, 0, 5, 0.0, rng=rng)),
    Case("Corn", "B D", lambda layer, x: layer(x), make=lambda rng: new_head("corn", 6, 0, 5, 0.0, rng=rng)),
    Case("TaskWeights", "B", lambda layer, x: layer(x), make=lambda rng: TaskWeights("abc", learned=True)),
    Case(
        "MultiTaskModel loss",
        "",
        _multitask_loss,
        (_ids, ragged_mask),
        make=lambda rng: MultiTaskModel(_encoder(rng), {"a": 3, "b": 2}, rng=rng),
    ),
]
