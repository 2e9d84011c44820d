"""How well and how fast does `minitx train` learn from real reviews?  `python -m benchmarks.bench_reviews CSV`

Five contenders on the same leak-free splits, one for each seed: always the largest class, with the classes' shares as
its probabilities; the length of the text alone (logistic regression on ln(1 + words), scikit-learn, training rows);
TF-IDF with logistic regression (scikit-learn, words and pairs of words, fitted on training and validation rows); the
bag of words that `minitx train` prints beside its result (fitted on the training rows); the default `minitx train`.

Every figure is of the test split, mean and standard deviation over the seeds, none left out: accuracy, macro-F1,
expected calibration error (15 bins of the highest probability), recall of each class, and the average precision of
engagement "high": how good a list of reviews is that has the most probable first.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from tqdm import tqdm

from minitx.app.experiment import Experiment, run
from minitx.data.reviews import read_reviews
from minitx.data.split import LabelledTexts, normalise, split
from minitx.evaluation.metrics import report_probabilities
from minitx.text.truncation import TruncationWarning
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import load_model

Scores = dict[str, dict[str, list[float]]]  # contender -> column -> one value for each seed
Probabilities = dict[str, np.ndarray]  # head -> (N, C)
BINS, LENGTH = 15, "length alone"


def calibration_error(target: np.ndarray, p: np.ndarray) -> float:
    """The mean distance between the highest probability and the share that is right, over bins of the former."""
    top, right = p.max(axis=1), p.argmax(axis=1) == target
    inside = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high]
    return float(np.abs(np.bincount(inside, top - right, minlength=BINS)).sum() / len(top))


def log_words(texts: list[str]) -> np.ndarray:
    return np.log1p([[len(text.split())] for text in texts])


def tf_idf(train: LabelledTexts, test: LabelledTexts) -> Probabilities:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return linear(vectorizer.fit_transform(train.texts), vectorizer.transform(test.texts), train)


def linear(x_train: Any, x_test: Any, train: LabelledTexts) -> Probabilities:
    """Of every class, also of one that no training row has."""
    found = {}
    for head, classes in train.classes.items():
        model = LogisticRegression(max_iter=1000).fit(x_train, train.labels[head])
        found[head] = np.zeros((x_test.shape[0], len(classes)))
        found[head][:, model.classes_] = model.predict_proba(x_test)
    return found


def record(scores: Scores, contender: str, test: LabelledTexts, probabilities: Probabilities, seconds: float) -> None:
    row = scores.setdefault(contender, {})
    for head, p in probabilities.items():
        target, classes = test.labels[head], test.classes[head]
        report = report_probabilities(target, p, classes)
        figures = {"accuracy": report.accuracy, "macro-F1": report.macro_f1}
        figures["calibration error"] = calibration_error(target, p)
        figures |= {f"recall of {name}": recall for name, recall in zip(classes, report.recall, strict=True)}
        if "high" in classes:
            high = classes.index("high")
            figures["average precision of high"] = float(average_precision_score(target == high, p[:, high]))
        for figure, value in figures.items():
            row.setdefault(f"{head} {figure}", []).append(value)
    row.setdefault("seconds", []).append(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    arguments = parser.parse_args()
    data, audit = read_reviews(arguments.csv)
    print(audit)
    scores: Scores = {}
    for seed in tqdm(arguments.seeds, unit=" seeds"):
        parts = split(data, seed=seed)
        tested = {normalise(text) for text in parts.test.texts}
        known = data.subset(np.array([row for row, text in enumerate(data.texts) if normalise(text) not in tested]))
        assert len(known) == len(parts.train) + len(parts.validation)
        heads = parts.test.labels
        shares = {head: known.class_counts(head) / len(known) for head in heads}
        record(scores, "largest class", parts.test, {h: np.tile(p, (len(parts.test), 1)) for h, p in shares.items()}, 0)
        start = time.perf_counter()
        found = linear(log_words(parts.train.texts), log_words(parts.test.texts), parts.train)
        record(scores, LENGTH, parts.test, found, time.perf_counter() - start)
        start = time.perf_counter()
        found = tf_idf(known, parts.test)
        record(scores, "TF-IDF + LR", parts.test, found, time.perf_counter() - start)
        start = time.perf_counter()
        found = BagOfWords.fit(parts.train).predict_proba(parts.test.texts)
        record(scores, "bag of words", parts.test, found, time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # how many texts are cut, minitx train counts
            start = time.perf_counter()
            out = Path(directory) / "model"
            reports = run(Experiment(data=arguments.csv, seed=seed), out, progress=False, log=lambda line: None)
            seconds = time.perf_counter() - start
            record(scores, "minitx train", parts.test, load_model(out).predict_proba(parts.test.texts), seconds)
        for head, p in found.items():
            beside = report_probabilities(heads[head], p, data.classes[head])
            assert np.array_equal(reports[head].bag_of_words.confusion, beside.confusion)
            assert scores["minitx train"][f"{head} accuracy"][-1] == reports[head].accuracy

    print(f"test split, mean ± standard deviation over seeds {', '.join(map(str, arguments.seeds))}\n")
    print(f"{'':36}" + "".join(f"{contender:>18}" for contender in scores))
    for column in scores["minitx train"]:
        values = (np.array(scores[contender][column]) for contender in scores)
        print(f"{column:36}" + "".join(f"{v.mean():>10.3f} ± {v.std():.3f}" for v in values))


if __name__ == "__main__":
    main()
