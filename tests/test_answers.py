"""From logits to an answer: temperatures, words and thresholds, what they are fitted to, and that they are kept."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize
from scipy.special import softmax

from minitx.app.cli import main
from minitx.app.prepare import read_data
from minitx.errors import InputError
from minitx.evaluation.calibration import expected_calibration_error
from minitx.evaluation.metrics import report_probabilities
from minitx.models.answers import Answer, Answers
from minitx.models.multitask import MultiTaskModel
from minitx.training.checkpoint import SETTINGS, WORDS, load_model, save_model
from minitx.training.stacking import (
    BIAS_PULL,
    LEAST,
    LOSS_ALLOWED,
    NOISE_PULL,
    check_aims,
    fit_answers,
    fit_offsets,
    fit_scales,
)

CLASSES = ("negative", "neutral", "positive")


@pytest.fixture
def judged(rng):
    """400 rows: two kinds of evidence, the first too sure of itself, the second shy."""
    target = rng.choice(3, size=400, p=[0.55, 0.08, 0.37])
    truth = np.log([0.55, 0.08, 0.37]) + 1.5 * np.eye(3)[target]
    return 3 * (truth + rng.normal(size=(400, 3))), 0.5 * (truth + rng.normal(size=(400, 3))), target


def loss(a, noise, evidence, target, biases=()):
    """N times what `fit_scales` minimises."""
    z = sum(x * y for x, y in zip(a, evidence, strict=True)) + np.array(biases or 0)
    K, N = len(evidence), len(target)
    p = (1 - noise) * softmax(z, axis=1)[np.arange(N), target] + noise / z.shape[1]
    pull = ((np.array(a) - 1 / K) ** 2).sum() + BIAS_PULL * (np.array(biases) ** 2).sum() + 2 * NOISE_PULL * noise
    return pull / 2 - np.log(p).sum()


@pytest.mark.parametrize("K", [1, 2])
def test_scales_have_the_least_loss(judged, K):
    evidence, target = judged[:K], judged[2].copy()
    target[::9] = (target[::9] + 1) % 3  # wrong labels
    a, b, noise = fit_scales(evidence, target)
    assert not b.size
    assert noise > 0
    bounds = [(0, None)] * K + [(0, 0.5)]
    best = optimize.minimize(lambda x: loss(x[:K], x[K], evidence, target), [*np.ones(K), 0.1], bounds=bounds)
    np.testing.assert_allclose([*a, noise], best.x, atol=1e-3)
    assert loss(a, noise, evidence, target) <= best.fun + 1e-6


@pytest.mark.parametrize("share", [0.0, 0.15])
def test_noise_is_the_share_of_labels_that_were_drawn_by_lot(rng, share):
    z = rng.normal(0, 3, (4000, 3))
    target = (softmax(z, axis=1).cumsum(axis=1)[:, :2] < rng.random((4000, 1))).sum(axis=1)
    by_lot = rng.random(4000) < share
    target[by_lot] = rng.integers(0, 3, by_lot.sum())
    (scale,), _, noise = fit_scales([z / 2], target)
    assert noise == pytest.approx(share, abs=0.02)
    assert scale == pytest.approx(2, rel=0.1)
    p = Answers({"mood": Answer(scale=scale, noise=noise)}).probabilities({"mood": z / 2})["mood"]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.min() >= noise / 3
    assert expected_calibration_error(target, p) < 0.02


def test_evidence_against_itself_counts_nothing(judged):
    sure, shy, target = judged
    a, _, noise = fit_scales([sure, -shy], target)
    assert a[1] == 0
    best = optimize.minimize_scalar(lambda x: loss([x, 0], noise, [sure, shy], target))
    np.testing.assert_allclose(a[0], best.x, atol=1e-3)


def test_a_head_that_is_worse_than_nothing_still_answers(judged):
    sure, shy, target = judged
    np.testing.assert_array_equal(fit_scales([-sure], target)[0], [LEAST / np.abs(sure).max()])
    np.testing.assert_array_equal(fit_scales([-sure, -shy], target)[0], [LEAST / np.abs(sure).max(), 0])
    (scale,), _, _ = fit_scales([-1e4 * sure], target)  # however far its logits are apart, it says next to nothing
    assert np.abs(scale * 1e4 * sure).max() == pytest.approx(LEAST)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_few_rows_that_are_all_right_give_finite_scales(rows):
    target = np.arange(rows) % 3
    a, b, noise = fit_scales([1000 * np.eye(3)[target].reshape(rows, 3)], target, biases=True)
    assert np.isfinite([*a, *b]).all()
    assert noise == 0
    assert (a >= 0).all()
    assert len(b) == 3


def test_biases_take_back_what_class_weights_did(judged):
    """Evidence of a head that was taught to name the rare class too often: the bias is about what was added."""
    sure, _, target = judged
    for added in (2.0, -2.0):
        (scale,), b, _ = fit_scales([sure + added * np.array([0, 1, 0])], target, biases=True)
        (_,), before, _ = fit_scales([sure], target, biases=True)
        assert (b - b.mean())[1] - (before - before.mean())[1] == pytest.approx(-scale * added * 2 / 3, abs=0.25)
        z = scale * (sure + added * np.array([0, 1, 0])) + b
        assert softmax(z, axis=1)[:, 1].mean() == pytest.approx((target == 1).mean(), abs=0.02)


def test_macro_f1_costs_no_more_accuracy_than_is_allowed(judged):
    sure, _, target = judged
    p = softmax(fit_scales([sure], target)[0][0] * sure, axis=1)
    offsets = fit_offsets(p, target, "macro_f1", CLASSES)
    said = (np.log(p) + offsets).argmax(axis=1)
    plain, chosen = report_probabilities(target, p, CLASSES), report_probabilities(target, p, CLASSES, said)
    assert chosen.macro_f1 > plain.macro_f1 + 0.01
    assert chosen.recall[1] > plain.recall[1]
    assert chosen.accuracy > plain.accuracy - 2 * LOSS_ALLOWED  # half of what is counted is expected, not seen
    assert fit_offsets(p, target, "accuracy", CLASSES) == ()


def test_a_recall_is_reached_at_the_least_offset(judged):
    sure, _, target = judged
    p = softmax(fit_scales([sure], target)[0][0] * sure, axis=1)
    low, high = (fit_offsets(p, target, {"recall": {"neutral": share}}, CLASSES)[1] for share in (0.4, 0.8))
    assert 0 < low < high
    found = ((np.log(p) + np.array([0, high, 0])).argmax(axis=1)[target == 1] == 1).mean()
    assert 0.65 < found < 0.95


def test_recalls_of_two_classes_are_reached_together():
    """To raise one class takes rows from another, whose offset then has to be raised again."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(40):
        p = rng.dirichlet(np.ones(3), 300)
        target = np.array([rng.choice(3, p=row) for row in p])
        offsets = fit_offsets(p, target, {"recall": {"negative": 0.7, "positive": 0.6}}, CLASSES)
        truth = (np.eye(3)[target] + p) / 2
        said = (np.log(p) + (offsets or 0.0)).argmax(axis=1)
        found = np.bincount(said, truth[np.arange(300), said], minlength=3) / truth.sum(axis=0)
        missed += found[0] < 0.7 or found[2] < 0.6
    assert missed == 0


