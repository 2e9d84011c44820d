"""How well and how fast does `minitx train` learn from real reviews?  `python -m benchmarks.bench_reviews CSV`

Contenders on the same leak-free splits, one for each seed: always the largest class, with the classes' shares as its
probabilities; the length of the text alone (logistic regression on ln(1 + words), scikit-learn, training rows); TF-IDF
with logistic regression (scikit-learn, words and pairs of words, fitted on training and validation rows); the bag of
words that `minitx train` prints beside its result (fitted on the training rows); the default `minitx train`, its
encoder alone and its words alone; and the same with thresholds chosen for macro-F1 (`decide`), on validation rows.

Every figure is of the test split, mean and standard deviation over the seeds, none left out. Then paired differences,
seed by seed, with 95 % intervals for test rows that overlap (Nadeau & Bengio 2003). "Calibration error, at best" is
what the same probabilities would show on as many rows if they were exactly right: bins of few rows err by chance. The
line below the table is what they would show if they were right and had to be learnt: how much logits and words count is
fitted anew on validation rows whose labels are drawn from the probabilities, and judged on test rows of drawn labels.

How well anyone could do at neutral stars is not measured: nobody has read a hundred of those texts and said which stars
they would give.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from minitx.app.experiment import stack, train
from minitx.app.prepare import Job, prepare
from minitx.app.settings import apply_assignment, experiment_of
from minitx.data.reviews import read_reviews
from minitx.data.split import LabelledTexts, normalise, split
from minitx.evaluation.calibration import average_precision, expected_calibration_error
from minitx.evaluation.metrics import Report, report_heads
from minitx.evaluation.statistics import mean_interval
from minitx.models.answers import Answer, Answers, log
from minitx.models.multitask import MultiTaskModel
from minitx.training.baseline import BagOfWords
from minitx.training.stacking import fit_scales

Scores = dict[str, dict[str, list[float]]]  # contender -> column -> one value for each seed
Probabilities = Mapping[str, np.ndarray]  # head -> (N, C)
OVERLAP = 0.2 / 0.8  # test rows are a fifth, see `evaluation.statistics`
DRAWS = 20  # of labels, for the calibration error at best
BOTH, ENCODER, WORDS, THRESHOLDS = "minitx train", "encoder alone", "words alone", "for macro-F1"


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


def record(
    scores: Scores,
    contender: str,
    test: LabelledTexts,
    probabilities: Probabilities,
    seconds: float,
    model: MultiTaskModel | None = None,
) -> dict[str, Report]:
    """Add a column of figures; the classes said are the model's, or the most probable ones."""
    row = scores.setdefault(contender, {})
    reports = report_heads(test.labels, probabilities, test.classes, model.answers.decide if model else None)
    for head, report in reports.items():
        figures = {"accuracy": report.accuracy, "macro-F1": report.macro_f1, "loss": report.loss}
        figures |= {"calibration error": report.calibration_error}
        figures |= {"calibration error, at best": if_true(probabilities[head]), "Brier score": report.brier}
        figures |= {f"recall of {name}": x for name, x in zip(test.classes[head], report.recall, strict=True)}
        if head == "engagement":
            target, p = test.labels[head], probabilities[head]
            figures["average precision of high"] = average_precision(target == 2, p[:, 2])
            figures["average precision of not low"] = average_precision(target > 0, 1 - p[:, 0])
        for figure, value in figures.items():
            row.setdefault(f"{head} {figure}", []).append(value)
    row.setdefault("seconds", []).append(seconds)
    return reports


def if_true(p: np.ndarray) -> float:
    """The calibration error of probabilities (N, C) whose labels are drawn from themselves."""
    return float(np.mean([expected_calibration_error(target, p) for target in draw(p, np.random.default_rng(0))]))


