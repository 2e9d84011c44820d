"""The scikit-learn estimators: its own checks, pipelines and grids, and every form of labels."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data

from minitx.app.experiment import train
from minitx.app.settings import DEFAULTS
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.sklearn import MultiTaskClassifier, SentenceVectors

DOCS = Path(__file__).parents[1] / "docs" / "scikit-learn.md"
TINY = {"epochs": 3, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "num_layers": 1, "vocab_size": 300}
TINY |= {"threads": 1}


@pytest.fixture(scope="module")
def reviews():
    """120 texts, whether each is good, and a topic that its first word tells."""
    rng = np.random.default_rng(0)
    said = {
        0: ["crashes a lot", "hate it", "bad update", "too slow"],
        1: ["love it", "great app", "works well", "nice"],
    }
    good, topics = np.arange(120) % 2, np.array(["films", "price", "sound"])[np.arange(120) % 3]
    return (
        [f"{topic} {rng.choice(said[one])} {i}" for i, (topic, one) in enumerate(zip(topics, good, strict=True))],
        good,
        topics,
    )


@pytest.fixture(scope="module")
def fitted(reviews):
    texts, good, _ = reviews
    return MultiTaskClassifier(**TINY).fit(texts, good)


# -- scikit-learn's own checks -----------------------------------------------------------------------------------


def words(X) -> list[str]:
    """A text for each row of numbers, with a word for each column."""
    levels = np.floor(np.asarray(X) * 4).astype(int)
    return [" ".join(f"{chr(97 + j % 26)}{chr(97 + n % 26)}{n // 26}" for j, n in enumerate(row)) for row in levels]


class OfNumbers:
    """Numbers in, as scikit-learn's checks give them, and texts for the estimator proper."""

    def fit(self, X, y=None):
        return super().fit(words(validate_data(self, X)), y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags


class Classifier(OfNumbers, MultiTaskClassifier):
    def __init__(self, *, epochs=3, hidden_size=16, intermediate_size=32, num_heads=2, num_layers=1, vocab_size=300):
        super().__init__(**{name: value for name, value in locals().items() if name in TINY}, threads=1)

    def predict_proba(self, X):
        check_is_fitted(self)
        return super().predict_proba(words(validate_data(self, X, reset=False)))


class Vectors(OfNumbers, SentenceVectors):
    def transform(self, X):
        check_is_fitted(self)
        return super().transform(words(validate_data(self, X, reset=False)))


ESTIMATORS = {"MultiTaskClassifier": Classifier(), "SentenceVectors": Vectors()}


def exceptions() -> set[tuple[str, str]]:
    """(estimator, check), for those that the documentation says do not pass."""
    rows = re.findall(r"^\| `(check_\w+)` \| (\w+) \| .+ \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return {(name, check) for check, who in rows for name in ESTIMATORS if who in ("both", name)}


def checks() -> list:
    found = [(name, check) for name, one in ESTIMATORS.items() for _, check in estimator_checks_generator(one)]
    return [pytest.param(name, check, id=f"{name}-{check.func.__name__}") for name, check in found]


@pytest.mark.parametrize(("name", "check"), [row for row in checks() if tuple(row.id.split("-")) not in exceptions()])
def test_a_check_of_scikit_learn_passes(name, check, model):
    estimator = clone(ESTIMATORS[name])
    check(estimator.set_params(model=model) if name == "SentenceVectors" else estimator)


def test_the_documentation_names_seven_checks_that_may_not_pass_among_a_hundred():
    assert exceptions() < {tuple(row.id.split("-")) for row in checks()}
    assert (len(exceptions()), len(checks()) > 90) == (7, True)


def test_what_scikit_learn_is_told_of_the_estimators_themselves():
    for estimator in (MultiTaskClassifier(), SentenceVectors()):
        tags = estimator.__sklearn_tags__().input_tags
        assert tags.string
        assert not tags.two_d_array


# -- parameters --------------------------------------------------------------------------------------------------


def test_its_parameters_are_the_settings_of_a_run_and_clone_keeps_them():
    parameters = MultiTaskClassifier().get_params()
    of_files = DEFAULTS.keys() - parameters.keys()
    assert of_files == {"data", "text", "labels", "rules", "words", "two_stage", "encoding"}
    assert all(value == (DEFAULTS[name] or value) for name, value in parameters.items())
    changed = MultiTaskClassifier(kinds={"label": "ordinal"}, lr=1e-3).set_params(epochs=2)
    assert clone(changed).get_params() == changed.get_params() != parameters
    assert repr(changed) == "MultiTaskClassifier(epochs=2, kinds={'label': 'ordinal'}, lr=0.001)"
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        MultiTaskClassifier(epoch=2)
    assert SentenceVectors("a", truncate_dim=3).get_params()["truncate_dim"] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"num_heads": 3}, "num_heads must divide hidden_size"),
        ({"kinds": {"other": "ordinal"}}, "there is no head 'other': there is label"),
        ({"kinds": {"label": "ordinal"}}, "is the alphabet's order; with kinds or costs, say the right one"),
        ({"decide": {"label": "f1"}}, "decide.label: 'f1'; expected"),
    ],
    ids=str,
)
def test_settings_are_refused_by_fit_as_by_the_command(reviews, settings, message):
    texts, good, _ = reviews
    with pytest.raises(InputError, match=message):
        MultiTaskClassifier(**(TINY | settings)).fit(texts, np.array(["bad", "good"])[good])