def test_a_recall_beyond_reach_takes_the_least_offset_that_finds_most():
    """Half of what is counted is what the probabilities expect: .98 here, when every row of a class is found."""
    target = np.arange(60) % 3
    p = 0.94 * np.eye(3)[target] + 0.02
    for share in (0.9, 0.99, 1.0):
        assert fit_offsets(p, target, {"recall": {"neutral": share}}, CLASSES) == ()
    p[1] = [0.6, 0.3, 0.1]  # a row of the class that an offset of log 2 finds
    (before, offset, after) = fit_offsets(p, target, {"recall": {"neutral": 1.0}}, CLASSES)
    assert before == after == 0
    assert offset == pytest.approx(0.7)


def test_who_asks_for_more_recall_gets_no_less(rng):
    for _ in range(30):
        p = rng.dirichlet([1, 0.6, 1], 120)
        target = np.array([rng.choice(3, p=row) for row in p])
        target[::10] = rng.integers(0, 3, 12)
        shares = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
        found = [fit_offsets(p, target, {"recall": {"neutral": share}}, CLASSES) or (0, 0, 0) for share in shares]
        assert [one[1] for one in found] == sorted(one[1] for one in found)


def test_what_thresholds_do_is_said(judged):
    sure, _, target = judged
    lines = []
    aims = {"mood": {"recall": {"neutral": 0.5}}}
    answers = fit_answers({"mood": sure}, {"mood": target}, {"mood": CLASSES}, aims=aims, say=lines.append)
    p = answers.probabilities({"mood": sure})["mood"]
    rows, found, plain = target == 1, answers.decide("mood", p) == target, p.argmax(axis=1) == target
    shares = f"{found[rows].mean():.3f}, no threshold {plain[rows].mean():.3f}"
    assert lines == [
        f"mood: of {rows.sum()} validation rows of neutral, thresholds find {shares}; 0.5 was asked for",
        f"mood: thresholds take validation accuracy from {plain.mean():.3f} to {found.mean():.3f}",
    ]
    none = np.where(target == 1, 0, target)  # no row of the class that the aim is about
    lines.clear()
    fit_answers({"mood": sure}, {"mood": none}, {"mood": CLASSES}, aims=aims, say=lines.append)
    assert lines[0] == "mood: of 0 validation rows of neutral, thresholds find none; 0.5 was asked for"


