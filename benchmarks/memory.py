"""Does memory stay flat?  `python -m benchmarks.memory [--steps 100000] [--lines 1000000]`

A tiny model takes so many optimizer steps, epochs of `fit` one after the other, and `embed_file` embeds so many lines.
Meanwhile the process's resident memory is sampled, at 200 equal stretches of the work. Printed for each is the slope in
bytes per step or line, of the second half alone (the first few thousand fill caches and the allocator's arenas), by the
median of the slopes of all pairs of samples (Theil 1950, Sen 1968), with its 95 % interval by the bootstrap over blocks
of ten samples, which follow one another and so are alike. A slope counts as flat if all of the work at its upper end
would add less than 1 MB. `memory.png` and `memory.json` in `--out` have every sample.

Linux: it reads /proc/self/statm.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from minitx.app import embed
from minitx.data.batches import TokenisedRows
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.optim import AdamW
from minitx.training.trainer import Callback, TrainingSettings, fit

SAMPLES, BLOCK, FLAT = 200, 10, 1e6
WORDS = ["the", "app", "crashes", "since", "last", "update", "cannot", "log", "in", "please", "fix", "great", "films"]


class Samples:
    """Resident bytes after so much work."""

    def __init__(self, of: int, unit: str) -> None:
        self.every, self.done, self.points, self.start = max(1, of // SAMPLES), 0, [], time.perf_counter()
        self.bar = tqdm(total=of, unit=f" {unit}", mininterval=5)

    def add(self, count: int) -> None:
        if (self.done + count) // self.every > self.done // self.every:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.points.append((self.done + count, pages * os.sysconf("SC_PAGE_SIZE")))
        self.done += count
        self.bar.update(count)

    def result(self) -> dict[str, Any]:
        self.bar.close()
        x, y = np.array(self.points[len(self.points) // 2 :], float).T
        rng, starts = np.random.default_rng(0), np.arange(max(1, len(x) - BLOCK + 1))
        drawn = []
        for _ in range(500):
            chosen = (rng.choice(starts, -(-len(x) // BLOCK))[:, None] + np.arange(BLOCK)).ravel().clip(max=len(x) - 1)
            drawn.append(slope(x[chosen], y[chosen]))
        low, high = np.quantile(drawn, (0.025, 0.975))
        seconds = time.perf_counter() - self.start
        return {
            "slope": slope(x, y),
            "interval": [low, high],
            "done": self.done,
            "seconds": seconds,
            "samples": self.points,
        }


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The median of the slopes of all pairs."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[i] != x[j]
    return float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart]))


def tiny(tokenizer: BPETokenizer | None = None) -> SentenceEncoder:
    config = EncoderConfig(
        tokenizer.vocab_size if tokenizer else 200,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=32,
        dropout=0.1,
    )
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))


def steps(count: int) -> dict[str, Any]:
    """Epochs of 2,500 steps, each judged on a few rows, with a weight average and reports, as in a run."""
    rng = np.random.default_rng(0)
    train, held_out = (
        TokenisedRows(
            [rng.integers(1, 200, size=size).tolist() for size in rng.integers(2, 12, size=rows)],
            {"a": rng.integers(0, 2, size=rows), "b": rng.integers(0, 3, size=rows)},
        )
        for rows in (20_000, 50)
    )
    model = MultiTaskModel(tiny(), {"a": 2, "b": 3}, 0.1, rng=rng)
    samples = Samples(count, "steps")

    class Watch(Callback):
        def on_batch(self, *_: Any) -> None:
            samples.add(1)

    settings = TrainingSettings(max(1, count // 2500), batch_size=8, weight_average=0.99, progress=False)
    fit(model, train, held_out, AdamW(model.parameters()), settings, callbacks=[Watch()], rng=rng)
    return samples.result()


def lines(count: int) -> dict[str, Any]:
    """Lines of a few words each, all different, so that what is remembered of words is put to the test too."""
    rng = np.random.default_rng(0)
    tokenizer = BPETokenizer.train([" ".join(WORDS)], vocab_size=300)
    encoder, samples = tiny(tokenizer), Samples(count, "lines")
    encode_ids = encoder.encode_ids

    def watched(sequences: Any, *arguments: Any, **options: Any) -> np.ndarray:
        vectors = encode_ids(sequences, *arguments, **options)
        samples.add(len(sequences))
        return vectors

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "lines.txt"
        with source.open("w", encoding="utf-8") as file:
            for start in range(0, count, 1000):
                for number, words in enumerate(rng.choice(WORDS, (min(1000, count - start), 4))):
                    file.write(f"{' '.join(words)} {start + number}\n")
        encoder.encode_ids = watched  # type: ignore[method-assign]
        embed.embed_file(encoder, source, Path(folder) / "vectors.npy", progress=False)
    return samples.result()


def picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    figure, axes = plt.subplots(1, len(results), figsize=(6.5 * len(results), 4.2), layout="constrained")
    for axis, (unit, result) in zip(np.atleast_1d(axes), results.items(), strict=True):
        x, y = np.array(result["samples"], float).T
        axis.plot(x, y / 1e6, ".", markersize=4, color="#4477aa")
        second = slice(len(x) // 2, None)
        middle = np.median(y[second]) + result["slope"] * (x[second] - np.median(x[second]))
        axis.plot(x[second], middle / 1e6, color="#cc3311", label="slope of the second half")
        low, high = result["interval"]
        axis.set_title(f"{result['slope']:.2f} bytes a {unit[:-1]} (95 %: {low:.2f} to {high:.2f})", fontsize=10)
        axis.set(xlabel=unit, ylabel="resident memory, MB", ylim=(0, 1.15 * y.max() / 1e6))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    for unit, work in (("steps", lambda: steps(a.steps)), ("lines", lambda: lines(a.lines))):
        results[unit] = result = work()
        low, high = result["interval"]
        added = high * result["done"]
        print(
            f"{result['done']:,} {unit} in {result['seconds']:,.0f} s: {result['slope']:.3f} bytes a {unit[:-1]} "
            f"({low:.3f} to {high:.3f}), {'flat' if added < FLAT else 'NOT FLAT'}: at most {added / 1e6:.2f} MB in all",
            flush=True,
        )
        (a.out / "memory.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        picture(results, a.out / "memory.png")
    print(f"written to {a.out / 'memory.json'} and memory.png")


if __name__ == "__main__":
    main()
