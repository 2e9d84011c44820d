"""The training steps that are measured: shapes, models, batches. Without torch, for a process that shall have none."""

import numpy as np

from minitx.data.batches import Batch
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel

STEPS = {  # name: (V, D, L, H, F, B, T), what the ratio shall be at most
    "V=30000 D=128 L=4 H=8 F=512, B=32 T=128": ((30000, 128, 4, 8, 512, 32, 128), 0.65),
    "V=30000 D=384 L=6 H=12 F=1536, B=32 T=64": ((30000, 384, 6, 12, 1536, 32, 64), 0.70),
    "V=8000 D=64 L=2 H=4 F=256, B=32 T=32": ((8000, 64, 2, 4, 256, 32, 32), 0.80),
}
HEADS = {"sentiment": 3, "engagement": 3}


def make(V: int, D: int, L: int, H: int, F: int, B: int, T: int, dropout: float) -> tuple[MultiTaskModel, Batch]:
    rng = np.random.default_rng(0)
    config = EncoderConfig(
        V,
        hidden_size=D,
        num_layers=L,
        num_heads=H,
        intermediate_size=F,
        max_length=T,
        activation="relu",
        dropout=dropout,
    )
    model = MultiTaskModel(SentenceEncoder(config, rng=rng), HEADS, dropout, rng=rng)
    labels = {name: rng.integers(0, classes, size=B) for name, classes in HEADS.items()}
    ids = rng.zipf(1.2, size=(B, T)) % (V - 1) + 1  # word frequencies are as uneven as in text
    return model, Batch(ids, np.ones((B, T), bool), labels, np.arange(B))


def step_flops(V: int, D: int, L: int, H: int, F: int, B: int, T: int) -> float:
    """Multiplications and additions in the matrix products of one step: forward, and twice that backward."""
    per_token = L * (4 * D * D + 2 * D * F + 2 * T * D)
    return 3 * 2 * B * T * per_token
