"""The two-headed model as a torch user would write it for speed: the same names, so weights load by themselves."""

import math

import torch
from torch import nn
from torch.nn import functional as TF

from minitx.models.config import EncoderConfig
from minitx.models.multitask import MultiTaskModel
from minitx.nn.position import sinusoidal_table


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (
            layer(x).view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        p = self.dropout if self.training else 0.0
        y = TF.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
        return self.out(y.transpose(1, 2).reshape(B, T, D))


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.activation = {"relu": TF.relu, "gelu": TF.gelu}[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear2(self.activation(self.linear1(x)))


class Block(nn.Module):
    def __init__(self, c: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(c.hidden_size, c.num_heads, c.dropout)
        self.norm1, self.norm2 = (nn.LayerNorm(c.hidden_size, c.layer_norm_eps) for _ in range(2))
        self.feed_forward = FeedForward(c.hidden_size, c.intermediate_size, c.activation)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


class Encoder(nn.Module):
    def __init__(self, c: EncoderConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(c.vocab_size, c.hidden_size)
        self.register_buffer("table", torch.tensor(sinusoidal_table(c.max_length, c.hidden_size)), persistent=False)
        self.norm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.dropout = nn.Dropout(c.dropout)
        self.transformer = nn.ModuleDict({"blocks": nn.ModuleList(Block(c) for _ in range(c.num_layers))})
        self.scale = math.sqrt(c.hidden_size)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.dropout(self.norm(self.embedding(ids) * self.scale + self.table[: ids.shape[1]]))
        mask = None if attention_mask.all() else attention_mask[:, None, None, :]  # its fast path takes no mask
        for block in self.transformer["blocks"]:
            x = block(x, mask)
        real = attention_mask[:, :, None].to(x.dtype)
        return (x * real).sum(1) / real.sum(1)


class TorchMultiTask(nn.Module):
    """Twin of a sinusoidal, post-norm, mean-pooled `MultiTaskModel`, with its weights."""

    def __init__(self, ours: MultiTaskModel) -> None:
        super().__init__()
        c = ours.encoder.config
        self.encoder = Encoder(c)
        self.dropout = nn.Dropout(ours.dropout.p)
        self.heads = nn.ModuleDict({name: nn.Linear(c.hidden_size, len(names)) for name, names in ours.classes.items()})
        self.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        vectors = self.dropout(self.encoder(ids, attention_mask))
        return {name: head(vectors) for name, head in self.heads.items()}

    def loss(self, ids: torch.Tensor, attention_mask: torch.Tensor, labels: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = self(ids, attention_mask)
        return sum(TF.cross_entropy(logits[name], target) for name, target in labels.items())
