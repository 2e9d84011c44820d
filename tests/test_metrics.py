"""Reports equal scikit-learn's figures, whatever classes are absent; what is undefined is flagged, not 0."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn import metrics as reference

from minitx.evaluation.metrics import Report, confusion_matrix, report_probabilities
from minitx.evaluation.statistics import wilson_interval

CLASSES = ("negative", "neutral", "positive")


@pytest.fixture
def rows(rng):
    target = rng.choice(3, size=200, p=[0.6, 0.1, 0.3])
    return target, np.where(rng.random(200) < 0.7, target, rng.integers(0, 3, size=200))


def report(target, predicted, classes=CLASSES):
    return Report(classes, confusion_matrix(target, predicted, len(classes)), loss=1.0)


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


@given(
    st.integers(2, 6).flatmap(
        lambda C: st.tuples(st.just(C), st.lists(st.tuples(*[st.integers(0, C - 1)] * 2), min_size=1, max_size=30))
    )
)
def test_equal_to_scikit_learn_with_any_classes_absent(case):
    C, pairs = case
    target, predicted = np.array(pairs).T
    ours = report(target, predicted, tuple(map(str, range(C))))
    options = {"labels": range(C), "zero_division": np.nan}
    precision, recall, _, support = reference.precision_recall_fscore_support(target, predicted, **options)
    np.testing.assert_allclose(ours.precision, precision)  # NaN where it is NaN
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_array_equal(ours.support, support)
    np.testing.assert_array_equal(ours.confusion, reference.confusion_matrix(target, predicted, labels=range(C)))
    options["zero_division"] = 0
    np.testing.assert_allclose(ours.f1, reference.f1_score(target, predicted, average=None, **options))
    for average, figures in (("macro", ours.macro), ("weighted", ours.weighted)):
        expected = reference.precision_recall_fscore_support(target, predicted, average=average, **options)
        np.testing.assert_allclose(figures, expected[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predicted classes without a row
        assert ours.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(target, predicted))
    assert set(ours.undefined) == {str(c) for c in range(C) if c not in target or c not in predicted}
    assert str(ours).count("undefined") == sum(c not in target for c in range(C)) + sum(
        c not in predicted for c in range(C)
    )
    json.dumps(ours.to_dict(), allow_nan=False)


def test_the_majority_is_what_a_constant_scores(rows):
    target, _ = rows
    ours = report(*rows)
    constant = np.full_like(target, np.bincount(target).argmax())
    assert ours.majority == pytest.approx(reference.accuracy_score(target, constant))
    assert ours.majority_macro_f1 == pytest.approx(reference.f1_score(target, constant, average="macro"))
    assert ours.majority_balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(target, constant))


def test_a_class_that_is_never_predicted_has_no_precision():
    ours = report(np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2]))
    assert np.isnan(ours.precision[1])
    assert ours.recall[1] == ours.f1[1] == 0
    assert ours.to_dict()["classes"]["neutral"]["precision"] is None
    assert json.loads(json.dumps(ours.to_dict()))["confusion"] == [[2, 0, 0], [1, 0, 0], [0, 0, 1]]
    line = next(line for line in str(ours).splitlines() if line.startswith("neutral"))
    assert line.split()[:6] == ["neutral", "n/a", "0.000", "0.000", "n/a", "1"]
    assert line.endswith("precision undefined: never predicted; counts as 0")
    assert ours.macro.precision == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_printed_beside_both_baselines(rows):
    bag = report(rows[0], np.roll(rows[1], 1))
    ours = Report(CLASSES, report(*rows).confusion, 1.0, bag)
    lines = {line[:24].strip(): line[24:].split() for line in ours.beside().splitlines()}
    assert lines["this model"][:3] == [f"{x:.3f}" for x in (ours.accuracy, ours.balanced_accuracy, ours.macro_f1)]
    assert lines["bag of words"][:3] == [f"{x:.3f}" for x in (bag.accuracy, bag.balanced_accuracy, bag.macro_f1)]
    majority = (ours.majority, ours.majority_balanced_accuracy, ours.majority_macro_f1)
    assert lines["always the largest class"] == [f"{x:.3f}" for x in majority]
    assert all(name in str(ours) for name in CLASSES)
    assert ours.to_dict()["bag_of_words"]["accuracy"] == bag.accuracy
    assert "bag of words" not in str(bag)


def test_mean_costs_and_distances_stand_beside_those_of_rivals_that_know_them(rng):
    """Every rival says what it expects to cost least, as the model does; only that is a fair comparison."""
    costs = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (9.0, 3.0, 0.5))
    target, table = rng.integers(0, 3, 90), np.array(costs)
    p, q = rng.dirichlet(np.ones(3), size=90), rng.dirichlet(np.ones(3), size=90)
    said = [(x @ table).argmin(axis=1) for x in (p, q)]
    ours = report_probabilities(target, p, CLASSES, said[0], costs, True)
    ours = replace(ours, bag_of_words=report_probabilities(target, q, CLASSES, None, costs, True))
    found = ours.contenders()
    assert found["this model"]["mean cost"] == pytest.approx(table[target, said[0]].mean())
    assert found["bag of words"]["mean cost"] == pytest.approx(table[target, said[1]].mean())
    constant = found["always the largest class"]
    assert constant["mean cost"] == pytest.approx(min(table[target, c].mean() for c in range(3)))
    assert constant["mean distance"] == pytest.approx(min(np.abs(target - c).mean() for c in range(3)))
    assert found["this model"]["mean distance"] == pytest.approx(np.abs(target - said[0]).mean())
    assert ours.to_dict()["mean_cost"] == found["this model"]["mean cost"]
    assert ours.to_dict()["bag_of_words"]["mean_cost"] == found["bag of words"]["mean cost"]
    assert "mean cost  mean distance  calibration error" in ours.beside()
    plain = report_probabilities(target, p, CLASSES)
    assert "mean" not in plain.beside()
    assert plain.to_dict()["mean_cost"] is None


def test_how_far_luck_goes_is_said(rng):
    p = rng.dirichlet(np.ones(3), size=400)
    target = rng.integers(0, 3, size=400)
    ours = report_probabilities(target, p, CLASSES)
    low, high = wilson_interval(int((p.argmax(axis=1) == target).sum()), 400)
    assert f"by luck alone, with 400 rows: an accuracy from {low:.3f} to {high:.3f} (95 %); a cal" in str(ours)
    assert ours.to_dict()["calibration_error_by_luck"] == ours.error_by_luck
    one = report_probabilities(target[:1], np.eye(3)[target[:1]], CLASSES)
    assert "with 1 row: an accuracy from 0.207 to 1.000" in str(one)


def test_report_of_probabilities(rng):
    probabilities = rng.dirichlet(np.ones(3), size=50)
    target = rng.integers(0, 3, size=50)
    unlabelled = np.where(np.arange(50) % 5 == 0, -100, target)
    ours = report_probabilities(unlabelled, probabilities, CLASSES)
    kept = unlabelled >= 0
    assert ours.rows == 40
    assert ours.loss == pytest.approx(reference.log_loss(target[kept], probabilities[kept], labels=range(3)))
    assert ours.accuracy == pytest.approx(reference.accuracy_score(target[kept], probabilities[kept].argmax(axis=1)))


def test_without_a_labelled_row_nothing_is_claimed():
    """Zeros would read as a model that got everything wrong."""
    nothing = report(np.zeros(0, int), np.zeros(0, int))
    assert np.isnan([*nothing.macro, *nothing.weighted, *nothing.f1, nothing.accuracy, nothing.macro_f1]).all()
    assert np.isnan([figure for figures in nothing.contenders().values() for figure in figures.values()]).all()
    first, *tables = str(nothing).splitlines()
    assert first == "no row has a label for this head: nothing was measured"
    assert not any("0.000" in line or "nan" in line or "counts as" in line for line in tables)
    plain = json.loads(json.dumps(nothing.to_dict(), allow_nan=False))
    measured = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "majority_accuracy", "majority_macro_f1")
    assert [plain[name] for name in measured] == [None] * 6
    assert {*plain["macro"].values(), *plain["weighted"].values()} == {None}
    assert plain["classes"]["neutral"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "average_precision": None,
        "support": 0,
    }


def test_a_confusion_matrix_takes_lists_and_refuses_what_are_no_classes():
    np.testing.assert_array_equal(confusion_matrix([0, 1, 1, 0], [0, 1, 0, 0], 2), [[2, 0], [1, 1]])
    many = np.arange(20, dtype=np.int8)  # whose products would not fit
    np.testing.assert_array_equal(confusion_matrix(many, many, 20), np.eye(20))
    for target, predicted in [
        ([0, 1], [0, 1, 1]),
        ([0, 1], [[0], [1]]),
        ([0, 2], [0, 1]),
        (["a"], ["a"]),
        ([0, -100], [0, 1]),
        ([0.0], [1.0]),
    ]:
        with pytest.raises(ValueError, match="expected two lists of integers, 0 to 1, not"):
            confusion_matrix(target, predicted, 2)
