"""What does a token cost, as the data and the texts grow?  `python -m benchmarks.bench_scaling`

Two curves of minitx alone: an epoch over 1,000 to 1,000,000 synthetic reviews, tokenising and batching included, which
should cost the same per token throughout; and a step on texts of 32 to 1,024 tokens, 4,096 tokens at a time, split by
the profile into attention, whose cost per token grows with the length, and the rest, whose cost should not.
"""

import argparse
import time

import numpy as np

import minitx
from benchmarks.steps import make
from minitx.data.batches import length_batches
from minitx.data.samples import synthetic_reviews
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (32, 64, 128, 256, 512, 1024)


def by_reviews(sizes: tuple[int, ...] = SIZES) -> dict[int, dict[str, float]]:
    """Number of reviews -> microseconds a token, for tokenising and for batching and training. A narrow model, so that
    a million take a minute or two and what is not matrix products shows."""
    texts = [text for text in synthetic_reviews(20_000, seed=0)["content"] if isinstance(text, str)]
    tokenizer = BPETokenizer.train(texts, vocab_size=4000)
    rng = np.random.default_rng(0)
    config = EncoderConfig(4000, hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, max_length=128)
    model = MultiTaskModel(SentenceEncoder(config, rng=rng), {"sentiment": 3}, rng=rng)
    optimizer = Adam(model.parameters())
    curve = {}
    with DataParallel(model) as parallel:
        for size in sizes:
            drawn = [texts[i] for i in rng.integers(len(texts), size=size)]
            start = time.perf_counter()
            sequences = [np.array(ids[:128], np.uint16) for ids in tokenizer.encode_batch(drawn)]
            middle = time.perf_counter()
            labels = {"sentiment": rng.integers(3, size=size)}
            for batch in length_batches(sequences, labels, batch_size=64, pad_id=0, rng=rng):
                optimizer.zero_grad()
                parallel.backward(batch)
                optimizer.step(parallel.pool.map)
            end = time.perf_counter()
            tokens = sum(map(len, sequences))
            curve[size] = {"tokenise": (middle - start) / tokens * 1e6, "train": (end - middle) / tokens * 1e6}
    return curve


def by_length(lengths: tuple[int, ...] = LENGTHS) -> dict[int, dict[str, float]]:
    """Tokens a text -> microseconds (summed over threads) a token, in attention and in everything else."""
    curve = {}
    for T in lengths:
        model, batch = make(8000, 128, 2, 4, 512, 4096 // T, T, dropout=0.1)
        optimizer = Adam(model.parameters())
        with DataParallel(model) as parallel:
            for turn in range(2):  # the first is not counted
                with minitx.profile() as p:
                    for _ in range(5):
                        optimizer.zero_grad()
                        parallel.backward(batch)
                        optimizer.step(parallel.pool.map)
                if not turn:
                    continue
                attention = sum(row.seconds for row in p.rows.values() if row.name.startswith("attention"))
                rest = sum(row.seconds for row in p.rows.values()) - attention
                curve[T] = {"attention": attention / 5 / 4096 * 1e6, "the rest": rest / 5 / 4096 * 1e6}
    return curve


def print_curve(title: str, curve: dict[int, dict[str, float]]) -> None:
    print(title)
    for x, parts in curve.items():
        print(f"{x:10,}  " + "  ".join(f"{name} {value:6.2f} us/token" for name, value in parts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    print_curve("reviews", by_reviews(tuple(arguments.reviews)))
    print_curve("tokens a text", by_length())


if __name__ == "__main__":
    main()
