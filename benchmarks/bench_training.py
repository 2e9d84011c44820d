"""How long does a training step take, beside torch?  `python -m benchmarks.bench_training`

Both sides have the same weights, batches, dropout rates and Adam, and as many threads. Losses and gradients are
asserted equal (with dropout off) before anything is timed. Then the contenders take turns, step by step, so that a
machine that speeds up or slows down does so for both; the first turns are discarded; ratios are of medians.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.steps import STEPS, make, step_flops
from benchmarks.torch_twin import TorchMultiTask
from minitx.data.batches import Batch
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel


def torch_batch(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    labels = {name: torch.tensor(target) for name, target in batch.labels.items()}
    return torch.tensor(batch.ids), torch.tensor(batch.attention_mask), labels


def assert_equal(shape: tuple[int, ...], threads: int) -> None:
    model, batch = make(*shape, dropout=0.0)
    twin = TorchMultiTask(model)
    with DataParallel(model, threads) as parallel:
        losses = parallel.backward(batch).losses
    expected = twin.loss(*torch_batch(batch))
    expected.backward()
    assert abs(sum(losses.values()) - expected.item()) < 1e-5
    theirs = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        expected_gradient = theirs[name].grad.numpy()
        # As vectors, since one activation that rounds to the other side of ReLU's kink changes a few elements; and not
        # the keys' biases, whose gradient is 0 and comes out as rounding noise on both sides.
        distance = np.linalg.norm(parameter.grad - expected_gradient)
        assert name.endswith("key.bias") or distance < 1e-3 * np.linalg.norm(expected_gradient), name


def sgemm_peak(seconds: float = 1.0) -> float:
    """GFLOP/s of a large float32 product on all threads: the roof."""
    a = np.random.default_rng(0).random((1536, 1536), dtype=np.float32)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * len(a) ** 3 / best / 1e9


def take_turns(contenders: dict[str, Callable[[], object]], rounds: int, discard: int = 1) -> dict[str, list[float]]:
    """Seconds of each contender's steps. A turn is four steps, of which the first is not counted: another contender's
    idle threads may still be spinning, and its data fills the caches; in training, a step follows one of its own."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(discard + rounds):
        for name, step in contenders.items():
            for i in range(4):
                start = time.perf_counter()
                step()
                if turn >= discard and i:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def bench_step(shape: tuple[int, ...], threads: int, rounds: int, compiled: bool) -> dict[str, list[float]]:
    assert_equal(shape, threads)
    model, batch = make(*shape, dropout=0.1)
    optimizer = Adam(model.parameters())
    arrays = torch_batch(batch)

    def torch_step(twin: TorchMultiTask, loss: Callable, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
        def step() -> None:
            optimizer.zero_grad()
            loss(*arrays).backward()
            optimizer.step()

        return step

    contenders = {}
    for name, fused in (("torch", False), ("torch, fused Adam", True)):
        twin = TorchMultiTask(model)
        contenders[name] = torch_step(twin, twin.loss, torch.optim.Adam(twin.parameters(), fused=fused))
    if compiled:
        twin = TorchMultiTask(model)
        loss = torch.compile(twin.loss)
        contenders["torch.compile"] = torch_step(twin, loss, torch.optim.Adam(twin.parameters(), fused=True))

    parallel = DataParallel(model, threads)

    def our_step() -> None:
        optimizer.zero_grad()
        parallel.backward(batch)
        optimizer.step(parallel.pool.map)

    with parallel:
        return take_turns({"minitx": our_step, **contenders}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--compile", action="store_true", help="with torch.compile as another contender")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, (shape, target) in STEPS.items():
        with threadpool_limits(arguments.threads):
            peak = sgemm_peak()
        seconds = bench_step(shape, arguments.threads, arguments.rounds, arguments.compile)
        ours = statistics.median(seconds["minitx"])
        print(f"\n{name}   (target {target}; {step_flops(*shape) / ours / 1e9 / peak:.0%} of {peak:.0f} GFLOP/s)")
        for contender, values in seconds.items():
            median = statistics.median(values)
            milliseconds = f"median {median * 1e3:7.1f} ms  min {min(values) * 1e3:7.1f} ms"
            print(f"  {contender:20} {milliseconds}  ratio {ours / median:.2f}")


if __name__ == "__main__":
    main()
