"""Did a change make it slower?  `python -m benchmarks.against OTHER_CHECKOUT reviews.csv`

Two processes, one with minitx from here and one with minitx from OTHER_CHECKOUT (a `git worktree` of an older commit),
take turns at the same work, so that a machine that speeds up or slows down does so for both. A turn is four goes, of
which the first is not counted. How a process lies in memory can cost it several per cent for all of its life, so three
pairs of processes share the turns. Printed is the median of the ratios here / there of the turns, and the 95 % interval
of that median by the bootstrap.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

GOES = 4
PAIRS = 3


def work(name: str, reviews: str) -> Callable[[], object]:
    """The work of that name, set up and ready to go. Uses only what both checkouts have."""
    from minitx.data.texts import read_texts  # noqa: PLC0415 - this process may be the other checkout's
    from minitx.models.encoder import SentenceEncoder  # noqa: PLC0415
    from minitx.text.bpe import BPETokenizer  # noqa: PLC0415

    if name.startswith("step"):
        return _step(int(name.split()[1]) - 1)
    texts = [text for text in read_texts(reviews) if text.strip()]
    if name == "fine-tune MiniLM":
        return _fine_tune(texts)
    if name == "encode":
        encoder = SentenceEncoder.from_pretrained("all-MiniLM-L6-v2")
        sequences = encoder.tokenize(texts[:500])
        return lambda: encoder.encode_ids(sequences, 128, show_progress_bar=False)
    tokenizer = BPETokenizer.train(texts, vocab_size=8000)
    if name == "learn BPE":
        return lambda: BPETokenizer.train(texts, vocab_size=8000)
    if name == "BPE, once more":
        return lambda: tokenizer.encode_batch(texts)
    return lambda: BPETokenizer(tokenizer.spec).encode_batch(texts)


def _step(number: int) -> Callable[[], object]:
    from steps import STEPS, make  # noqa: PLC0415 - beside this file, which runs as a script

    model, batch = make(*list(STEPS.values())[number][0], dropout=0.1)
    return _training(model, batch)


def _fine_tune(texts: list[str]) -> Callable[[], object]:
    from minitx.data.batches import Batch, pad  # noqa: PLC0415
    from minitx.models.encoder import SentenceEncoder  # noqa: PLC0415
    from minitx.models.multitask import MultiTaskModel  # noqa: PLC0415

    rng = np.random.default_rng(0)
    encoder = SentenceEncoder.from_pretrained("all-MiniLM-L6-v2", rng=rng)
    model = MultiTaskModel(encoder, {"sentiment": 3, "engagement": 3}, rng=rng)
    model.train()
    sequences = sorted(encoder.tokenize(texts), key=len)[-320::10]  # 32 of similar lengths
    ids, mask = pad(sequences, 0)
    labels = {head: rng.integers(0, 3, size=len(ids)) for head in model.heads}
    return _training(model, Batch(ids, mask, labels, np.arange(len(ids))))


def _training(model: object, batch: object) -> Callable[[], object]:
    from minitx.training.optim import Adam  # noqa: PLC0415
    from minitx.training.parallel import DataParallel  # noqa: PLC0415

    optimizer, parallel = Adam(model.parameters()), DataParallel(model).__enter__()

    def go() -> None:
        optimizer.zero_grad()
        parallel.backward(batch)
        optimizer.step(parallel.pool.map)

    return go


class Contender:
    """A process with one checkout's minitx."""

    def __init__(self, checkout: Path, name: str, reviews: str) -> None:
        command = [sys.executable, __file__, str(checkout), reviews, "--worker", name]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout.readline().strip() == str(checkout), f"{checkout} has no minitx that can do {name}"

    def turn(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def serve(name: str, reviews: str) -> None:
    """What the processes do: a turn for each line, answered by its median seconds."""
    import minitx  # noqa: PLC0415

    go = work(name, reviews)
    print(Path(minitx.__file__).parents[1], flush=True)
    for _ in sys.stdin:
        seconds = []
        for _ in range(GOES):
            start = time.perf_counter()
            go()
            seconds.append(time.perf_counter() - start)
        print(np.median(seconds[1:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("reviews")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", action="append", help="a name of the table's first column; repeatable")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        serve(a.worker, a.reviews)
        return
    names = [
        "step 1",
        "step 2",
        "step 3",
        "fine-tune MiniLM",
        "encode",
        "learn BPE",
        "BPE, first pass",
        "BPE, once more",
    ]
    print(f"{'':18} {'here':>10} {'there':>10}   here / there, and its 95 % interval")
    for name in a.only or names:
        measured: list[tuple[float, float]] = []
        for _ in range(PAIRS):
            here, there = (Contender(path.resolve(), name, a.reviews) for path in (Path(__file__).parents[1], a.other))
            measured += [(here.turn(), there.turn()) for _ in range(-(-a.turns // PAIRS) + 1)][1:]
            here.process.kill()
            there.process.kill()
        pairs = np.array(measured)
        ratios = pairs[:, 0] / pairs[:, 1]
        drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
        milliseconds = "".join(f"{x * 1e3:8.1f} ms" for x in np.median(pairs, axis=0))
        print(f"{name:18}{milliseconds}   {np.median(ratios):.3f} ({low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
