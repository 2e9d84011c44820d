"""Two heads that answer together: the first decides, and what it leaves open goes to the second."""

from types import SimpleNamespace

import numpy as np
import pytest

from minitx.app.two_stage import check_two_stage, two_stage_reports
from minitx.data.batches import TokenisedRows
from minitx.errors import InputError
from minitx.models.answers import Answers

CLASSES = {
    "topic": ("positive", "technical", "other"),
    "sentiment": ("negative", "positive"),
    "complaint": ("technical", "other"),
}


PAIRS = {"topic": ["sentiment", "complaint"]}


def test_two_stages_read_as_one():
    """The first head's class settles it if it is a class of the head; else the second head is asked."""
    answers = {"sentiment": [1, 0, 0, 1], "complaint": [0, 0, 1, 1]}  # of the token that a row is made of

    def probabilities(vectors, texts):
        return {head: np.eye(2)[np.array(by_token)[vectors[:, 0]]] for head, by_token in answers.items()}

    rows = TokenisedRows([[3], [2, 2], [1], [0, 0], [0]], {"topic": np.array([1, 2, 1, 0, -100])})
    vectors = np.array([[ids[0]] for ids in rows.sequences])
    model = SimpleNamespace(classes=CLASSES, probabilities=probabilities, answers=Answers())
    report = two_stage_reports(PAIRS, model, rows, vectors, [])["topic"]
    np.testing.assert_array_equal(report.confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    "classes",
    [
        {"topic": ("positive", "technical")},  # a class of the second head is missing
        {"topic": ("positive", "technical", "other", "x")},  # one comes from nowhere
        {"topic": ("positive", "negative", "technical", "other")},  # the second head would never be asked
        {"topic": ("technical", "other")},  # the first head settles nothing
        {"complaint": ("technical", "other", "positive")},  # of both heads
    ],
)
def test_two_stages_that_are_ambiguous(classes):
    with pytest.raises(InputError, match="two_stage: classes of topic must be those of complaint"):
        check_two_stage(PAIRS, {**CLASSES, **classes})
    check_two_stage(PAIRS, CLASSES)


def test_a_head_that_is_not_there():
    with pytest.raises(InputError, match="two_stage: there is no head 'complaint': there is topic, sentiment"):
        check_two_stage(PAIRS, {name: CLASSES[name] for name in ("topic", "sentiment")})


def test_without_pairs_nothing_is_predicted():
    assert two_stage_reports({}, SimpleNamespace(classes=CLASSES), TokenisedRows([[1]], {}), np.zeros((1, 1)), []) == {}
