"""What do two processes gain over one, in a training step?

    mpiexec -n 2 python -m benchmarks.bench_ranks [--rounds 8]

The contenders are one process with a thread for each rank there is, one with a single thread, and the ranks with a
thread each. They take turns, step by step, while the processes that have nothing to do sleep. Logits and losses are
asserted equal before anything is timed (dropout off). Ratios are of medians; the interval is a bootstrap's, of rounds.

With `--overlap` it is asked instead what would be gained if buckets of gradients left while backward goes on: buckets
are added up after a computation of about a backward's length, and in the midst of it, with and without a look at those
under way (`Testall`) after each. With `MPICH_ASYNC_PROGRESS=1` before mpiexec, a thread of MPICH's own moves them on.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.steps import STEPS, make
from minitx.system import workers
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel
from minitx.training.ranks import BUCKET, Alone, Ranks, ranks_here

STEPS_OF_A_TURN = 4  # the first of which is not counted
PRODUCTS = 8  # of 512 x 512, between two buckets: about what backward computes for 4 MB of gradients
LIMITS = {"one process": 0.95, "one thread": 1.8}  # asked of two ranks: times their throughput


def wait_asleep(ranks: Ranks) -> None:
    """A barrier that leaves the cores to others; MPI's own spins."""
    request = ranks.comm.Ibarrier()
    while not request.Test():
        time.sleep(0.0005)


def take_turns(ranks: Ranks, contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each contender's steps, (rounds, steps); those of "ranks" are made by all, the others by the first."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for _ in range(1 + rounds):
        for name, step in contenders.items():
            wait_asleep(ranks)
            found = []
            for _ in range(STEPS_OF_A_TURN if name == "ranks" or not ranks.rank else 0):
                start = time.perf_counter()
                step()
                found.append(time.perf_counter() - start)
            seconds[name].append(found[1:])
    wait_asleep(ranks)
    return {name: np.array(turns[1:]) for name, turns in seconds.items()}


def assert_equal(ranks: Ranks, shape: tuple[int, ...]) -> None:
    model, batch = make(*shape, dropout=0.0)
    found = []
    for threads, others in ((ranks.size, Alone()), (ranks.size, ranks)):
        model.zero_grad()
        with DataParallel(model, threads, ranks=others) as parallel:
            result = parallel.backward(batch)
        found.append((result.losses, [np.asarray(p.grad) for p in model.parameters()]))
    (losses, grads), (others, sums) = found
    assert all(abs(losses[head] - others[head]) < 1e-6 for head in losses), (losses, others)
    for a, b in zip(grads, sums, strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * max(np.linalg.norm(a), 1e-6)


def bench(ranks: Ranks, shape: tuple[int, ...], rounds: int) -> dict[str, np.ndarray]:
    assert_equal(ranks, shape)
    contenders: dict[str, Callable[[], object]] = {}
    entered = []
    for name, threads, others in (
        ("one process", ranks.size, Alone()),
        ("one thread", 1, Alone()),
        ("ranks", ranks.size, ranks),
    ):
        model, batch = make(*shape, dropout=0.1)
        optimizer, parallel = Adam(model.parameters()), DataParallel(model, threads, ranks=others)
        entered.append(parallel.__enter__())

        def step(optimizer: Adam = optimizer, parallel: DataParallel = parallel, batch: object = batch) -> None:
            optimizer.zero_grad()
            parallel.backward(batch)  # type: ignore[arg-type]
            optimizer.step(parallel.pool.map)

        contenders[name] = step
    seconds = take_turns(ranks, contenders, rounds)
    for parallel in entered:
        parallel.__exit__()
    return seconds


def overlap(ranks: Ranks, megabytes: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of the computation alone, the sums alone, one after the other, and in two ways at once."""
    buckets = [np.ones(BUCKET // 4, np.float32) for _ in range(megabytes * 2**20 // BUCKET)]
    x = np.random.default_rng(0).random((512, 512), np.float32)

    def leave(bucket: np.ndarray) -> Any:
        return ranks.comm.Iallreduce(ranks.mpi.IN_PLACE, bucket)

    def run(compute: bool, add: bool, at_once: bool = False, look: bool = False) -> None:
        under_way = []
        for bucket in buckets:
            for _ in range(PRODUCTS * compute):
                x @ x
            if add and at_once:
                under_way.append(leave(bucket))
                if look:
                    ranks.mpi.Request.Testall(under_way)
        if add and not at_once:
            under_way = [leave(bucket) for bucket in buckets]
        ranks.mpi.Request.Waitall(under_way)

    ways = {
        "computing alone": lambda: run(True, False),
        "adding up alone": lambda: run(False, True),
        "one after the other": lambda: run(True, True),
        "buckets leave meanwhile": lambda: run(True, True, at_once=True),
        "the same, and are looked at": lambda: run(True, True, at_once=True, look=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with workers(1):  # one BLAS thread, as in training
        for _ in range(1 + rounds):
            for name, way in ways.items():
                ranks.comm.Barrier()
                start = time.perf_counter()
                way()
                ranks.comm.Barrier()
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) * 1e3 for name, found in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--overlap", action="store_true", help="what sums during backward would gain")
    a = parser.parse_args()
    ranks, rng = ranks_here(), np.random.default_rng(0)
    if not isinstance(ranks, Ranks):
        parser.error("start it in several processes: mpiexec -n 2 python -m benchmarks.bench_ranks")
    for megabytes in (16, 40) if a.overlap else ():  # the second model has 41, without its tables
        found = overlap(ranks, megabytes, 5 * a.rounds)
        if not ranks.rank:
            print(f"\n{megabytes} MB in buckets of {BUCKET >> 20} MB")
            print("\n".join(f"  {name:28}  {ms:7.1f} ms" for name, ms in found.items()))
    for name, (shape, _) in () if a.overlap else list(STEPS.items())[:2]:
        seconds = bench(ranks, shape, a.rounds)
        if ranks.rank:
            continue
        ours = statistics.median(seconds["ranks"].ravel())
        print(f"\n{name}\n  {ranks.size} ranks, a thread each    median {ours * 1e3:7.1f} ms")
        for contender, asked in LIMITS.items():
            theirs = seconds[contender]
            drawn = rng.integers(0, a.rounds, (2000, a.rounds))
            ratios = [np.median(theirs[rows]) / np.median(seconds["ranks"][rows]) for rows in drawn]
            low, high = np.quantile(ratios, (0.025, 0.975))
            ratio, median = np.median(theirs) / ours, np.median(theirs) * 1e3
            told = f"throughput of the ranks {ratio:.2f} times ({low:.2f} to {high:.2f}; asked {asked})"
            print(f"  {contender:24}  median {median:7.1f} ms   {told}")


if __name__ == "__main__":
    main()
