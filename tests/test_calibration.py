"""Calibration error, Brier score, precision and recall by threshold: equal to scikit-learn's, and by hand."""

import numpy as np
import pytest
from sklearn import metrics

from minitx.app import plots
from minitx.evaluation.calibration import (
    average_precision,
    brier_score,
    error_by_luck,
    expected_calibration_error,
    precision_recall_curve,
    reliability,
)
from minitx.evaluation.metrics import report_probabilities


@pytest.fixture(params=["smooth", "ties"])
def scored(rng, request):
    probabilities = rng.dirichlet(np.ones(4), size=200)
    if request.param == "ties":
        probabilities = np.round(probabilities, 1)
        probabilities = (probabilities + 0.01) / (probabilities + 0.01).sum(axis=1, keepdims=True)
    return rng.integers(0, 4, 200), probabilities


def test_average_precision_is_sklearns(scored):
    target, probabilities = scored
    for c in range(4):
        expected = metrics.average_precision_score(target == c, probabilities[:, c])
        assert average_precision(target == c, probabilities[:, c]) == pytest.approx(expected, abs=1e-12)


def test_the_curve_is_sklearns(scored):
    target, probabilities = scored
    precision, recall = precision_recall_curve(target == 1, probabilities[:, 1])
    theirs = metrics.precision_recall_curve(target == 1, probabilities[:, 1])
    np.testing.assert_allclose(precision[::-1], theirs[0][:-1])
    np.testing.assert_allclose(recall[::-1], theirs[1][:-1])


def test_the_brier_score_is_sklearns(scored):
    target, probabilities = scored
    expected = metrics.brier_score_loss(target, probabilities, labels=range(4), scale_by_half=False)
    assert brier_score(target, probabilities) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_by_hand():
    """Two rows of confidence 0.9, one right; two of 0.6, both right: (0.4 x 2 + 0.4 x 2) / 4."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    target = np.array([0, 1, 0, 1])
    assert expected_calibration_error(target, probabilities) == pytest.approx(0.4)
    np.testing.assert_allclose(reliability(target, probabilities), [[2, 0.6, 1.0], [2, 0.9, 0.5]])


def test_luck_is_the_error_of_exactly_right_probabilities(rng):
    for rows in (200, 2000):
        p = rng.dirichlet([3, 1, 1], rows)
        edges = p.cumsum(axis=1)[:, :2]
        drawn = [(rng.random((rows, 1)) > edges).sum(axis=1) for _ in range(200)]
        seen = np.mean([expected_calibration_error(target, p) for target in drawn])
        assert error_by_luck(p) == pytest.approx(seen, rel=0.06)
    assert np.isnan(error_by_luck(p[:0]))


def test_what_is_certain_and_right_has_no_error():
    probabilities = np.eye(3)[[0, 1, 2, 2]]
    assert expected_calibration_error(np.array([0, 1, 2, 2]), probabilities) == 0
    assert brier_score(np.array([0, 1, 2, 2]), probabilities) == 0


def test_without_rows_nothing_is_claimed():
    nothing = np.zeros((0, 3))
    target = np.zeros(0, dtype=np.int64)
    figures = [expected_calibration_error(target, nothing), brier_score(target, nothing)]
    assert np.isnan([*figures, average_precision(target == 0, nothing[:, 0])]).all()
    assert np.isnan(average_precision(np.zeros(5, bool), np.arange(5.0)))  # nothing is relevant


def test_the_area_under_the_curve_that_is_drawn_is_the_average_precision(scored, monkeypatch, tmp_path):
    target, probabilities = scored
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    report = report_probabilities(target, probabilities, ("a", "b", "c", "d"))
    plots.calibration_picture(target, probabilities, report, tmp_path / "c.png", "title")
    lines = figures[0].axes[1].get_lines()
    assert len(lines) == 4
    for line, expected in zip(lines, report.average_precision, strict=True):
        x, y = line.get_data()
        assert line.get_drawstyle() == "steps-pre"  # y[i] from x[i - 1] to x[i]
        assert (x[0], x[-1]) == (0, 1)
        assert np.diff(x) @ y[1:] == pytest.approx(expected)
