"""What the write-ups claim in prose, answered by running:  `python -m benchmarks.studies NAME --data reviews.csv`

    freezing    nothing, the lower layers, the backbone, one head or everything frozen
    layers      one rate for all layers, or each layer at 0.95 or 0.8 of the one above
    thawing     everything at once, or heads first and then blocks from the top
    protection  does a frozen head keep its task safe while the backbone learns another?
    tasks       both tasks together, or one alone
    data        pretrained or from scratch, as the training rows become fewer

Each prints one table with its reading and writes NAME.png and NAME.json. All but the last arms of `data` fine-tune the
real MiniLM (recipe `minilm-reviews`, all rows counting the same), on `--rows` of the training rows to keep a study
within some minutes; tests are on the whole test split, leak-free, paired by seed.
"""

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from minitx.app.experiment import train
from minitx.app.prepare import Job, prepare
from minitx.app.settings import Experiment, experiment_of, read_recipe
from minitx.app.study import Arm, Study
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report


def pretrained(a: argparse.Namespace, **change: object) -> Experiment:
    settings = {"data": a.data, "train_rows": a.rows, "task_gradients": 0, "class_weighting": 0.0, **change}
    return experiment_of(read_recipe("minilm-reviews"), settings)


def freezing(a: argparse.Namespace) -> dict[str, Arm]:
    frozen = ("lower", "backbone", "sentiment", "engagement", "everything")
    arms: dict[str, Arm] = {"nothing frozen": pretrained(a)}
    return arms | {f"{part} frozen": pretrained(a, freeze=[part]) for part in frozen}


def layers(a: argparse.Namespace) -> dict[str, Arm]:
    names = {1.0: "one rate", 0.95: "0.95 of the layer above", 0.8: "0.8 of the layer above"}
    return {name: pretrained(a, layer_decay=share) for share, name in names.items()}


def thawing(a: argparse.Namespace) -> dict[str, Arm]:
    steps = [{"train": ["heads"]}, {"epoch": 1, "train": ["heads", "upper"]}, {"epoch": 2, "train": ["everything"]}]
    return {"all at once": pretrained(a), "heads, upper blocks, everything": pretrained(a, stages=steps)}


def tasks(a: argparse.Namespace) -> dict[str, Arm]:
    other = {"sentiment": "engagement", "engagement": "sentiment"}
    alone = {f"{task} alone": pretrained(a, task_weights={other[task]: 0.0}) for task in other}
    return {"both tasks": pretrained(a)} | alone


def data(a: argparse.Namespace) -> dict[str, Arm]:
    arms: dict[str, Arm] = {}
    for rows in (100, 400, 1600):
        arms[f"pretrained, {rows} rows"] = pretrained(a, train_rows=rows)
        arms[f"from scratch, {rows} rows"] = Experiment(data=a.data, train_rows=rows, task_gradients=0)
    return arms


def protection(a: argparse.Namespace) -> dict[str, Arm]:
    """Both tasks are learned first; then one more epoch, at twice the rate so that an epoch tells."""
    silent = lambda line: None  # noqa: E731

    @cache
    def learned(seed: int) -> dict[str, np.ndarray]:
        first = pretrained(a, seed=seed)
        job = prepare(first, silent)
        train(job, False, silent)
        return {name: weights.copy() for name, weights in job.model.state_dict().items()}

    def restored(experiment: Experiment) -> Job:
        job = prepare(experiment, silent)
        job.model.load_state_dict(learned(experiment.seed))
        return job

    def then(**change: object) -> Callable[[int], dict[str, Report]]:
        def arm(seed: int) -> dict[str, Report]:
            experiment = pretrained(a, seed=seed, epochs=1, lr=1e-4, **change)
            job = restored(experiment)
            train(job, False, silent)
            return evaluate(job.model, job.rows["test"])

        return arm

    def before(seed: int) -> dict[str, Report]:
        job = restored(pretrained(a, seed=seed))
        return evaluate(job.model, job.rows["test"])

    alone = {"task_weights": {"sentiment": 0.0}}
    return {
        "after learning both": before,
        "then both, nothing frozen": then(),
        "then both, sentiment head frozen": then(freeze=["sentiment"]),
        "then engagement alone, sentiment head frozen": then(freeze=["sentiment"], **alone),
        "then engagement alone, sentiment head frozen, backbone too": then(freeze=["sentiment", "backbone"], **alone),
    }


STUDIES = {study.__name__: study for study in (freezing, layers, thawing, protection, tasks, data)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=STUDIES)
    parser.add_argument("--data", metavar="CSV", help="a review file; built-in synthetic reviews if left out")
    parser.add_argument("--rows", type=int, default=400, help="training rows (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/studies"))
    a = parser.parse_args()
    result = Study(STUDIES[a.name](a), a.seeds).run()
    print(result)
    result.write(a.out, a.name)
    print(f"\nwritten to {a.out / a.name}.png and .json")


if __name__ == "__main__":
    main()
