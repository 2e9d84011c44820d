"""What does a second worker gain, where Dask embeds the parts of a corpus?

    python -m benchmarks.bench_parts reviews.csv [--texts 20000] [--rounds 3]

The texts are those of the file, repeated with a number behind each until there are enough, in ten parts. Two clusters
of one and of two workers, each worker with one core, take turns with `minitx embed --engine dask`, after each has
loaded the model once; their vectors are asserted equal to the bit. The time includes checksums of parts and results,
the note, and that `embed` reads a file twice. Beside them, what one process with two threads takes that embeds one part
after the other.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minitx.app.embed import embed_file
from minitx.app.parts import local_cluster, new_job, run_parts
from minitx.data.texts import read_texts
from minitx.models.encoder import SentenceEncoder

PARTS, MODEL = 10, "all-MiniLM-L6-v2"
LEAST = 1.8  # asked of two workers: times the throughput of one


def write_parts(texts: list[str], count: int, place: Path) -> None:
    place.mkdir()
    many = [f"{' '.join(texts[i % len(texts)].split())} {i // len(texts)}" for i in range(count)]
    for number in range(PARTS):
        (place / f"part-{number}.txt").write_text("\n".join(many[number::PARTS]) + "\n", encoding="utf-8")


def vectors(place: Path) -> np.ndarray:
    return np.concatenate([np.load(file) for file in sorted(place.glob("*.npy"))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Embedding by one and by two workers of Dask.")
    parser.add_argument("reviews", help="a file of texts, as `minitx embed` takes them")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    job, encoder = new_job("embed", MODEL, None, "", ".npy"), SentenceEncoder.from_pretrained(MODEL)
    with (
        tempfile.TemporaryDirectory() as temporary,
        local_cluster(1) as one,
        local_cluster(2) as two,
    ):
        place = Path(temporary)
        write_parts(read_texts(a.reviews), a.texts, place / "data")
        write_parts(["warm"], PARTS, place / "warm")

        def by(cluster: Any) -> Callable[[Path, Path], object]:
            return lambda data, out: run_parts(job, str(data), out, cluster.scheduler_address, progress=False)

        def alone(data: Path, out: Path) -> None:
            out.mkdir()
            for file in sorted(data.iterdir()):
                embed_file(encoder, file, out / f"{file.stem}.npy", progress=False)

        contenders = {"one worker": by(one), "two workers": by(two), "one process": alone}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for name, work in contenders.items():
            work(place / "warm", place / f"warm {name}")
        for number in range(a.rounds):
            for name, work in contenders.items():
                start = time.perf_counter()
                work(place / "data", place / f"{name} {number}")
                seconds[name].append(time.perf_counter() - start)
            found = [vectors(place / f"{name} {number}") for name in contenders]
            assert all(np.array_equal(found[0], other) for other in found[1:]), "vectors differ"
    print(f"{a.texts:,} texts in {PARTS} parts, medians of {a.rounds} rounds; the vectors are equal to the bit")
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"{name:12}{median:8.1f} s{a.texts / median:10.0f} texts a second")
    for rival, asked in (("one worker", f", {LEAST} asked"), ("one process", "")):
        ratios = [old / new for old, new in zip(seconds[rival], seconds["two workers"], strict=True)]
        gain = statistics.median(ratios)
        print(f"two workers: {gain:.2f} times {rival} ({min(ratios):.2f} to {max(ratios):.2f}){asked}")


if __name__ == "__main__":
    main()