# -- labels ------------------------------------------------------------------------------------------------------


def test_it_learns_and_answers_with_the_labels_it_was_given(fitted, reviews):
    texts, good, _ = reviews
    for labels in (good, good.astype(bool), np.array(["bad", "good"])[good], np.array(["bad", "good"], object)[good]):
        model = MultiTaskClassifier(**TINY).fit(texts, labels)
        assert model.classes_.tolist() == np.unique(labels).tolist()
        assert model.predict(texts).dtype.kind == np.array(labels.tolist()).dtype.kind
        assert model.score(texts, labels) == np.mean(model.predict(texts) == labels) > 0.95
        np.testing.assert_array_equal(model.predict_proba(texts), fitted.predict_proba(texts))  # whatever they are
    p = fitted.predict_proba(texts)
    assert p.shape == (120, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["matrix", "frame", "dict"])
def test_a_head_for_each_column(reviews, kind):
    texts, good, topics = reviews
    names = ("0", "1") if kind == "matrix" else ("good", "topic")
    frame = pd.DataFrame({"good": good, "topic": topics})
    y = {"matrix": frame.to_numpy(object), "frame": frame, "dict": {"good": good, "topic": topics.tolist()}}[kind]
    model = MultiTaskClassifier(**(TINY | {"epochs": 6})).fit(texts, y)
    assert tuple(model.model_.heads) == names
    assert [labels.tolist() for labels in model.classes_] == [[0, 1], ["films", "price", "sound"]]
    assert model.predict(texts).shape == (120, 2)
    assert [p.shape for p in model.predict_proba(texts)] == [(120, 2), (120, 3)]
    right = model.predict(texts) == frame.to_numpy(object)
    assert model.score(texts, y) == right.all(axis=1).mean() > 0.5
    assert model.score(texts[:2], y[:2] if kind == "matrix" else frame[:2], sample_weight=[1, 0]) == right[0].all()


def test_a_row_without_a_label_teaches_the_other_heads(reviews):
    texts, good, topics = reviews
    y = pd.DataFrame({"good": good.astype(float), "topic": topics.astype(object)})
    y.loc[::3, "good"] = np.nan
    y.loc[1::3, "topic"] = [None, ""] * 20
    model = MultiTaskClassifier(**TINY).fit(texts, y)
    assert [labels.tolist() for labels in model.classes_] == [[0.0, 1.0], ["films", "sound"]]
    assert 0 <= model.score(texts, y) <= 1
    said = pd.DataFrame(model.predict(texts[:3]), columns=["good", "topic"])
    wrong = said.assign(good=1 - said["good"].astype(float))
    wrong.loc[1:, :] = [np.nan, None]  # only the first of them counts
    assert model.score(texts[:3], said) == 1
    assert model.score(texts[:3], wrong) == 0
    assert model.score(texts[:3], said[["topic", "good"]]) == 1  # columns go by their names
    for y, message in (
        (said.iloc[:, :0].assign(good=pd.NA, topic=pd.NA), "y: no text has a label to be right about"),
        (said.rename(columns={"good": "bad"}), "y has the columns bad, topic; expected good, topic"),
        (said[["good"]], "y has the columns good; expected good, topic"),
    ):
        with pytest.raises(InputError, match=message):
            model.score(texts[:3], y)


def test_labels_of_two_kinds_are_refused_and_na_is_none(reviews):
    texts, good, _ = reviews
    mixed = [1 if one else "bad" for one in good]
    with pytest.raises(InputError, match="y: the labels of label are texts and numbers; expected one kind"):
        MultiTaskClassifier(**TINY).fit(texts, mixed)
    nullable = pd.Series(["yes" if one else "no" for one in good], dtype="string")
    nullable[0] = pd.NA
    assert MultiTaskClassifier(**TINY).fit(texts, nullable).classes_.tolist() == ["no", "yes"]


def test_the_name_of_a_series_is_the_name_of_its_head(reviews):
    texts, good, _ = reviews
    model = MultiTaskClassifier(**TINY).fit(pd.Series(texts), pd.Series(good, name="mood"))
    assert [*model.model_.heads] == ["mood"]
    assert model.predict(pd.DataFrame({"text": texts[:5]})).shape == (5,)


