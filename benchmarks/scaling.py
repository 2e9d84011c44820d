"""How far do several processes carry, by a model of their cost that is checked against what they take here?

    mpiexec -n 2 python -m benchmarks.scaling measure     benchmarks/scaling.json: steps, optimiser, messages
    mpiexec -n 8 python -m benchmarks.scaling check       losses and gradients of more processes than cores are equal
    python -m benchmarks.scaling report                   docs/scaling.md and its picture, from these figures

A step of p processes, of one thread each, that share a batch is modelled as

    t(p) = F / (p G) + A + sum over buckets of n bytes of [ 2 (p - 1) a + 2 (p - 1)/p n / b ] + (p - 1) (a + r(p) / b)

F floating-point operations in its matrix products, G of them a second that one process reaches over its own forward and
backward pass, A seconds of the optimiser, which every process does for itself, buckets that are added up by a ring
(Patarasuk & Yuan 2009), a seconds for a message, b bytes a second, r(p) bytes of the rows that one process looked up.
G and A are measured with one process, a and b with two that send to each other and compute nothing; the model is then
held against steps of two processes that it has not seen.
"""

import argparse
import json
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.bench_ranks import assert_equal, wait_asleep
from benchmarks.steps import STEPS, make, step_flops
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel
from minitx.training.ranks import BUCKET, Alone, Ranks, ranks_here

FOUND = Path(__file__).with_name("scaling.json")
DOCS = Path(__file__).parents[1] / "docs"
ROUNDS, STEPS_OF_A_TURN = 8, 4  # the first step of a turn is not counted
MESSAGES = (64, 1 << 16, 1 << 20, BUCKET)  # bytes
WITHIN = 0.15  # of the measured time, asked of the model

# -- measured --------------------------------------------------------------------------------------------------