def test_the_lower_of_two_minima_counts():
    """Clear evidence, few rows and many labels by lot: from no noise alone, the scales may end near 0."""
    missed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 3, 50)
        evidence = [rng.choice([1, 5, 30]) * (rng.normal(size=(50, 3)) + 2 * np.eye(3)[truth])]
        target = np.where(rng.random(50) < 0.2, rng.integers(0, 3, 50), truth)
        (scale,), _, noise = fit_scales(evidence, target)
        starts = ([1.0, 0.1], [0.3, 0.3], [scale, noise])
        bounds = [(0, None), (0, 0.5)]
        found = [optimize.minimize(lambda x: loss(x[:1], x[1], evidence, target), x, bounds=bounds) for x in starts]  # noqa: B023
        missed += loss([scale], noise, evidence, target) > min(one.fun for one in found) + 0.05
    assert missed == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_evidence_that_is_not_finite_is_refused(bad):
    with pytest.raises(InputError, match="not finite"):
        fit_scales([np.array([[0.0, bad], [1.0, 2.0]])], np.array([0, 1]))


def test_a_head_that_the_words_outvote_and_a_bound_of_its_answers_are_told():
    answers = Answers({"mood": Answer(scale=0.0, words=1.5, noise=0.06)})
    told = answers.told("mood", CLASSES)
    assert "the encoder has no say" in told
    assert "6.0% of labels taken for noise: no answer is surer than 96.0%" in told
    sure = answers.mix("mood", np.zeros((1, 3)), np.array([[90.0, 0, 0]]))
    assert sure.max() == pytest.approx(0.96)


def test_probabilities_want_a_text_for_each_vector():
    answers = Answers({"mood": Answer(words=1.0)}, words=None)
    z = {"mood": np.zeros((3, 3), np.float32)}
    for texts in ("abc", ["x"], ["a", "b"]):
        with pytest.raises(InputError, match="expected a list of as many texts as there are vectors"):
            answers.probabilities(z, texts)
    assert answers.probabilities(z, ["a", "b", "c"])["mood"].shape == (3, 3)


def test_costs_are_weighed(judged):
    sure, _, target = judged
    aims = {"mood": {"cost": [[0, 1, 10], [1, 0, 1], [1, 1, 0]]}}
    answers = fit_answers({"mood": sure}, {"mood": target}, {"mood": CLASSES}, aims=aims)
    p = answers.probabilities({"mood": sure})["mood"]
    said = answers.decide("mood", p)
    costs = np.array(aims["mood"]["cost"])
    assert costs[target, said].sum() < 0.7 * costs[target, p.argmax(axis=1)].sum()


def test_a_temperature_changes_no_answer_and_the_loss(judged):
    sure, _, target = judged
    unlabelled = np.where(np.arange(400) % 7 == 0, -100, target)
    answers = fit_answers({"mood": sure}, {"mood": unlabelled}, {"mood": CLASSES})
    before, after = softmax(sure, axis=1), answers.probabilities({"mood": sure})["mood"]
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    raw, fitted = (report_probabilities(target, p, CLASSES) for p in (before, after))
    assert fitted.loss < raw.loss
    assert fitted.calibration_error < raw.calibration_error / 2
    plain = fit_answers({"mood": sure}, {"mood": target}, {"mood": CLASSES}, calibrate=False)
    np.testing.assert_array_equal(plain.probabilities({"mood": sure})["mood"], before)


