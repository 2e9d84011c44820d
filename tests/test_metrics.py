"""Reports equal scikit-learn's figures; what is undefined is flagged, not 0."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from minitx.training.metrics import Report, confusion_matrix

CLASSES = ("negative", "neutral", "positive")


@pytest.fixture
def rows(rng):
    target = rng.choice(3, size=200, p=[0.6, 0.1, 0.3])
    return target, np.where(rng.random(200) < 0.7, target, rng.integers(0, 3, size=200))


def report(target, predicted):
    return Report(CLASSES, confusion_matrix(target, predicted, 3), loss=1.0)


def test_every_figure_equals_scikit_learn(rows):
    ours = report(*rows)
    precision, recall, f1, support = reference.precision_recall_fscore_support(*rows)
    np.testing.assert_array_equal(ours.confusion, reference.confusion_matrix(*rows))
    np.testing.assert_allclose(ours.precision, precision)
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_allclose(ours.f1, f1)
    np.testing.assert_array_equal(ours.support, support)
    assert ours.accuracy == pytest.approx(reference.accuracy_score(*rows))
    assert ours.macro_f1 == pytest.approx(reference.f1_score(*rows, average="macro"))


def test_the_majority_is_what_a_constant_scores(rows):
    target, _ = rows
    ours = report(*rows)
    constant = np.full_like(target, np.bincount(target).argmax())
    assert ours.majority == pytest.approx(reference.accuracy_score(target, constant))
    assert ours.majority_macro_f1 == pytest.approx(reference.f1_score(target, constant, average="macro"))


def test_a_class_that_is_never_predicted_has_no_precision():
    ours = report(np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2]))
    assert np.isnan(ours.precision[1])
    assert ours.recall[1] == ours.f1[1] == 0
    assert ours.to_dict()["classes"]["neutral"]["precision"] is None
    assert json.loads(json.dumps(ours.to_dict()))["confusion"] == [[2, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert "never predicted" in str(ours)


def test_printed_beside_the_baseline(rows):
    ours = report(*rows)
    text = str(ours)
    assert f"{ours.accuracy:.3f}  (always the largest class: {ours.majority:.3f})" in text
    assert f"{ours.macro_f1:.3f}  (always the largest class: {ours.majority_macro_f1:.3f})" in text
    assert all(name in text for name in CLASSES)
