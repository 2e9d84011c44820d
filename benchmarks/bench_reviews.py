"""How well and how fast does `minitx train` learn from real reviews?  `python -m benchmarks.bench_reviews CSV`

Four contenders on the same leak-free splits, one for each seed: always the largest class; TF-IDF with logistic
regression (scikit-learn, words and pairs of words, fitted on the training and validation rows); the bag of words that
`minitx train` prints beside its result (fitted on the training rows); the default `minitx train`. Every figure is of
the test split, mean and standard deviation over the seeds, none left out.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from minitx.app.experiment import Experiment, run
from minitx.data.reviews import read_reviews
from minitx.data.split import LabelledTexts, normalise, split
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.training.baseline import BagOfWords

Scores = dict[str, dict[str, list[float]]]  # contender -> column -> one value for each seed


def report(target: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> Report:
    return Report(classes, confusion_matrix(target, predicted, len(classes)), loss=np.nan)


def linear_baseline(train: LabelledTexts, test: LabelledTexts) -> dict[str, Report]:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    x_train, x_test = vectorizer.fit_transform(train.texts), vectorizer.transform(test.texts)
    reports = {}
    for head, classes in train.classes.items():
        model = LogisticRegression(max_iter=1000).fit(x_train, train.labels[head])
        reports[head] = report(test.labels[head], model.predict(x_test), classes)
    return reports


def record(scores: Scores, contender: str, reports: dict[str, Report], seconds: float) -> None:
    row = scores.setdefault(contender, {})
    for head, report in reports.items():
        row.setdefault(f"{head} accuracy", []).append(report.accuracy)
        row.setdefault(f"{head} macro-F1", []).append(report.macro_f1)
        for name, recall in zip(report.classes, report.recall, strict=True):
            row.setdefault(f"{head} recall of {name}", []).append(recall)
    row.setdefault("seconds", []).append(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    data, audit = read_reviews(arguments.csv)
    print(audit)
    scores: Scores = {}
    for seed in tqdm(arguments.seeds, unit=" seeds"):
        parts = split(data, seed=seed)
        tested = {normalise(text) for text in parts.test.texts}
        known = data.subset(np.array([row for row, text in enumerate(data.texts) if normalise(text) not in tested]))
        assert len(known) == len(parts.train) + len(parts.validation)
        constant = {
            head: report(target, np.full_like(target, known.class_counts(head).argmax()), data.classes[head])
            for head, target in parts.test.labels.items()
        }
        record(scores, "largest class", constant, 0.0)
        start = time.perf_counter()
        reports = linear_baseline(known, parts.test)
        record(scores, "TF-IDF + LR", reports, time.perf_counter() - start)
        start = time.perf_counter()
        bag = BagOfWords.fit(parts.train).evaluate(parts.test)
        record(scores, "bag of words", bag, time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as directory:
            start = time.perf_counter()
            out = Path(directory) / "model"
            reports = run(Experiment(data=arguments.csv, seed=seed), out, progress=False, log=lambda line: None)
            record(scores, "minitx train", reports, time.perf_counter() - start)
        for head, beside in bag.items():
            assert np.array_equal(reports[head].bag_of_words.confusion, beside.confusion)

    print(f"test split, mean ± standard deviation over seeds {', '.join(map(str, arguments.seeds))}\n")
    print(f"{'':28}" + "".join(f"{contender:>18}" for contender in scores))
    for column in scores["minitx train"]:
        values = (np.array(scores[contender][column]) for contender in scores)
        print(f"{column:28}" + "".join(f"{v.mean():>10.3f} ± {v.std():.3f}" for v in values))


if __name__ == "__main__":
    main()