def test_every_row_is_learned_from_or_held_out_and_a_seed_gives_the_same(reviews, fitted, monkeypatch):
    texts, good, _ = reviews
    seen = []
    monkeypatch.setattr("minitx.sklearn.train", lambda job, *rest: (seen.append(job), train(job, *rest)))
    again = MultiTaskClassifier(**TINY).fit(texts, good)
    parts = seen[0].parts
    assert sorted(parts.train.texts + parts.validation.texts) == sorted(texts)
    assert 10 <= len(parts.validation) <= 14
    np.testing.assert_array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    other = MultiTaskClassifier(**TINY, seed=1).fit(texts, good)
    assert not np.array_equal(other.predict_proba(texts), fitted.predict_proba(texts))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ("one text", [0], r"X has the shape \(\): expected a list of texts"),
        (
            [["a", "b"], ["c", "d"]],
            [0, 1],
            r"X has the shape \(2, 2\): expected a list of texts, or one column of them",
        ),
        (["a", 5.0], [0, 1], "X: row 1 is 5.0, of type float; expected a str"),
        (["a", None], [0, 1], "X: row 1 is None, of type NoneType"),
        (["a", "b"], [None, np.nan], "y: no text has a label for label"),
        (["a", "b"], 3, "the target y is 3; expected labels"),
        (["a", "b"], {"my head": [0, 1]}, "head name 'my head': use letters, digits, _ and - only"),
        (["a", "b"], [1, 1], r"2 rows with 1 of the 1 classes of label \(1\); at least 2 classes"),
        (["a", "b"], [0.25, 0.5], "Unknown label type: continuous"),
        (["a", "b", "c"], [0, 1], "inconsistent numbers of samples"),
    ],
    ids=str,
)
def test_what_cannot_be_learned_from_is_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskClassifier(**TINY).fit(X, y)


def test_an_answer_before_fit_is_scikit_learns_own_error():
    for ask in (MultiTaskClassifier().predict, MultiTaskClassifier().predict_proba, SentenceVectors().transform):
        with pytest.raises(NotFittedError):
            ask(["a"])


# -- among other estimators --------------------------------------------------------------------------------------


def test_a_grid_and_a_pickle(reviews):
    texts, good, _ = reviews
    grid = GridSearchCV(MultiTaskClassifier(**TINY), {"lr": [0.0, 5e-3], "wide": [False]}, cv=2, refit=True)
    grid.fit(texts, good)
    assert grid.best_params_ == {"lr": 5e-3, "wide": False}
    again = pickle.loads(pickle.dumps(grid.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(texts), grid.predict_proba(texts))


def test_what_a_fit_did_is_logged_and_odd_labels_are_warned_of(reviews, caplog):
    texts, _, _ = reviews
    with caplog.at_level("INFO", "minitx"):
        MultiTaskClassifier(**TINY).fit(texts, [str(i % 50) for i in range(120)])
    lines = {record.getMessage(): record.levelname for record in caplog.records}
    (split,) = (line for line in lines if line.startswith("split "))
    assert split == "split 108 train, 12 validation; no text or reviewId is on two sides"
    (note,) = (line for line in lines if "are these classes, or ids?" in line)
    assert (lines[split], lines[note]) == ("INFO", "WARNING")


def test_blank_texts_are_answered_with_a_warning(fitted):
    with pytest.warns(UserWarning, match="2 of 3 texts are blank: their answers mean nothing"):
        assert fitted.predict(["", "love it", " "]).shape == (3,)


def test_vectors_refuse_what_cannot_be_when_they_are_fitted(model):
    with pytest.raises(InputError, match="truncate_dim from 1 to 2"):
        SentenceVectors(model, truncate_dim=5000).fit(["a text"])


def test_vectors_in_a_pipeline(model, reviews):
    texts, good, _ = reviews
    pipeline = make_pipeline(SentenceVectors(model, prompt="say: ", truncate_dim=9), LogisticRegression())
    assert cross_val_score(pipeline, texts, good, cv=3).shape == (3,)
    vectors = SentenceVectors(model, normalize_embeddings=True).fit(texts)
    expected = SentenceEncoder.from_pretrained(model).encode(texts, normalize_embeddings=True)
    np.testing.assert_array_equal(vectors.transform(texts), expected)
    np.testing.assert_array_equal(vectors.transform(pd.DataFrame({"text": texts})), expected)
    frame = vectors.set_output(transform="pandas").transform(texts)
    assert [*frame.columns[:2], frame.shape] == ["sentencevectors0", "sentencevectors1", (120, 21)]
    with pytest.raises(InputError, match="X: row 0 is 3"):
        vectors.transform([3])


def test_the_examples_of_the_documentation_run(model, capsys):
    names: dict = {}
    for source in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(source.replace('"all-MiniLM-L6-v2"', repr(model)), names)
    assert capsys.readouterr().out.startswith("['bad'] ['bad' 'good']\n(1, 2) 1.0\n{'logisticregression__C': ")


def test_scikit_learn_is_imported_by_this_module_alone():
    code = "import sys, minitx.app.cli, minitx.sentence_transformers; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
