"""What is learning before labels worth, from scratch?  `python -m benchmarks.bench_pretraining CSV`

Arms, at 100, 400, 1,600 and all labelled rows, paired by seed on the same leak-free splits:

    no pretraining     what `minitx train` does, which knows the texts of the labelled rows alone
    texts for tokens   all texts of the training split give the tokens and the co-occurrences (0 epochs)
    mlm, simcse        and then the encoder learns from them, without labels

Each arm is an `Experiment` (`arms`), for a study to run. Figures are of the test split; `--validation` gives those of
the validation rows instead, for choosing epochs and rates, and leaves the test rows alone.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from minitx.app.experiment import train
from minitx.app.prepare import prepare
from minitx.app.settings import DEFAULTS, Experiment, experiment_of
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.statistics import mean_interval


def arms(csv: str, rows: int, epochs: int = DEFAULTS["pretraining_epochs"]) -> dict[str, Experiment]:
    """Name -> experiment, all with `rows` labelled rows; 0: all."""
    base = {"data": csv, "train_rows": rows, "task_gradients": 0}
    changes: dict[str, dict[str, object]] = {"no pretraining": {}}
    changes["texts for tokens"] = {"pretraining": "mlm", "pretraining_epochs": 0}
    changes |= {name: {"pretraining": name, "pretraining_epochs": epochs} for name in ("mlm", "simcse")}
    return {name: experiment_of(base, change) for name, change in changes.items()}


def measure(experiment: Experiment, seed: int, validation: bool) -> dict[str, float]:
    job = prepare(experiment_of(vars(experiment), {"seed": seed}), lambda line: None)
    train(job, False, lambda line: None)
    reports = evaluate(job.model, job.rows["validation" if validation else "test"])
    return {f"{h} {m.replace('_', '-')}": getattr(r, m) for h, r in reports.items() for m in ("accuracy", "macro_f1")}


def run(csv: str, rows: int, epochs: int, seeds: Sequence[int], names: Sequence[str], validation: bool) -> None:
    found: dict[str, list[dict[str, float]]] = {}
    chosen = {name: experiment for name, experiment in arms(csv, rows, epochs).items() if name in names}
    for seed in seeds:
        for name, experiment in chosen.items():
            start = time.perf_counter()
            found.setdefault(name, []).append(measure(experiment, seed, validation))
            figures = ", ".join(f"{metric} {value:.3f}" for metric, value in found[name][-1].items())
            print(
                f"  {rows or 'all'} rows, seed {seed}, {name}: {figures} ({time.perf_counter() - start:.0f} s)",
                flush=True,
            )
    for name, values in found.items():
        line = f"{rows or 'all':>6} rows  {name:18}"
        for metric in values[0]:
            mine = np.array([value[metric] for value in values])
            line += f" | {metric} {mine.mean():.3f}"
            if name != names[0] and len(seeds) > 1:
                gap = mean_interval(mine - [value[metric] for value in found[names[0]]])
                line += f" ({gap.mean:+.3f}, {gap.low:+.3f} to {gap.high:+.3f})"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 400, 1600, 0], help="0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=DEFAULTS["pretraining_epochs"])
    every = list(arms("", 0))
    parser.add_argument("--arms", nargs="+", choices=every, default=every, help="the first is what others differ from")
    parser.add_argument("--validation", action="store_true")
    a = parser.parse_args()
    for rows in a.rows:
        run(a.csv, rows, a.epochs, a.seeds, a.arms, a.validation)


if __name__ == "__main__":
    main()
