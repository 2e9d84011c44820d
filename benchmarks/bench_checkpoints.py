"""What do checkpoints cost? `minitx train` with them, at the default interval, and without, taking turns.

    python -m benchmarks.bench_checkpoints reviews.csv [--turns 5]

Prints the seconds of each whole run, the median of the ratios of neighbours, and the share of the run that was spent in
saving, fsync included. Both must leave the same weights, which is asserted first. Run it where the results of real runs
go (`--place`): a disk in memory has nothing to wait for.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from minitx.app.checkpoints import Checkpoints
from minitx.app.experiment import run
from minitx.app.settings import Experiment
from minitx.writing import CHECKPOINT, UNFINISHED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--place", default=".", help="a directory on the disk to measure (default: this one)")
    a = parser.parse_args()
    real, spent, sizes = Checkpoints.save, [], []

    def timed(self: Checkpoints) -> None:
        begin = time.perf_counter()
        real(self)
        spent.append(time.perf_counter() - begin)
        sizes.append(self.path.stat().st_size)

    seconds: dict[str, list[float]] = {"with": [], "without": []}
    weights = set()
    with tempfile.TemporaryDirectory(dir=a.place) as scratch:
        for turn in range(a.turns):
            for arm in ("with", "without") if turn % 2 else ("without", "with"):
                save = timed if arm == "with" else lambda self: None
                out = Path(scratch) / f"{turn}-{arm}"
                begin = time.perf_counter()
                with patch.object(Checkpoints, "save", save):
                    run(Experiment(data=a.data), out, progress=False, log=lambda line: None)
                seconds[arm].append(time.perf_counter() - begin)
                weights.add((out / "model.safetensors").read_bytes())
                assert not (out / UNFINISHED / CHECKPOINT).exists()
                print(f"turn {turn + 1}, {arm:8}{seconds[arm][-1]:7.1f} s", flush=True)
    assert len(weights) == 1, "checkpoints must not change a bit"
    ratios = np.array(seconds["with"]) / np.array(seconds["without"])
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"whole runs, with / without: median {np.median(ratios):.3f} of {shown}")
    share = sum(spent) / sum(seconds["with"])
    count = len(spent) // a.turns
    print(f"saving: {share:.2%} of the run, {count} checkpoints of {np.mean(sizes) / 1e6:.1f} MB")
    print(f"        {np.median(spent) * 1e3:.0f} ms each in the median, {max(spent) * 1e3:.0f} ms at most")


if __name__ == "__main__":
    main()