def clock(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def steps_of(ranks: Ranks, shape: tuple[int, ...]) -> dict[str, Any]:
    """Seconds of steps by one process and by all, which take turns, and of their parts."""
    parts: dict[str, list[list[float]]] = {"one": [], "all": []}
    makers: dict[str, tuple[Alone, int]] = {"one": (Alone(), 1), "all": (ranks, ranks.size)}
    built = {}
    for name, (others, threads) in makers.items():
        model, batch = make(*shape, dropout=0.1)
        optimizer, parallel = Adam(model.parameters()), DataParallel(model, threads, ranks=others)
        built[name] = (model, batch, optimizer, parallel.__enter__())
    for _ in range(1 + ROUNDS):
        for name, (_, batch, optimizer, parallel) in built.items():
            wait_asleep(ranks)
            found = []
            for _ in range(STEPS_OF_A_TURN if name == "all" or not ranks.rank else 0):
                optimizer.zero_grad()
                backward = clock(lambda: parallel.backward(batch))  # noqa: B023
                found.append([backward, clock(lambda: optimizer.step(parallel.pool.map))])  # noqa: B023
            parts[name].append(found[1:])
    wait_asleep(ranks)
    model, batch = built["one"][:2]
    table = model.encoder.embedding.weight
    weights = sum(p.data.nbytes for p in model.parameters() if p is not table)
    shares = [batch.ids[rank :: ranks.size] for rank in range(ranks.size)]  # each sends the rows that it looked up
    looked_up = sum(len(np.unique(share)) for share in shares) * (table.shape[1] * 4 + 8)
    for *_, parallel in built.values():
        parallel.__exit__()
    seconds = {name: np.array(turns[1:]).reshape(-1, 2).tolist() for name, turns in parts.items()}
    sizes = {"bytes": weights, "row_bytes": looked_up, "table_bytes": table.data.nbytes}
    return {"flops": step_flops(*shape), **sizes, "seconds": seconds}


def messages(ranks: Ranks) -> dict[str, float]:
    """Median seconds of adding up so many bytes between the processes, when none of them computes."""
    found = {}
    for size in MESSAGES:
        array = np.zeros(size // 4, np.float32)
        times = []
        for _ in range(60):
            ranks.comm.Barrier()
            times.append(clock(lambda: ranks.comm.Iallreduce(ranks.mpi.IN_PLACE, array).Wait()))  # noqa: B023
        found[str(size)] = statistics.median(times[10:])
    return found


def measure(ranks: Ranks) -> None:
    shapes = dict(list(STEPS.items())[:2])
    found = {
        "ranks": ranks.size,
        "messages": messages(ranks),
        "steps": {name: steps_of(ranks, s) for name, (s, _) in shapes.items()},
    }
    if not ranks.rank:
        FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")


# -- modelled --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """Between processes: seconds that a message takes however short it is, and bytes a second."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Work:
    """A step of a batch that all processes share."""

    flops: float
    per_second: float  # floating-point operations of one process
    optimiser: float  # seconds
    bytes: float  # of gradients that are arrays
    row_bytes: float  # of the rows that all of the batch looks up, each process a share
    most_rows: float  # bytes of all rows there are


def compute(work: Work, p: int) -> float:
    return work.flops / (p * work.per_second)


def adding_up(work: Work, p: int, network: Network) -> float:
    buckets = max(1, round(work.bytes / BUCKET))
    ring = 2 * (p - 1) * buckets * network.latency + 2 * (p - 1) / p * work.bytes / network.bandwidth
    rows = min(work.row_bytes / p, work.most_rows)
    return ring + (p - 1) * (network.latency + rows / network.bandwidth)


def step_time(work: Work, p: int, network: Network, overlap: bool = False) -> float:
    """With `overlap`, what is added up while the backward pass, two thirds of the work, goes on costs nothing."""
    hidden = min(adding_up(work, p, network), 2 / 3 * compute(work, p)) if overlap else 0.0
    return compute(work, p) + work.optimiser + adding_up(work, p, network) - hidden


def network_here(found: dict[str, Any]) -> Network:
    """The line through the times of messages, fitted to relative errors."""
    sizes, times = (np.array([*map(float, values)]) for values in (found["messages"], found["messages"].values()))
    p = found["ranks"]
    columns = np.stack([np.full(len(sizes), 2.0 * (p - 1)), 2 * (p - 1) / p * sizes], axis=1)
    latency, per_byte = np.linalg.lstsq(columns / times[:, None], np.ones(len(sizes)), rcond=None)[0]
    return Network(max(latency, 1e-7), 1 / per_byte)


def work_of(step: dict[str, Any]) -> Work:
    backward, optimiser = np.median(step["seconds"]["one"], axis=0)
    rows = step["row_bytes"], step["table_bytes"]
    return Work(step["flops"], step["flops"] / backward, optimiser, step["bytes"], *rows)


# -- stragglers and failures -----------------------------------------------------------------------------------


def straggling(found: dict[str, Any], p: int, rng: np.random.Generator) -> float:
    """Times of a step in which all wait for the slowest of p, by those measured here; 1 is their mean."""
    ratios = []
    for step in found["steps"].values():
        times = np.array(step["seconds"]["one"])[:, 0]
        ratios.append(rng.choice(times / times.mean(), (400, p)).max(axis=1).mean())
    return float(np.mean(ratios))


def young(mean_time: float, cost: float) -> float:
    """The interval between checkpoints that loses least, to first order: √(2 C M). Young 1974."""
    return float(np.sqrt(2 * cost * mean_time))


def daly(interval: float, mean_time: float, cost: float, restart: float) -> float:
    """The share of time that is useful: τ / (M e^(R/M) (e^((τ + C)/M) - 1)). Daly 2006, equation 20."""
    return float(interval / (mean_time * np.exp(restart / mean_time) * np.expm1((interval + cost) / mean_time)))


def simulated(
    interval: float, mean_time: float, cost: float, restart: float, rng: np.random.Generator, failures: int = 2000
) -> float:
    """The same share by drawing failures one after the other; one may also come in a checkpoint or a restart."""
    useful = spent = 0.0
    for life in rng.exponential(mean_time, failures):
        spent += life
        useful += max(0.0, life - restart) // (interval + cost) * interval
    return useful / spent


# -- the page --------------------------------------------------------------------------------------------------

RANKS = tuple(2**k for k in range(11))
REVIEWS, TOKENS, BATCH = 10**9, 32, 4096  # reviews of so many tokens; reviews of a batch that all processes share
LARGE = (30522, 1024, 24, 16, 4096)  # V, D, L, H, F of BERT-large
NETWORKS = {"10 Gbit/s, 30 µs": Network(30e-6, 1.25e9), "100 Gbit/s, 5 µs": Network(5e-6, 12.5e9)}
YEARS, WRITE, RESTART = 3.0, 1e9, 120.0  # between failures of a machine; bytes a second to disk; seconds
YEAR = 365 * 86400.0


def large(measured: dict[str, Any]) -> Work:
    """A step of BERT-large, at the rates that were measured here in steps of a smaller model."""
    V, D, L, _, F = LARGE
    here, body = work_of(measured), 4 * L * (4 * D * D + 2 * D * F + 9 * D + F)
    optimiser = here.optimiser / (measured["bytes"] + measured["table_bytes"]) * (body + 4 * V * D)
    flops, row = step_flops(*LARGE, BATCH, TOKENS), 4 * D + 8
    return Work(flops, here.per_second, optimiser, body, BATCH * TOKENS * row, V * row)


def efficiency(work: Work, p: int, network: Network, overlap: bool = False) -> float:
    """Of strong scaling: the time of one process, over p times that of p."""
    return step_time(work, 1, network) / (p * step_time(work, p, network, overlap))


def stops_paying(work: Work, network: Network, overlap: bool) -> int:
    """The number of processes from which twice as many are less than 1.5 times as fast."""
    for p in RANKS[:-1]:
        if step_time(work, p, network, overlap) < 1.5 * step_time(work, 2 * p, network, overlap):
            return p
    return RANKS[-1]


def checks(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Name, measured and modelled seconds of each step of all processes."""
    network, p = network_here(found), found["ranks"]
    measured = {name: np.median(np.sum(step["seconds"]["all"], axis=1)) for name, step in found["steps"].items()}
    return [(name, measured[name], step_time(work_of(step), p, network)) for name, step in found["steps"].items()]


def draw(found: dict[str, Any], work: Work, path: Path) -> None:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for color, (name, network) in zip(("#1f77b4", "#c0392b"), NETWORKS.items(), strict=True):
        for overlap, style in ((False, "-"), (True, "--")):
            label = f"{name}{', overlapped with backward' if overlap else ''}"
            left.plot(RANKS, [efficiency(work, p, network, overlap) for p in RANKS], style, color=color, label=label)
    for marker, (name, step) in zip("os", found["steps"].items(), strict=True):
        one, all_ = (np.median(np.sum(step["seconds"][who], axis=1)) for who in ("one", "all"))
        label = f"measured here, {name.split(', ')[0]}"
        left.plot([found["ranks"]], [one / all_ / found["ranks"]], marker, color="black", mfc="none", label=label)
    left.set(xscale="log", ylim=(0, 1.05), xlabel="processes", ylabel="efficiency: speed over p times that of one")
    left.set_title(f"modelled: BERT-large, {BATCH:,} reviews in a batch")
    left.set_xticks(RANKS[::2], [f"{p:,}" for p in RANKS[::2]])
    left.legend(fontsize=8)
    rng = np.random.default_rng(0)
    for color, p in zip(("#1f77b4", "#e67e22", "#c0392b"), (16, 128, 1024), strict=True):
        mean, cost = YEARS * YEAR / p, checkpoint_seconds()
        intervals = np.geomspace(10, 100_000, 60)
        right.plot(
            intervals / 60, [daly(t, mean, cost, RESTART) for t in intervals], color=color, label=f"{p:,} machines"
        )
        some = intervals[::6]
        right.plot(some / 60, [simulated(t, mean, cost, RESTART, rng) for t in some], "o", color=color, ms=4)
        best = young(mean, cost)
        right.axvline(best / 60, color=color, lw=0.8, ls=":")
    right.set(
        xscale="log", xlabel="minutes between checkpoints", ylabel="share of time that is useful", ylim=(0.5, 1.01)
    )
    right.set_title("failures: Daly's formula (lines), drawn one by one (dots)")
    right.legend(fontsize=8, title="dotted: Young's √(2 C M)", title_fontsize=8, loc="lower center")
    figure.savefig(path, dpi=110)


def checkpoint_seconds() -> float:
    """Weights, and twice as much that Adam keeps, to a disk."""
    V, D, L, _, F = LARGE
    return 3 * 4 * (V * D + L * (4 * D * D + 2 * D * F)) / WRITE


def paragraph(text: str) -> list[str]:
    """Lines of at most 120 characters, and an empty one."""
    return [*textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False), ""]


def page(found: dict[str, Any]) -> str:
    network, last, processes = network_here(found), [*found["steps"].values()][-1], found["ranks"]
    here, work, rng = work_of(last), large(last), np.random.default_rng(0)
    lines = ["# How far several processes carry", ""]
    lines += paragraph(
        "Written by `python -m benchmarks.scaling report` from benchmarks/scaling.json, which `mpiexec -n 2 python -m "
        "benchmarks.scaling measure` writes. What is measured is called measured; all else is a model, whose formula "
        "stands at the head of [benchmarks/scaling.py](../benchmarks/scaling.py). How training in several processes "
        "works is told in [several-processes.md](several-processes.md)."
    )
    lines += [
        "![Left, efficiency falls as processes are added, sooner on the slower network; right, the useful share of "
        "time has a maximum where checkpoints are neither too frequent nor too rare](pictures/scaling.png)",
        "",
        "## Measured, and what the model says of it",
        "",
    ]
    lines += paragraph(
        f"Between two processes of this machine a message takes {network.latency * 1e6:.0f} µs and then "
        f"{network.bandwidth / 1e9:.1f} GB/s: a line through the measured times of "
        f"{', '.join(f'{int(size):,}' for size in found['messages'])} bytes."
    )
    lines += [
        f"| step | one process, ms | its GFLOP/s | Adam, ms | {processes} processes, ms | modelled | off by |",
        "|---|---|---|---|---|---|---|",
    ]
    for (name, measured, modelled), step in zip(checks(found), found["steps"].values(), strict=True):
        one, of = np.median(np.sum(step["seconds"]["one"], axis=1)), work_of(step)
        cells = [f"{one * 1e3:.0f}", f"{of.per_second / 1e9:.0f}", f"{of.optimiser * 1e3:.1f}", f"{measured * 1e3:.0f}"]
        cells += [f"{modelled * 1e3:.0f}", f"{modelled / measured - 1:+.0%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    worst = max(abs(modelled / measured - 1) for _, measured, modelled in checks(found))
    lines += [
        "",
        *paragraph(
            f"The model is {'within' if worst <= WITHIN else 'NOT within'} the {WITHIN:.0%} that were asked of it. "
            "Four and eight processes on two cores were tried for equal losses and gradients alone (`mpiexec -n 8 "
            "python -m benchmarks.scaling check`): their times would say nothing."
        ),
    ]
    lines += ["## Modelled: BERT-large and a billion reviews", ""]
    lines += paragraph(
        f"Reviews of {TOKENS} tokens, {BATCH:,} in a batch that all processes share; each process on one core that "
        f"computes as fast as one here ({here.per_second / 1e9:.0f} GFLOP/s) and has the network to itself. Gradients "
        f"of {work.bytes / 1e9:.2f} GB and the rows that were looked up are added up in each step; Adam, which every "
        f"process does for all weights, takes {work.optimiser:.2f} s."
    )
    sums = " | ".join(f"to add up, {name}" for name in NETWORKS)
    days = " | ".join(f"days for an epoch, {name}" for name in NETWORKS)
    lines += [f"| processes | seconds to compute | {sums} | {days} |", "|---|---|---|---|---|---|"]
    for p in (1, 16, 64, 256, 1024):
        cells = [f"{p:,}", f"{compute(work, p):.2f}"] + [f"{adding_up(work, p, net):.2f}" for net in NETWORKS.values()]
        cells += [f"{step_time(work, p, net) * REVIEWS / BATCH / 86400:,.1f}" for net in NETWORKS.values()]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "From so many processes on, twice as many are less than one and a half times as fast:", ""]
    for name, net in NETWORKS.items():
        stop, later = (f"{stops_paying(work, net, overlap):,}" for overlap in (False, True))
        lines.append(f"- {name}: {stop}; {later} if gradients were added up during backward, which minitx does not do.")
    lines += [
        "",
        *paragraph(
            "What would be needed beyond: first, that buckets leave while backward goes on; then an optimiser of "
            "which every process does a share (Rajbhandari et al. 2020, ZeRO), since Adam's time does not fall with p; "
            "then larger batches, which need rates of their own (You et al. 2020, LAMB); then gradients of half the "
            "width."
        ),
    ]
    slow = [f"{straggling(found, p, rng):.2f} times as long for {p:,}" for p in (2, 16, 128, 1024)]
    mean, cost = YEARS * YEAR / 1024, checkpoint_seconds()
    best = young(mean, cost)
    lines += ["## Stragglers and failures, drawn", ""]
    lines += paragraph(
        "All wait for the slowest. If every process drew its step's time from those measured here, on a machine that "
        f"others use too, a step would take {', '.join(slow)} processes."
    )
    lines += paragraph(
        f"Assumed: a machine fails once in {YEARS:g} years, a checkpoint takes {cost:.1f} s (weights and Adam's state "
        f"at {WRITE / 1e9:g} GB/s), and going on {RESTART:.0f} s. Of 1,024 machines one then fails every "
        f"{mean / 3600:.0f} hours; √(2 C M) says a checkpoint every {best / 60:.0f} minutes (Young 1974), with which "
        f"{daly(best, mean, cost, RESTART):.1%} of the time is useful by Daly's formula (2006), and "
        f"{simulated(best, mean, cost, RESTART, rng):.1%} by 2,000 failures drawn one after the other. With "
        f"`--checkpoint-every 5`, the default, it is {daly(300, mean, cost, RESTART):.1%}."
    )
    return "\n".join(lines[:-1]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("measure", "check", "report"))
    what = parser.parse_args().what
    if what == "report":
        found = json.loads(FOUND.read_text("utf-8"))
        (DOCS / "scaling.md").write_text(page(found), encoding="utf-8", newline="\n")
        draw(found, large([*found["steps"].values()][-1]), DOCS / "pictures" / "scaling.png")
        return
    ranks = ranks_here()
    if not isinstance(ranks, Ranks):
        sys.exit(f"start it in several processes: mpiexec -n 2 python -m benchmarks.scaling {what}")
    if what == "measure":
        measure(ranks)
    else:
        for shape, _ in STEPS.values():
            assert_equal(ranks, shape)
        if not ranks.rank:
            print(f"losses and gradients of {ranks.size} processes are those of one")


if __name__ == "__main__":
    main()
