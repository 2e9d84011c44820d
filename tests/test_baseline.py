"""The bag of words is scikit-learn's TF-IDF with logistic regression, and knows nothing but its training rows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from minitx.data.reviews import label_reviews, read_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import LabelledTexts, split
from minitx.errors import InputError
from minitx.evaluation.metrics import report_probabilities
from minitx.training.baseline import TERM, BagOfWords, terms_of


@pytest.fixture(scope="module")
def parts():
    return split(label_reviews(synthetic_reviews(n=1500, seed=4))[0], seed=0)


@pytest.fixture(scope="module")
def model(parts):
    return BagOfWords.fit(parts.train)


def tfidf(train):
    return TfidfVectorizer(binary=True, ngram_range=(1, 2), min_df=2, token_pattern=TERM).fit(train.texts)


def dense(x):
    array = np.zeros(x.shape, x.values.dtype)
    array[x.rows, x.columns] = x.values
    return array


def assert_like_scikit_learn(model, parts, head, atol, C=1.0):
    vectorizer = tfidf(parts.train)
    x_train, x_test = vectorizer.transform(parts.train.texts), vectorizer.transform(parts.test.texts)
    reference = LogisticRegression(C=C, max_iter=2000, tol=1e-7).fit(x_train, parts.train.labels[head])
    theirs, ours = reference.predict_proba(x_test), model.predict_proba(parts.test.texts)[head]
    np.testing.assert_allclose(ours, theirs, atol=atol)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() >= 0.99


def test_the_features_are_scikit_learns(parts, model):
    vectorizer = tfidf(parts.train)
    assert list(model.columns) == vectorizer.get_feature_names_out().tolist()
    for texts in (parts.train.texts, parts.test.texts, ["", "!!!", "zzz unknown zzz", "Good, good! 😡"]):
        np.testing.assert_allclose(dense(model.vectorise(texts)), vectorizer.transform(texts).toarray(), atol=1e-6)


@given(st.text())
def test_the_terms_of_any_text_are_scikit_learns(text):
    analyse = TfidfVectorizer(ngram_range=(1, 2), token_pattern=TERM).build_analyzer()
    assert terms_of(text) == set(analyse(text))


@pytest.mark.parametrize("head", ["sentiment", "engagement"])
def test_the_probabilities_are_scikit_learns(parts, model, head):
    assert_like_scikit_learn(model, parts, head, atol=0.01)


def test_two_classes_are_scikit_learns_with_half_the_penalty(parts):
    binary = {name: part.labels["sentiment"] // 2 for name, part in parts._asdict().items()}
    changed = [
        LabelledTexts(part.texts, {"good": binary[name]}, {"good": ("no", "yes")}, part.ids)
        for name, part in parts._asdict().items()
    ]
    two = type(parts)(*changed)
    assert_like_scikit_learn(BagOfWords.fit(two.train), two, "good", atol=0.01, C=2.0)


def test_the_same_rows_give_the_same_bits(parts, model):
    again = BagOfWords.fit(parts.train)
    for name, weights in model.state_dict().items():
        assert weights.any()
        np.testing.assert_array_equal(weights, again.state_dict()[name])


def test_rows_without_a_label_teach_nothing(parts):
    hidden = np.where(np.arange(len(parts.train)) < 400, parts.train.labels["sentiment"], -100)
    labels = {**parts.train.labels, "sentiment": hidden}
    partly = BagOfWords.fit(LabelledTexts(parts.train.texts, labels, parts.train.classes, parts.train.ids))
    wrong = np.where(hidden < 0, 0, hidden)
    misled = BagOfWords.fit(
        LabelledTexts(parts.train.texts, {"sentiment": wrong}, {"sentiment": "abc"}, parts.train.ids)
    )
    ours, theirs = (m.evaluate(parts.test)["sentiment"].accuracy for m in (partly, misled))
    assert ours > theirs + 0.1


def test_it_beats_the_majority_and_reports_like_any_model(parts, model):
    for head, report in model.evaluate(parts.test).items():
        assert report.accuracy > report.majority
        assert report.rows == len(parts.test)
        assert 0 < report.loss < np.log(3)
        same = report_probabilities(parts.test.labels[head], model.predict_proba(parts.test.texts)[head], "abc")
        np.testing.assert_array_equal(same.confusion, report.confusion)


def test_it_knows_the_texts_it_was_trained_on(parts, model):
    assert model.knows(parts.train.texts).all()
    assert not model.knows(parts.test.texts).any()
    assert model.knows([f"{parts.train.texts[0].upper()}!", "surely nobody wrote this", ""]).tolist() == [
        True,
        False,
        False,
    ]


def test_saved_and_loaded_it_says_the_same(parts, model, tmp_path):
    model.save(tmp_path / "bag.safetensors")
    loaded = BagOfWords.load(tmp_path / "bag.safetensors")
    assert loaded.classes == model.classes
    for head, probabilities in model.predict_proba(parts.test.texts).items():
        np.testing.assert_array_equal(loaded.predict_proba(parts.test.texts)[head], probabilities)
    assert loaded.knows(parts.train.texts).all()


def test_what_cannot_be_used(tmp_path, trained):
    for name, content in {"empty": b"", "text": b"hello" * 10}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="is not a bag of words"):
            BagOfWords.load(tmp_path / name)
    with pytest.raises(InputError, match="is not a bag of words"):
        BagOfWords.load(trained / "model.safetensors")
    apart = LabelledTexts(["one", "two"], {"head": np.array([0, 1])}, {"head": ("a", "b")}, [None, None])
    assert BagOfWords.fit(apart).predict_proba(["two"])["head"].argmax() == 1  # with no word twice, all are kept
    with pytest.raises(InputError, match="not one word in 2 training texts"):
        BagOfWords.fit(dataclasses.replace(apart, texts=["", " "]))


def test_on_the_real_reviews_it_is_as_good_as_scikit_learns(real_reviews):
    parts = split(read_reviews(real_reviews)[0], seed=0)
    model = BagOfWords.fit(parts.train)
    assert_like_scikit_learn(model, parts, "sentiment", atol=0.02)
    report = model.evaluate(parts.test)["sentiment"]
    assert report.accuracy > 0.77
    assert "neutral" in report.undefined or report.f1[1] < 0.1  # a class it hardly knows
