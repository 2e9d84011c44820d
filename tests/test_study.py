"""Intervals and p values equal scipy's; arms see the same splits; no verdict where the interval holds 0."""

import json
import math

import numpy as np
import pytest
from conftest import TINY
from hypothesis import given, strategies as st
from scipy import stats

from minitx.app.settings import Experiment
from minitx.app.study import Study, compare
from minitx.errors import InputError
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import (
    difference_p,
    equivalence_p,
    mean_interval,
    student_t_quantile,
    wilson_interval,
)

SIZES = {flag[2:].replace("-", "_"): int(value) for flag, value in zip(TINY[::2], TINY[1::2], strict=True)}


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 29, 100])
@pytest.mark.parametrize("p", [0.5, 0.75, 0.95, 0.975, 0.995])
def test_students_t(p, degrees):
    assert student_t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_intervals_are_scipys(values):
    ours = mean_interval(values)
    spread = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread) if spread else (ours.mean,) * 2
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
    assert ours.n == len(values)


def test_one_value_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 values, not 1"):
        mean_interval([0.5])


VALUES = {"near 0": [0.01, -0.004, 0.002, 0.007, -0.011, 0.003], "far": [0.05, 0.04, 0.07], "below": [-0.03, -0.01]}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_p_values_are_scipys(values):
    assert difference_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
    for margin in (0.001, 0.02, 0.1):
        above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(values, margin, alternative="less").pvalue
        assert equivalence_p(values, margin) == pytest.approx(max(above, below), rel=1e-9)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_shared_test_rows_widen_the_interval_as_nadeau_and_bengio_say(values):
    """Theirs is for tests on 10 of 100 rows and training on the other 90: n_test / n_train is q / (1 - q), q = 0.1."""
    n, mean, error = len(values), np.mean(values), np.sqrt((1 / len(values) + 10 / 90) * np.var(values, ddof=1))
    found = mean_interval(values, overlap=0.1 / 0.9, level=0.9)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.9, n - 1, mean, error), rel=1e-9)
    assert difference_p(values, 0.1 / 0.9) == pytest.approx(2 * stats.t.sf(abs(mean) / error, n - 1), rel=1e-9)
    expected = stats.t.sf((0.02 - abs(mean)) / error, n - 1)
    assert equivalence_p(values, 0.02, 0.1 / 0.9) == pytest.approx(expected, rel=1e-9)


def test_values_that_do_not_differ_at_all():
    assert (difference_p([0.0, 0.0]), equivalence_p([0.0, 0.0], 0.01)) == (1, 0)
    assert (difference_p([0.5, 0.5]), equivalence_p([0.5, 0.5], 0.01)) == (0, 1)


def test_that_two_arms_are_equal_is_a_verdict_if_a_margin_was_named():
    arms = {"a": noisy(0), "b": noisy(0.001, 0.002), "c": noisy(0.1, 0.002), "d": noisy(0, 0.05)}
    result = Study(arms, range(8), margin=0.02).run(progress=False)
    assert [result.verdict(arm, "score") for arm in "bcd"] == ["equal within 0.02", "higher", "no verdict"]
    assert "score: b and a are equal within 0.02: +0.00" in str(result)
    without = Study(arms, range(8)).run(progress=False)
    assert without.verdict("b", "score") == "no verdict"


@pytest.mark.parametrize(("successes", "n"), [(8, 10), (0, 5), (5, 5), (297, 595)])
def test_the_interval_of_a_share_is_scipys(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert np.isnan(wilson_interval(0, 0)).all()


def noisy(shift, spread=0.0):
    """A score that the seed moves a great deal, and an arm a little."""
    return lambda seed: math.sin(seed) + shift + spread * math.cos(3 * seed)


def test_the_difference_is_paired():
    result = compare(noisy(0), noisy(0.01, 0.001), seeds=range(5), progress=False)
    assert result.mean("b", "score").low < result.mean("a", "score").mean  # the arms' intervals overlap widely
    difference = result.difference("b", "score")
    assert difference.verdict == "higher"
    a, b = (result.values[arm]["score"] for arm in "ab")
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))
    assert result.difference("a", "score", than="b").verdict == "lower"


def test_no_verdict_where_the_interval_holds_zero():
    result = compare(noisy(0), noisy(0.01, 0.1), seeds=range(5), progress=False)
    assert result.difference("b", "score").verdict == "no verdict"
    assert "score: no verdict, b or a: " in str(result)
    same = compare(noisy(0), noisy(0), progress=False)
    assert same.difference("b", "score").verdict == "no verdict"


def report(right, bag=None):
    return Report(("a", "b"), np.array([[right, 50 - right], [10, 40]]), 0.5, bag)


