"""Labels by rule, and the synthetic sentences."""

import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from minitx.app.settings import read_recipe
from minitx.data.reviews import label_reviews
from minitx.data.rules import read_rules
from minitx.data.samples import COLUMNS, SENTENCE_NOISE, synthetic_reviews, synthetic_sentences, word_lists
from minitx.data.split import split
from minitx.errors import InputError

WORDS = {"technical": "crash*, log in,\nsign in", "value": "price"}
TOPIC = {
    "positive": {"score": [4, 5]},
    "technical": {"score": [1, 2], "words": "technical"},
    "value": {"score": [1, 2], "words": "value"},
    "other": {"score": [1, 2]},
}


@pytest.mark.parametrize(
    ("text", "stars", "expected"),
    [
        ("it crashes", 5, 0),
        ("it CRASHED twice", 1, 1),
        ("the price, and it crashed", 2, 1),  # the first that fits
        ("the price", 1, 2),
        ("the prices", 1, 3),  # no star behind it: the word itself
        ("I can't sign in.", 1, 1),
        ("blog in progress", 1, 3),  # whole words
        ("dull", 2, 3),
        ("crash", 3, -100),
    ],
)
def test_the_first_class_whose_test_a_review_passes(text, stars, expected):
    (rule,) = read_rules({"topic": TOPIC}, WORDS)
    assert rule.classes == ("positive", "technical", "value", "other")
    assert rule.label([text], np.array([stars])).tolist() == [expected]


def test_words_without_stars():
    (rule,) = read_rules({"a": {"yes": {"words": "value"}, "no": {}}}, WORDS)
    assert rule.label(["price", "x"], np.array([1, 5])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"topic": {"one": {}}}, "rules.topic: expected at least two classes"),
        ({"topic": {"a": {"word": "value"}, "b": {}}}, r"rules.topic.a: unknown key 'word'; did you mean words\?"),
        ({"topic": {"a": {"score": [0]}, "b": {}}}, r"rules.topic.a: score is \[0\]; expected a list of stars"),
        ({"topic": {"a": {"score": 3}, "b": {}}}, "expected a list of stars"),
        ({"topic": {"a": {"words": "price"}, "b": {}}}, "no list of words is named 'price': there is technical, value"),
        ({"topic": {"a": 1, "b": {}}}, "rules.topic.a: expected a test such as"),
    ],
)
def test_rules_that_cannot_be_used(rules, message):
    with pytest.raises(InputError, match=message):
        read_rules(rules, WORDS)


def test_words_that_cannot_be_used():
    with pytest.raises(InputError, match=r"words\.value: expected words with commas"):
        read_rules({}, {"value": ""})


def test_rules_over_reviews_keep_what_has_any_label():
    recipe = read_recipe("mpnet-topics")
    data, audit = label_reviews(synthetic_reviews(500), read_rules(recipe["rules"], recipe["words"]))
    assert audit.dropped["no label for topic or sentiment or complaint"] > 0
    assert audit.unlabelled == {"complaint": data.class_counts("sentiment")[1]}
    assert audit.read == audit.kept + sum(audit.dropped.values())
    complaints = data.labels["complaint"]
    assert (complaints[data.labels["sentiment"] == 1] == -100).all()
    np.testing.assert_array_equal(data.labels["topic"][complaints >= 0], 1 + complaints[complaints >= 0])
    for part in split(data):
        assert all(part.class_counts(head).all() for head in part.classes)


def test_sentences_are_what_they_say():
    frame, words = synthetic_sentences(2000, seed=1), word_lists("sentences")
    things = words["things"]
    assert list(frame) == ["text", *COLUMNS]
    assert set(frame["topic"]) == set(things)
    kinds = {(kind, mood) for kind, moods in words["templates"].items() for mood in moods}
    assert set(zip(frame["kind"], frame["sentiment"], strict=True)) == kinds
    texts = frame["text"].str.lower()
    right = [any(thing in text for thing in things[t]) for text, t in zip(texts, frame["topic"], strict=True)]
    assert 1 - SENTENCE_NOISE < np.mean(right) < 1
    assert synthetic_sentences(50, seed=1).equals(synthetic_sentences(50, seed=1))
    assert not synthetic_sentences(50, seed=1).equals(synthetic_sentences(50, seed=2))
    with pytest.raises(InputError, match="0 synthetic sentences"):
        synthetic_sentences(0)


def test_what_a_sentence_says_depends_on_the_order_of_its_words():
    """Words and pairs of words, which is what a bag of words sees, get nowhere near the labels' own ceiling."""
    frame = synthetic_sentences(2000, seed=1)
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    train, test = vectorizer.fit_transform(frame["text"][:1600]), vectorizer.transform(frame["text"][1600:])
    accuracy = {}
    for column in COLUMNS:
        model = LogisticRegression(max_iter=300).fit(train, frame[column][:1600])
        accuracy[column] = model.score(test, frame[column][1600:])
    assert {column for column, share in accuracy.items() if share > 0.93} == set(), accuracy
    assert 0.5 < accuracy["sentiment"] < 0.8


def test_the_same_words_in_another_order_are_another_sentence():
    """A pair that shares its bag of words and not its labels: any score on it is owed to order."""
    words = word_lists("sentences")
    slots = {"here": "for me", "there": "on average"}
    so = {"thing": "the soup", "that": "the comet", "so": "awful", "such": "superb", "opposite": "superb", **slots}
    swapped = {**so, "thing": "the comet", "that": "the soup", "so": "superb", "such": "awful"}
    swapped |= {"here": "on average", "there": "for me"}

    def bag(form, values):
        return sorted(re.findall(r"\w+", form.format(**values)))

    pairs = [form for form in words["forms"]["comparison"] if bag(form, so) == bag(form, swapped)]
    assert pairs == words["forms"]["comparison"]
