"""Training beside torch, all of it: `python -m benchmarks [--reviews CSV] [--no-compile]`.

One table, one picture (training.png) and one JSON with every measured second (training.json), in `--out`. Takes
some ten minutes. `bench_encoding`, `bench_finetune`, `bench_tokenizers`, `bench_reviews` and others are separate.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from benchmarks import alone, bench_epoch, bench_scaling
from benchmarks.bench_training import bench_step, sgemm_peak
from benchmarks.steps import STEPS, step_flops

TARGETS = {  # what minitx shall take at most, as a share of torch eager's
    **{name: target for name, (_, target) in STEPS.items()},
    "one epoch, against every row padded to 128": 0.20,
    "5 epochs of the heads, encoder frozen": 0.30,
    "peak memory of the first step, MB": 0.80,
    "import, seconds": 0.15,
}


def steps(threads: int, compiled: bool, rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, (shape, _) in STEPS.items():
        with threadpool_limits(threads):
            peak = sgemm_peak()
        seconds = bench_step(shape, threads, rounds, compiled)
        share = step_flops(*shape) / statistics.median(seconds["minitx"]) / 1e9 / peak
        results[name] = {"seconds": seconds, "sgemm_peak_gflops": peak, "share_of_peak": share}
    return results


def memory() -> dict[str, Any]:
    name = next(iter(STEPS))
    peaks = {side: alone.measure(side, name) for side in ("minitx", "torch")}
    return {"megabytes": {side: [peak] for side, (peak, _) in peaks.items()}, "above_imports": dict(peaks.items())}


def imports(rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of a process that only imports, less those of one that does nothing; warm files, taking turns."""
    seconds: dict[str, list[float]] = {"minitx": [], "torch": []}
    for _ in range(rounds):
        took = {}
        for code in ("pass", "import minitx", "import torch"):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            took[code] = time.perf_counter() - start
        for side, values in seconds.items():
            values.append(took[f"import {side}"] - took["pass"])
    return seconds


def table(results: dict[str, Any]) -> str:
    lines = [f"{'':44} {'contender':28} {'median':>9} {'min':>9} {'ratio':>6} {'target':>7}"]
    for work, result in results.items():
        values = result.get("seconds") or result["megabytes"]
        ours = statistics.median(values["minitx"])
        for contender, measured in sorted(values.items(), key=lambda item: item[0] != "minitx"):
            median = statistics.median(measured)
            target = f"{TARGETS[work]:7.2f}" if contender.startswith("torch") and "," not in contender[:7] else ""
            first = work if contender == "minitx" else ""
            lines.append(
                f"{first:44} {contender:28} {median:9.4g} {min(measured):9.4g} {ours / median:6.2f} {target}".rstrip()
            )
        if "share_of_peak" in result:
            lines.append(f"{'':44} {result['share_of_peak']:.0%} of {result['sgemm_peak_gflops']:.0f} GFLOP/s (sgemm)")
    return "\n".join(lines)


def picture(results: dict[str, Any], curves: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    figure, (bars, reviews, lengths) = plt.subplots(1, 3, figsize=(17, 5), width_ratios=(2, 1, 1), layout="constrained")
    labels, ratios, targets = [], [], []
    for work, result in results.items():
        values = result.get("seconds") or result["megabytes"]
        eager = next(name for name in values if name.startswith("torch"))
        labels.append(work.replace(", B=", "\nB="))
        ratios.append(statistics.median(values["minitx"]) / statistics.median(values[eager]))
        targets.append(TARGETS[work])
    rows = np.arange(len(labels))
    bars.barh(rows, ratios, color="#4477aa")
    bars.plot(targets, rows, "|", color="#cc3311", markersize=18, markeredgewidth=2, label="target")
    bars.axvline(1, color="black", linewidth=1)
    bars.set_yticks(rows, labels, fontsize=8)
    bars.invert_yaxis()
    bars.set(xlabel="minitx / torch eager, medians; below 1, minitx is faster or smaller", title="Beside torch")
    for row, ratio in zip(rows, ratios, strict=True):
        bars.annotate(f"{ratio:.2f}", (ratio, row), (3, 0), textcoords="offset points", va="center", fontsize=8)
    bars.legend(loc="lower right")
    titles = ("Cost of a token as the data grows", "Cost of a token as texts grow")
    units = ("reviews in the epoch", "tokens in a text (4,096 a step)")
    for axis, curve, title, unit in zip((reviews, lengths), curves.values(), titles, units, strict=True):
        for name in next(iter(curve.values())):
            axis.plot(list(curve), [parts[name] for parts in curve.values()], "o-", label=name)
        axis.set(xscale="log", xlabel=unit, ylabel="microseconds a token", title=title, ylim=(0, None))
        axis.legend()
    lengths.set_xticks(list(curves["by_length"]), [str(T) for T in curves["by_length"]])
    lengths.minorticks_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", metavar="CSV", help="a review file, for the epochs; without it they are left out")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    parts = {
        "steps": lambda: steps(a.threads, not a.no_compile, a.rounds),
        "memory": lambda: {"peak memory of the first step, MB": memory()},
        "imports": lambda: {"import, seconds": {"seconds": imports()}},
    }
    if a.reviews:
        parts["epochs"] = lambda: {
            work: {"seconds": seconds} for work, seconds in bench_epoch.bench(a.reviews, rounds=3).items()
        }
    results: dict[str, Any] = {}
    for name, part in tqdm(parts.items(), unit=" parts"):
        tqdm.write(name)
        results.update(part())
    curves = {"by_reviews": bench_scaling.by_reviews(), "by_length": bench_scaling.by_length()}

    a.out.mkdir(parents=True, exist_ok=True)
    kernels = [f"{info['internal_api']} {info.get('architecture', '')}".strip() for info in threadpool_info()]
    machine = {
        "kernels": kernels,
        "processor": platform.processor(),
        "threads": a.threads,
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    (a.out / "training.json").write_text(
        json.dumps({"machine": machine, "results": results, "curves": curves}, indent=1)
    )
    picture(results, curves, a.out / "training.png")
    print(table(results))
    bench_scaling.print_curve("\nreviews in the epoch", curves["by_reviews"])
    bench_scaling.print_curve("\ntokens in a text", curves["by_length"])
    print(f"\n{', '.join(kernels)}; written to {a.out}")


if __name__ == "__main__":
    main()