def draw(p: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Labels (N,) from probabilities (N, C), `DRAWS` times."""
    edges = np.cumsum(p, axis=1)[:, :-1]
    return [(rng.random((len(p), 1)) > edges).sum(axis=1) for _ in range(DRAWS)]


def if_learnt(job: Job, head: str) -> float:
    """The calibration error that remains if all is right but what is fitted on validation rows."""
    model, rng, found = job.model, np.random.default_rng(0), []
    for part, rows in ((job.parts.validation, "validation"), (job.parts.test, "test")):
        z = model.logits(model.encoder.encode_ids(job.rows[rows].sequences, show_progress_bar=False))[head]
        w = log(model.answers.words.predict_proba(part.texts)[head])
        found.append((z, w, draw(model.answers.mix(head, z, w), rng)))
    (z, w, seen), (z_test, w_test, drawn) = found
    errors = []
    for target, true in zip(seen, drawn, strict=True):
        (scale, count), biases, noise = fit_scales([z, w], target, biases=True)
        answer = Answer(scale=scale, words=count, noise=noise, biases=tuple(biases))
        answers = Answers({head: answer}, model.answers.words)
        errors.append(expected_calibration_error(true, answers.mix(head, z_test, w_test)))
    return float(np.mean(errors))


def train_and_judge(scores: Scores, csv: str, seed: int, settings: Mapping[str, Any]) -> dict[str, float]:
    """One model, trained once; how it answers is chosen twice on the validation rows: for accuracy, for macro-F1.

    Head -> `if_learnt`.
    """
    start, quiet = time.perf_counter(), lambda line: None
    job = prepare(experiment_of({"data": csv, "seed": seed, "task_gradients": 0} | settings), quiet)
    train(job, False, quiet)
    job.model.answers = stack(job, False)
    seconds, model, test = time.perf_counter() - start, job.model, job.parts.test
    vectors = model.encoder.encode_ids(job.rows["test"].sequences, show_progress_bar=False)
    record(scores, BOTH, test, model.probabilities(vectors, test.texts), seconds, model)
    learnt = {head: if_learnt(job, head) for head in test.classes}
    alone = model.answers.without_words().probabilities(model.logits(vectors))
    record(scores, ENCODER, test, alone, seconds)
    record(scores, WORDS, test, model.answers.words.predict_proba(test.texts), 0)
    job.experiment = experiment_of(vars(job.experiment), {"decide": dict.fromkeys(test.classes, "macro_f1")})
    model.answers = stack(job, False)
    record(scores, THRESHOLDS, test, model.probabilities(vectors, test.texts), seconds, model)
    return learnt


def rivals(scores: Scores, data: LabelledTexts, seed: int) -> None:
    """Everyone else."""
    parts = split(data, seed=seed)
    tested = {normalise(text) for text in parts.test.texts}
    known = data.subset(np.array([row for row, text in enumerate(data.texts) if normalise(text) not in tested]))
    assert len(known) == len(parts.train) + len(parts.validation)
    shares = {head: known.class_counts(head) / len(known) for head in parts.test.labels}
    record(scores, "largest class", parts.test, {h: np.tile(p, (len(parts.test), 1)) for h, p in shares.items()}, 0)
    for name, fit in {
        "length alone": lambda: linear(log_words(parts.train.texts), log_words(parts.test.texts), parts.train),
        "TF-IDF + LR": lambda: tf_idf(known, parts.test),
        "bag of words": lambda: BagOfWords.fit(parts.train).predict_proba(parts.test.texts),
    }.items():
        start = time.perf_counter()
        record(scores, name, parts.test, fit(), time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    arguments = parser.parse_args()
    settings: dict[str, Any] = {}
    for assignment in arguments.set:
        apply_assignment(settings, assignment)
    data, audit = read_reviews(arguments.csv)
    print(audit)
    scores: Scores = {}
    learnt: dict[str, list[float]] = {}
    for seed in tqdm(arguments.seeds, unit=" seeds"):
        rivals(scores, data, seed)
        for head, value in train_and_judge(scores, arguments.csv, seed, settings).items():
            learnt.setdefault(head, []).append(value)

    print(f"test split, mean ± standard deviation over seeds {', '.join(map(str, arguments.seeds))}\n")
    print(f"{'':36}" + "".join(f"{contender:>16}" for contender in scores))
    for column in scores[BOTH]:
        values = (np.array(scores[contender][column]) for contender in scores)
        print(f"{column:36}" + "".join(f"{v.mean():>8.3f} ± {v.std():.3f}" for v in values))
    figures = (f"{head} {np.mean(values):.3f} ± {np.std(values):.3f}" for head, values in learnt.items())
    print(f"\ncalibration error of {BOTH} if only what is learnt on validation rows errs: {', '.join(figures)}")
    if len(arguments.seeds) < 2:
        return
    print("\npaired differences, mean and corrected 95 % interval")
    for column in [c for c in scores[BOTH] if not c.startswith(("seconds", "engagement recall", "sentiment recall"))]:
        for contender, other in ((BOTH, ENCODER), (BOTH, WORDS), (BOTH, "TF-IDF + LR"), (THRESHOLDS, BOTH)):
            d = mean_interval(np.subtract(scores[contender][column], scores[other][column]), OVERLAP)
            print(f"{column:34} {contender} - {other:14} {d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f})  {d.verdict}")


if __name__ == "__main__":
    main()
