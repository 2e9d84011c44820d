"""Torch twins: the same mathematics in torch's own layers, the same weights, and a comparison by name."""

import math

import numpy as np
import torch
from torch import nn

from minitx.models.multitask import MultiTaskModel
from minitx.nn.attention import MultiHeadAttention
from minitx.nn.module import Module
from minitx.nn.transformer import TransformerBlock

torch.set_num_threads(1)


def ragged_mask(lengths: list[int], width: int) -> np.ndarray:
    """attention_mask (B, T), True for the first `length` tokens of each row."""
    return np.arange(width) < np.array(lengths)[:, None]


def assert_same(
    ours: dict[str, np.ndarray], theirs: dict[str, torch.Tensor], *, atol: float, rtol: float = 0.0
) -> None:
    """Same names, shapes, dtypes and values; says which name differs, by how much and where."""
    assert ours.keys() == theirs.keys()
    for name, mine in ours.items():
        expected = theirs[name].detach().numpy()
        assert mine.shape == expected.shape, f"{name}: shape {mine.shape}, torch has {expected.shape}"
        assert mine.dtype == expected.dtype, f"{name}: dtype {mine.dtype}, torch has {expected.dtype}"
        difference = np.abs(mine - expected) - rtol * np.abs(expected)
        worst = np.unravel_index(difference.argmax(), difference.shape) if difference.size else ()
        assert difference.size == 0 or difference[worst] <= atol, (
            f"{name}{list(map(int, worst))}: {mine[worst]!r}, torch has {expected[worst]!r}"
        )


def to_torch(array: np.ndarray, requires_grad: bool = True) -> torch.Tensor:
    return torch.tensor(array, requires_grad=requires_grad)


# Our names -> torch's. The three projections are rows of one matrix there.
BLOCK_NAMES = {
    "attention.out": "self_attn.out_proj",
    "feed_forward.linear1": "linear1",
    "feed_forward.linear2": "linear2",
    "norm1": "norm1",
    "norm2": "norm2",
}


def attention_state(ours: MultiHeadAttention, part: str = "data") -> dict[str, np.ndarray]:
    """Weights (or, with part="grad", gradients) of an attention layer as `nn.MultiheadAttention` names them."""
    projections = (ours.query, ours.key, ours.value)
    return {
        "in_proj_weight": np.concatenate([getattr(layer.weight, part) for layer in projections]),
        "in_proj_bias": np.concatenate([getattr(layer.bias, part) for layer in projections]),
        "out_proj.weight": getattr(ours.out.weight, part),
        "out_proj.bias": getattr(ours.out.bias, part),
    }


def block_state(ours: TransformerBlock, part: str = "data") -> dict[str, np.ndarray]:
    """Weights or gradients of a block as `nn.TransformerEncoderLayer` names them."""
    state = {f"self_attn.{name}": array for name, array in attention_state(ours.attention, part).items()}
    for name, parameter in ours.named_parameters():
        layer, kind = name.rsplit(".", 1)
        if layer in BLOCK_NAMES:
            state[f"{BLOCK_NAMES[layer]}.{kind}"] = getattr(parameter, part)
    return state


def load(theirs: nn.Module, state: dict[str, np.ndarray]) -> nn.Module:
    """Strictly load arrays, copied, and take their dtype."""
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    theirs = theirs.to(next(iter(tensors.values())).dtype)
    theirs.load_state_dict(tensors)
    return theirs


def gradients(module: Module | nn.Module) -> dict:
    """Name -> gradient of every parameter that has one."""
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


class TorchMultiTask(nn.Module):
    """The two-headed model written as a torch user would, from torch's own layers."""

    def __init__(self, ours: MultiTaskModel) -> None:
        super().__init__()
        c = ours.encoder.config
        self.embedding = nn.Embedding(c.vocab_size, c.hidden_size)
        self.register_buffer("table", torch.tensor(ours.encoder.position.table), persistent=False)
        self.norm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        layers = (
            nn.TransformerEncoderLayer(
                c.hidden_size,
                c.num_heads,
                c.intermediate_size,
                c.dropout,
                c.activation,
                c.layer_norm_eps,
                batch_first=True,
                norm_first=c.norm_first,
            )
            for _ in range(c.num_layers)
        )
        self.blocks = nn.ModuleList(layers)
        self.heads = nn.ModuleDict({name: nn.Linear(c.hidden_size, len(names)) for name, names in ours.classes.items()})
        load(self, self.state_from(ours))

    @staticmethod
    def state_from(ours: MultiTaskModel, part: str = "data") -> dict[str, np.ndarray]:
        e = ours.encoder
        state = {"embedding.weight": getattr(e.embedding.weight, part)}
        state |= {f"norm.{kind}": getattr(getattr(e.norm, kind), part) for kind in ("weight", "bias")}
        for i, block in enumerate(e.transformer.blocks):
            state |= {f"blocks.{i}.{name}": array for name, array in block_state(block, part).items()}
        for name, head in ours.heads.items():
            state |= {f"heads.{name}.{kind}": getattr(getattr(head, kind), part) for kind in ("weight", "bias")}
        return state

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.norm(math.sqrt(self.embedding.embedding_dim) * self.embedding(ids) + self.table[: ids.shape[1]])
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~attention_mask)
        mask = attention_mask[:, :, None].to(x.dtype)
        vectors = (x * mask).sum(1) / mask.sum(1)
        return {name: head(vectors) for name, head in self.heads.items()}