@pytest.mark.parametrize(
    "aim",
    [
        "best",
        {"recall": {"bad": 0.5}},
        {"recall": {"neutral": 2}},
        {"recall": {"neutral": True}},
        {"recall": 0.5},
        {"cost": [[0, 1], [1, 0]]},
        {"cost": [[0, 1, 1], [1, 0, -1], [1, 1, 0]]},
        {"cost": "high"},
        {"cost": [[0, 1e6, 1], [1, 0, 1], [1, 1, 0]]},
        {"cost": [[0, 1, 1], [1, 0, 1], [1, 1, 0], 5]},
        {"recall": {}},
        {"macro_f1": 1},
        {},
        {"recall": {"neutral": 0.5}, "cost": []},
        7,
        None,
        ["accuracy"],
    ],
    ids=str,
)
def test_an_aim_that_means_nothing_is_refused(aim):
    with pytest.raises(InputError, match=re.escape("decide.mood: ") + ".*; expected accuracy, macro_f1, "):
        check_aims({"mood": aim}, {"mood": CLASSES})


@pytest.mark.parametrize(
    "cost", [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 0]] * 3, [[5, 5, 5]] * 3, [[1, 1, 1], [0, 0, 0], [0, 0, 0]]]
)
def test_costs_by_which_errors_pay_are_refused(cost):
    with pytest.raises(InputError, match=r"decide\.mood: cost: being right has to cost least in each row"):
        check_aims({"mood": {"cost": cost}}, {"mood": CLASSES})


def test_an_aim_for_no_head_is_refused():
    with pytest.raises(InputError, match="decide: there is no head 'mod': there is mood"):
        check_aims({"mod": "accuracy"}, {"mood": CLASSES})


# -- in a model --------------------------------------------------------------------------------------------------


def test_a_trained_model_answers_with_its_words(trained):
    model, texts = load_model(trained), ["love it", "crashes all the time", "", "日本"]
    words = model.answers.words.predict_proba(texts)
    vectors = model.encoder.encode(texts)
    for head, p in model.predict_proba(texts).items():
        answer = model.answers.of(head)
        z = answer.scale * model.logits(vectors)[head] + answer.words * np.log(words[head]) + answer.biases
        mixed = (1 - answer.noise) * softmax(z, axis=1) + answer.noise / len(model.classes[head])
        np.testing.assert_allclose(p, mixed, atol=1e-6)
    assert any(model.answers.of(head).words > 0 for head in model.classes)
    with pytest.raises(InputError, match="the texts are needed as well as their vectors"):
        model.probabilities(vectors)


def test_answers_are_kept(trained, tmp_path):
    model, texts = load_model(trained), ["love it", "crashes all the time"]
    heads = {
        head: Answer(0.7, 0.1, 0.5, 0.25, 0.2, (0.5, 0, -1), (*range(len(names)),))
        for head, names in model.classes.items()
    }
    heads["engagement"] = Answer(costs=((0.0, 1.0, 2.0), (3.0, 0.0, 1.0), (1.0, 1.0, 0.0)))
    model.answers = Answers(heads, model.answers.words)
    (out := tmp_path / "again").mkdir()
    save_model(model, out)
    again = load_model(out)
    assert again.answers.heads == heads
    for head, p in model.predict_proba(texts).items():
        np.testing.assert_array_equal(again.predict_proba(texts)[head], p)
    assert again.predict(texts) == model.predict(texts)


def test_offsets_change_the_label_and_not_the_probability(trained):
    model = load_model(trained)
    before = model.predict_proba(["love it"])["sentiment"]
    heads = dict(model.answers.heads)
    heads["sentiment"] = replace(heads["sentiment"], offsets=(0, 50, 0))
    model.answers = Answers(heads, model.answers.words)
    label, probability = model.predict(["love it"])[0]["sentiment"]
    assert label == "neutral"
    assert probability == pytest.approx(before[0, 1])


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "1"},
        {"scale": -1},
        {"scael": 1},
        {"noise": 1.5},
        {"alone_noise": -0.1},
        {"scale": float("1e300")},
        {"offsets": [1, 2]},
        {"biases": [1, 2]},
        {"biases": [1, 2, None]},
        {"offsets": [1, 2, "3"]},
        {"offsets": [1, 2, [3]]},
        {"costs": [[0, 1], [1, 0]]},
        {"costs": [0, 1, 2]},
        {"costs": [[0, 1, 2], [1], [2, 3]]},
        {"costs": 1},
    ],
    ids=str,
)
def test_damaged_answers_are_refused(trained, tmp_path, change):
    copy = shutil.copytree(trained, tmp_path / "copy")
    stored = json.loads((copy / SETTINGS).read_text(encoding="utf-8"))
    stored["answers"]["sentiment"] |= change
    (copy / SETTINGS).write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(InputError, match=f"{SETTINGS}: answers: sentiment"):
        load_model(copy)


