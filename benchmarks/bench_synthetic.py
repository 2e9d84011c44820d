"""What does attention win on the synthetic sentences?  `python -m benchmarks.bench_synthetic [--seeds 0 1 ...]`

Each seed writes sentences of its own (so that the seeds are independent), splits them, and gives the same rows to

- TF-IDF with logistic regression (scikit-learn, words and pairs of words, fitted on training and validation rows);
- the bag of words that `minitx train` prints beside its result (words and pairs of words, training rows);
- the model with the settings of `minitx train`, which were chosen for reviews;
- the model with the recipe `sentences-scratch`;
- the same again with every text's tokens in random order, drawn once: what words say without their order.

Printed: accuracy on the test split, mean and standard deviation over the seeds; and by how much the recipe is better
than each of the others, seed by seed, with the 95 % interval.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from minitx.app.experiment import judge, train
from minitx.app.prepare import Job, prepare
from minitx.app.settings import Experiment, experiment_of, read_recipe
from minitx.data.batches import TokenisedRows
from minitx.data.samples import COLUMNS, synthetic_sentences
from minitx.data.split import Split
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import mean_interval
from minitx.training.baseline import BagOfWords

RECIPE, SHUFFLED, BAG = "sentences-scratch", "tokens shuffled", "bag of words"
Scores = dict[str, dict[str, list[float]]]  # contender -> head -> one accuracy for each seed


def without_order(job: Job, rng: np.random.Generator) -> Job:
    """The job with the tokens of each text, but for the special ones at both ends, in an order that says nothing."""
    rows = {
        name: TokenisedRows([[s[0], *rng.permutation(s[1:-1]).tolist(), s[-1]] for s in part.sequences], part.labels)
        for name, part in job.rows.items()
    }
    return dataclasses.replace(job, rows=rows)


def linear(parts: Split) -> dict[str, float]:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    known = vectorizer.fit_transform([*parts.train.texts, *parts.validation.texts])
    test, accuracy = vectorizer.transform(parts.test.texts), {}
    for head in parts.train.classes:
        labels = np.concatenate([parts.train.labels[head], parts.validation.labels[head]])
        predicted = LogisticRegression(max_iter=1000).fit(known, labels).predict(test)
        accuracy[head] = float((predicted == parts.test.labels[head]).mean())
    return accuracy


def model(experiment: Experiment, shuffle: bool) -> tuple[dict[str, Report], Split]:
    job = prepare(experiment, lambda line: None)
    if shuffle:
        job = without_order(job, np.random.default_rng(experiment.seed))
    train(job, progress=False, log=lambda line: None)
    return judge(job, BagOfWords.fit(job.parts.train), progress=False)[0], job.parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--rows", type=int, default=3000, help="sentences of each seed")
    arguments = parser.parse_args()
    recipe = {**read_recipe(RECIPE), "labels": {column: column for column in COLUMNS}, "text": "text"}
    arms = {  # contender -> settings, whether order is destroyed
        RECIPE: (recipe, False),
        SHUFFLED: (recipe, True),
        "minitx train": ({name: recipe[name] for name in ("labels", "text")}, False),
    }
    scores: Scores = {name: {head: [] for head in COLUMNS} for name in [*arms, BAG, "TF-IDF + LR"]}
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory) / "sentences.csv"
        for seed in tqdm(arguments.seeds, unit=" seeds"):
            synthetic_sentences(arguments.rows, seed).to_csv(csv, index=False)
            for contender, (settings, shuffle) in arms.items():
                reports, parts = model(experiment_of(settings, {"data": str(csv), "seed": seed}), shuffle)
                for head, report in reports.items():
                    scores[contender][head].append(report.accuracy)
            for head, accuracy in linear(parts).items():
                scores["TF-IDF + LR"][head].append(accuracy)
                scores[BAG][head].append(reports[head].bag_of_words.accuracy)
            latest = (f"{name} " + " ".join(f"{by[head][-1]:.3f}" for head in COLUMNS) for name, by in scores.items())
            tqdm.write(f"seed {seed}: " + "; ".join(latest))

    seeds = ", ".join(map(str, arguments.seeds))
    print(f"{arguments.rows:,} sentences, test split, mean ± standard deviation over seeds {seeds}")
    print(f"{'accuracy':12}" + "".join(f"{contender:>20}" for contender in scores))
    for head in COLUMNS:
        cells = [np.array(by[head]) for by in scores.values()]
        print(f"{head:12}" + "".join(f"{x.mean():>12.3f} ± {x.std():.3f}" for x in cells))
    if len(arguments.seeds) < 2:
        return
    print(f"\n{RECIPE} minus each, paired, with the 95 % interval")
    for head in COLUMNS:
        for contender in [name for name in scores if name != RECIPE]:
            d = mean_interval(np.subtract(scores[RECIPE][head], scores[contender][head]))
            print(f"{head:12}{contender:>20}  {d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f}), {d.verdict}")


if __name__ == "__main__":
    main()
