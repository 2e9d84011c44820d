"""How long does an epoch take?  `python -m benchmarks.bench_epoch CSV`

* A whole epoch: the model of the first write-up (D=128 L=4 H=8 F=512, batches of 32), in torch as its author ran it,
  every row padded to 128 tokens, and here, where batches hold texts of similar length.
* Heads only: 5 epochs with the encoder frozen, in torch with `requires_grad=False`. Both sides get the same batches of
  similar length. Here the sentence vectors are computed once.

Losses are asserted equal (without dropout) before anything is timed; the contenders take turns.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from benchmarks.torch_twin import TorchMultiTask
from minitx.app.prepare import padding_waste
from minitx.data.batches import Batch, TokenisedRows, length_batches, pad
from minitx.data.reviews import read_reviews
from minitx.data.split import split
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.optim import Adam
from minitx.training.trainer import TrainingSettings, fit

LENGTH = 128


def read(csv: str) -> tuple[TokenisedRows, TokenisedRows, int]:
    data, _ = read_reviews(csv)
    parts = split(data, seed=0)
    tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=30_000)
    train, few = (
        TokenisedRows([ids[:LENGTH] for ids in tokenizer.encode_batch(part.texts)], part.labels)
        for part in (parts.train, parts.validation.subset(np.arange(8)))
    )
    return train, few, tokenizer.vocab_size


def make(vocab_size: int, dropout: float) -> MultiTaskModel:
    rng = np.random.default_rng(0)
    config = EncoderConfig(
        vocab_size,
        hidden_size=128,
        num_layers=4,
        num_heads=8,
        intermediate_size=512,
        max_length=LENGTH,
        dropout=dropout,
    )
    return MultiTaskModel(SentenceEncoder(config, rng=rng), {"sentiment": 3, "engagement": 3}, dropout, rng=rng)


def padded_batches(rows: TokenisedRows, rng: np.random.Generator) -> list[Batch]:
    """As the write-up has it: shuffled, 32 rows each, all of 128 tokens."""
    ids, mask = pad([*rows.sequences, np.zeros(LENGTH, np.int64)], 0)
    order = rng.permutation(len(rows.sequences))
    parts = [order[start : start + 32] for start in range(0, len(order), 32)]
    return [Batch(ids[part], mask[part], {h: y[part] for h, y in rows.labels.items()}, part) for part in parts]


def short_batches(rows: TokenisedRows, rng: np.random.Generator) -> list[Batch]:
    return list(length_batches(*rows, batch_size=32, pad_id=0, rng=rng))


def torch_epoch(twin: TorchMultiTask, optimizer: torch.optim.Optimizer, batches: list[Batch]) -> None:
    for batch in batches:
        labels = {head: torch.from_numpy(y) for head, y in batch.labels.items()}
        optimizer.zero_grad()
        twin.loss(torch.from_numpy(batch.ids), torch.from_numpy(batch.attention_mask), labels).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()


def our_epochs(model: MultiTaskModel, rows: TokenisedRows, few: TokenisedRows, epochs: int) -> None:
    optimizer = Adam([p for p in model.parameters() if p.requires_grad])
    fit(model, rows, few, optimizer, TrainingSettings(epochs, progress=False), rng=np.random.default_rng(1))


def assert_equal(rows: TokenisedRows, vocab_size: int) -> None:
    model = make(vocab_size, dropout=0.0)
    twin = TorchMultiTask(model)
    for batch in (padded_batches(rows, np.random.default_rng(0))[0], short_batches(rows, np.random.default_rng(0))[0]):
        labels = {head: torch.from_numpy(y) for head, y in batch.labels.items()}
        expected = twin.loss(torch.from_numpy(batch.ids), torch.from_numpy(batch.attention_mask), labels).item()
        losses = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
        assert abs(sum(loss.item() for loss in losses.values()) - expected) < 1e-5


def whole_epoch(rows: TokenisedRows, few: TokenisedRows, vocab_size: int, rounds: int) -> dict[str, list[float]]:
    twin, rng = TorchMultiTask(make(vocab_size, 0.1)), np.random.default_rng(0)
    adam = torch.optim.Adam(twin.parameters())
    model = make(vocab_size, 0.1)
    seconds: dict[str, list[float]] = {"torch, padded to 128": [], "minitx": []}
    torch_epoch(twin, adam, padded_batches(rows, rng)[:5])  # to warm up
    for _ in range(rounds):
        start = time.perf_counter()
        torch_epoch(twin, adam, padded_batches(rows, rng))
        middle = time.perf_counter()
        our_epochs(model, rows, few, 1)
        seconds["torch, padded to 128"].append(middle - start)
        seconds["minitx"].append(time.perf_counter() - middle)
    return seconds


def heads_only(rows: TokenisedRows, few: TokenisedRows, vocab_size: int, rounds: int) -> dict[str, list[float]]:
    model, twin, rng = make(vocab_size, 0.1), TorchMultiTask(make(vocab_size, 0.1)), np.random.default_rng(0)
    model.encoder.freeze()
    twin.encoder.requires_grad_(False)
    adam = torch.optim.Adam(twin.heads.parameters())
    seconds: dict[str, list[float]] = {"torch, requires_grad=False": [], "minitx": []}
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(5):
            torch_epoch(twin, adam, short_batches(rows, rng))
        middle = time.perf_counter()
        our_epochs(model, rows, few, 5)
        seconds["torch, requires_grad=False"].append(middle - start)
        seconds["minitx"].append(time.perf_counter() - middle)
    return seconds


def bench(csv: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Work -> contender -> seconds."""
    rows, few, vocab_size = read(csv)
    assert_equal(rows, vocab_size)
    rng = np.random.default_rng(0)
    waste = {
        name: padding_waste(make(rows, rng)) for name, make in (("128", padded_batches), ("similar", short_batches))
    }
    print(
        f"{len(rows.sequences):,} rows; padding: {waste['128']:.0%} to 128, {waste['similar']:.1%} in similar lengths"
    )
    return {
        "one epoch, against every row padded to 128": whole_epoch(rows, few, vocab_size, rounds),
        "5 epochs of the heads, encoder frozen": heads_only(rows, few, vocab_size, rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", help="a review file")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for work, seconds in bench(arguments.csv, arguments.rounds).items():
        ours = statistics.median(seconds["minitx"])
        for contender, values in seconds.items():
            median = statistics.median(values)
            print(
                f"{work:45} {contender:28} median {median:7.2f} s  min {min(values):7.2f} s  ratio {ours / median:.2f}"
            )


if __name__ == "__main__":
    main()
