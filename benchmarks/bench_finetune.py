"""Fine-tuning real MiniLM: how long do the heads alone take, and everything, beside torch?

    python -m benchmarks.bench_finetune [--data reviews.csv] [--rows 1000] [--epochs 5]

Same weights, same rows in the same batches, AdamW with the same rates. Before anything is timed, both train a few steps
without dropout and their losses have to agree. The contenders:

    heads only    minitx: `fit` with a frozen encoder, which computes sentence vectors once, their computation included
                  torch: requires_grad=False, the encoder (eval mode) run on every batch, as one writes it
                  torch, cached: the same with its sentence vectors computed once, as few do
    everything    one epoch of full fine-tuning each, dropout 0.1
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers
from torch.nn import functional as TF

from minitx.app.prepare import read_data
from minitx.data.batches import TokenisedRows, length_batches
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.models.multitask import MultiTaskModel
from minitx.training.freezing import parameter_groups
from minitx.training.optim import AdamW
from minitx.training.trainer import TrainingSettings, fit

LR, HEAD_LR, BATCH = 5e-5, 1e-3, 32


def make(classes: dict[str, tuple[str, ...]], dropout: float) -> MultiTaskModel:
    encoder = SentenceEncoder.from_pretrained("all-MiniLM-L6-v2", rng=np.random.default_rng(0))
    for module in encoder.modules():
        if hasattr(module, "p"):
            module.p = dropout
    return MultiTaskModel(encoder, classes, dropout, rng=np.random.default_rng(0))


class Twin(torch.nn.Module):
    """The same model as a torch user writes it, on transformers' encoder."""

    def __init__(self, ours: MultiTaskModel, dropout: float) -> None:
        super().__init__()
        options = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        self.encoder = transformers.AutoModel.from_pretrained(
            find_directory("all-MiniLM-L6-v2"), add_pooling_layer=False, **options
        )
        self.dropout = torch.nn.Dropout(dropout)
        self.heads = torch.nn.ModuleDict()
        for name, head in ours.heads.items():
            self.heads[name] = torch.nn.Linear(*reversed(head.weight.shape))
            self.heads[name].load_state_dict({k: torch.tensor(v) for k, v in head.state_dict().items()})
        self.scale = ours.scale

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        tokens = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        real = mask[:, :, None].to(tokens.dtype)
        return TF.normalize((tokens * real).sum(1) / real.sum(1))

    def loss(self, vectors: torch.Tensor, labels: dict[str, np.ndarray]) -> torch.Tensor:
        shared = self.dropout(vectors) * self.scale
        return sum(TF.cross_entropy(head(shared), torch.tensor(labels[name])) for name, head in self.heads.items())


def train_torch(twin: Twin, rows: TokenisedRows, epochs: int, *, frozen: bool, cached: bool = False) -> list[float]:
    """The mean loss of each epoch."""
    twin.encoder.requires_grad_(not frozen)
    groups = [{"params": twin.heads.parameters(), "lr": HEAD_LR}]
    if not frozen:
        groups.append({"params": twin.encoder.parameters(), "lr": LR})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    twin.train()
    twin.encoder.train(not frozen)
    rng, losses = np.random.default_rng(1), []
    known = torch.empty(len(rows.sequences), twin.encoder.config.hidden_size)
    if cached:
        with torch.no_grad():
            for batch in length_batches(rows.sequences, {}, batch_size=BATCH, pad_id=0):
                known[batch.rows] = twin.vectors(torch.tensor(batch.ids), torch.tensor(batch.attention_mask))
    for _ in range(epochs):
        total = 0.0
        for batch in length_batches(*rows, batch_size=BATCH, pad_id=0, rng=rng):
            vectors = known[batch.rows]
            if not cached:
                vectors = twin.vectors(torch.tensor(batch.ids), torch.tensor(batch.attention_mask))
            loss = twin.loss(vectors, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_((p for p in twin.parameters() if p.requires_grad), 1.0)
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(rows.sequences))
    return losses


def train_ours(model: MultiTaskModel, rows: TokenisedRows, epochs: int, *, frozen: bool) -> tuple[list[float], float]:
    """The mean loss of each epoch, and the seconds of the last one."""
    model.encoder.requires_grad_(not frozen)
    optimizer = AdamW(parameter_groups(model, lr=LR, head_lr=HEAD_LR, weight_decay=0.01, decay_all=True))
    one = TokenisedRows(rows.sequences[:1], {head: labels[:1] for head, labels in rows.labels.items()})
    settings = TrainingSettings(epochs, BATCH, progress=False)
    done = fit(model, rows, one, optimizer, settings, rng=np.random.default_rng(1))
    return [sum(report.loss for report in epoch.train.values()) for epoch in done], done[-1].seconds


def assert_equal(classes: dict[str, tuple[str, ...]], rows: TokenisedRows) -> None:
    few = TokenisedRows(rows.sequences[:96], {head: labels[:96] for head, labels in rows.labels.items()})
    for frozen in (True, False):
        model = make(classes, 0.0)
        twin = Twin(model, 0.0)
        theirs = train_torch(twin, few, 2, frozen=frozen)
        ours, _ = train_ours(model, few, 2, frozen=frozen)
        assert np.allclose(ours, theirs, atol=2e-3), (ours, theirs)
        print(f"{'heads only' if frozen else 'everything'}: losses {np.round(ours, 4)} and torch {np.round(theirs, 4)}")


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    data, audit = read_data(a.data, None, {})
    model = make(data.classes, 0.1)
    chosen = data.subset(np.random.default_rng(0).permutation(len(data))[: a.rows])
    sequences = model.encoder.tokenizer.encode_batch(chosen.texts, max_length=128)
    rows = TokenisedRows(sequences, chosen.labels)
    print(f"{audit.source}, {len(sequences):,} rows of {np.mean([len(s) for s in sequences]):.0f} tokens in the mean")
    assert_equal(data.classes, rows)
    seconds: dict[str, list[float]] = {}
    for _ in range(a.rounds):
        for name, call in contenders(data.classes, rows, a.epochs).items():
            start = time.perf_counter()
            last_epoch = call()
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            if name == "heads only: minitx":
                seconds.setdefault("heads only, its last epoch", []).append(last_epoch)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\nheads only for {a.epochs} epochs, everything for one; {a.rounds} rounds")
    for name, median in medians.items():
        print(f"{name:28} median {median:8.3f} s  min {min(seconds[name]):8.3f} s")
    for name in ("heads only: torch", "heads only: torch, cached", "everything: torch"):
        ours = medians[f"{name.split(':')[0]}: minitx"]
        print(f"minitx / {name:26} {ours / medians[name]:6.2f}")
    times = medians["everything: minitx"] / medians["heads only, its last epoch"]
    print(f"an epoch of everything takes minitx {times:.0f} times as long as one of the heads")


def contenders(
    classes: dict[str, tuple[str, ...]], rows: TokenisedRows, epochs: int
) -> dict[str, Callable[[], float | list[float]]]:
    heads, everything = make(classes, 0.1), make(classes, 0.1)
    twins = [Twin(heads, 0.1) for _ in range(3)]
    return {
        "heads only: minitx": lambda: train_ours(heads, rows, epochs, frozen=True)[1],
        "heads only: torch": lambda: train_torch(twins[0], rows, epochs, frozen=True),
        "heads only: torch, cached": lambda: train_torch(twins[1], rows, epochs, frozen=True, cached=True),
        "everything: minitx": lambda: train_ours(everything, rows, 1, frozen=False)[1],
        "everything: torch": lambda: train_torch(twins[2], rows, 1, frozen=False),
    }


if __name__ == "__main__":
    main()