def test_words_that_are_missing_or_anothers_are_refused(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / WORDS).unlink()
    with pytest.raises(InputError, match=WORDS):
        load_model(copy)
    stored = json.loads((copy / SETTINGS).read_text(encoding="utf-8"))
    (copy / SETTINGS).write_text(json.dumps(stored | {"words": False}), encoding="utf-8")
    with pytest.raises(InputError, match="answers count words, but there are none"):
        load_model(copy)


def test_without_words_and_temperature_nothing_is_added(reviews_csv, tmp_path, capsys):
    flags = ["--epochs", "1", "--no-wide", "--no-calibrate", "--hidden-size", "16", "--intermediate-size", "16"]
    flags += ["--vocab-size", "300", "--num-layers", "1", "--train-rows", "60", "--set", "kinds.sentiment=corn"]
    assert main(["train", "--data", str(reviews_csv), "--out", str(tmp_path / "plain"), *flags]) == 0
    assert "its encoder alone" not in capsys.readouterr().out
    model = load_model(tmp_path / "plain")
    assert not (tmp_path / "plain" / WORDS).exists()
    assert model.answers == Answers(dict.fromkeys(model.classes, Answer()))
    assert model.kinds == {"sentiment": "corn", "engagement": "softmax"}


def test_an_aim_is_checked_before_training(reviews_csv, tmp_path, capsys):
    asked = ["train", "--data", str(reviews_csv), "--out", str(tmp_path / "no"), "--set", "decide.sentiment=best"]
    assert main(asked) == 2
    assert "decide.sentiment: 'best'" in capsys.readouterr().err
    assert not (tmp_path / "no" / SETTINGS).exists()


def test_evaluate_shows_the_parts(trained, reviews_csv, capsys):
    assert main(["evaluate", str(trained), "--data", str(reviews_csv), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)["sentiment"]
    assert {"its_encoder_alone", "its_words_alone", "bag_of_words"} <= report.keys()
    assert 0 <= report["calibration_error"] <= 1
    data, _ = read_data(str(reviews_csv), None, {})
    assert report["its_encoder_alone"]["rows"] == len(data)


def test_the_minimum_is_found_for_a_head_that_is_far_too_sure(rng):
    """Newton's full steps jump to and fro there."""
    target = rng.integers(0, 3, 200)
    sure = rng.normal(0, 5, (200, 3)) + 3 * np.eye(3)[target]
    for scale in (1, 10, 100):
        evidence = [scale * sure, sure / 9]
        a, b, noise = fit_scales(evidence, target, biases=True)

        def objective(x, evidence=evidence):
            return loss(x[:2], x[2], evidence, target, list(x[3:]))

        bounds = [(0, None)] * 2 + [(0, 0.5)] + [(None, None)] * 3
        best = optimize.minimize(objective, [*np.zeros(2), 0.01, *np.zeros(3)], bounds=bounds)
        assert objective([*a, noise, *b]) <= best.fun + 1e-3


@pytest.mark.parametrize("kind", ["ordinal", "corn"])
def test_a_model_of_ordered_heads_alone_is_loaded_again(trained, tmp_path, kind):
    encoder = load_model(trained).encoder
    rng = np.random.default_rng(0)
    model = MultiTaskModel(encoder, {"stars": 5, "mood": 3}, kinds={"stars": kind, "mood": kind}, rng=rng)
    model.eval()
    (out := tmp_path / "again").mkdir()
    save_model(model, out)
    again = load_model(out)
    assert again.kinds == model.kinds
    np.testing.assert_array_equal(again.predict_proba(["love it"])["stars"], model.predict_proba(["love it"])["stars"])


def test_words_whose_classes_stand_in_another_order_are_refused(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    stored = json.loads((copy / SETTINGS).read_text(encoding="utf-8"))
    stored["heads"]["sentiment"].reverse()
    (copy / SETTINGS).write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(InputError, match=f"{WORDS} is of another model"):
        load_model(copy)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "kinds.nosuch=corn"], "kinds: there is no head 'nosuch': there is sentiment, engagement"),
        (["--select", "nosuch.f1"], "select 'nosuch.f1': expected HEAD.METRIC"),
    ],
)
def test_what_names_no_head_is_refused_before_anything_is_learned(reviews_csv, tmp_path, capsys, flags, message):
    assert main(["train", "--data", str(reviews_csv), "--out", str(tmp_path / "no"), *flags]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "tokenizer" not in captured.out