def test_reports_bring_their_baselines_once():
    def arm(better):
        return lambda seed: {"mood": report(30 + seed + better, report(25 + seed))}

    result = Study({"old": arm(0), "new": arm(2), "newer": arm(3)}, seeds=(0, 1, 4)).run(progress=False)
    assert list(result.values) == ["old", "new", "newer", "bag of words", "always the largest class"]
    assert result.metrics == ["mood accuracy", "mood macro-F1", "seconds"]
    assert result.difference("newer", "mood accuracy", than="new").mean == pytest.approx(0.01)
    np.testing.assert_allclose(result.values["bag of words"]["mood accuracy"], [0.65, 0.66, 0.69])
    text = str(result)
    assert "mood accuracy: new is higher than old: +0.020" in text
    assert "6 comparisons" in text
    assert len([line for line in text.splitlines() if line.startswith(("old ", "bag of words "))]) == 2


def test_baselines_that_differ_are_named_after_their_arm():
    arms = {"all": lambda seed: {"mood": report(30, report(25))}, "half": lambda seed: {"mood": report(30, report(20))}}
    rows = list(Study(arms, seeds=(0, 1)).run(progress=False).values)
    assert rows == ["all", "half", "bag of words, all", "bag of words, half", "always the largest class"]


def test_what_is_written(tmp_path):
    result = Study({"one": noisy(0), "two": noisy(1), "three": noisy(0, 0.1)}, seeds=(1, 2, 3)).run(progress=False)
    result.write(tmp_path / "new", "shifts")
    written = json.loads((tmp_path / "new" / "shifts.json").read_text(encoding="utf-8"))
    assert written["seeds"] == [1, 2, 3]
    assert written["values"]["two"]["score"] == pytest.approx([math.sin(seed) + 1 for seed in (1, 2, 3)])
    assert written["differences from one"]["two"]["score"]["verdict"] == "higher"
    assert written["means"]["one"]["score"]["low"] < written["means"]["one"]["score"]["mean"]
    assert (tmp_path / "new" / "shifts.png").read_bytes().startswith(b"\x89PNG")


def test_experiments_are_arms(reviews_csv):
    small = Experiment(data=str(reviews_csv), seed=99, **SIZES)
    result = compare(small, Experiment(data=str(reviews_csv), **{**SIZES, "epochs": 1}), seeds=(0, 1), progress=False)
    assert {"sentiment accuracy", "engagement macro-F1", "seconds"} <= set(result.metrics)
    parts = ["its encoder alone, a", "its encoder alone, b", "its words alone"]  # the words see the same rows
    assert list(result.values) == ["a", "b", *parts, "bag of words", "always the largest class"]
    again = compare(small, small, seeds=(0, 1), progress=False)
    np.testing.assert_array_equal(again.values["a"]["sentiment macro-F1"], result.values["a"]["sentiment macro-F1"])
    np.testing.assert_array_equal(again.values["a"]["sentiment macro-F1"], again.values["b"]["sentiment macro-F1"])


def test_one_seed_is_one_split_and_one_order_whatever_the_model(monkeypatch, reviews_csv):
    seen = []

    def stop(model, train, validation, optimizer, settings, *, rng, **others):
        seen.append((train.labels["sentiment"].tolist(), rng.permutation(len(train.sequences)).tolist()))
        raise FloatingPointError

    monkeypatch.setattr("minitx.app.experiment.fit", stop)
    sizes = {**SIZES, "hidden_size": 32, "num_layers": 2}
    for seed, settings in ((0, SIZES), (0, sizes), (1, SIZES)):
        arm = Experiment(data=str(reviews_csv), **settings)
        with pytest.raises(FloatingPointError):
            compare(arm, arm, seeds=(seed, seed + 1), progress=False)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        ({"one": noisy(0)}, (0, 1), "at least 2 arms, not 1"),
        ({"one": noisy(0), "two": noisy(0)}, (0,), "at least 2 in a tuple, each once"),
        ({"one": noisy(0), "two": noisy(0)}, (0, 1, 0), "at least 2 in a tuple, each once"),
        ({"one": noisy(0), "two": noisy(0)}, 3, "seeds 3: expected at least 2 in a tuple"),
        ({"one": {"num_layers": 2}, "two": noisy(0)}, (0, 1), "an arm is {.*}; expected an Experiment"),
        ([Experiment(), Experiment()], (0, 1), "expected arms by name"),
        ({"one": noisy(0), "two": lambda seed: {"f1": 1.0}}, (0, 1), "two measured f1; one measured score"),
        ({"one": noisy(0), "two": lambda seed: math.nan}, (0, 1), "two: score is .*nan.*; only finite"),
    ],
)
def test_refusals(arms, seeds, message):
    with pytest.raises(InputError, match=message):
        Study(arms, seeds).run(progress=False)
    with pytest.raises(InputError, match=r"margin is -0\.1; accepted is a number of at least 0"):
        Study({"one": noisy(0), "two": noisy(0)}, margin=-0.1)


def test_a_value_that_was_not_measured_gives_no_verdict():
    values = [math.nan, 1.0, 2.0]
    assert math.isnan(difference_p(values))
    assert math.isnan(equivalence_p(values, 1.0))
