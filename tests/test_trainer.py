"""The loop: averages weighted by rows, the best epoch kept, the same bits twice, and its refusals."""

import math

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from minitx.experiment import class_weights, read_data
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training.optim import AdamW
from minitx.training.schedules import with_warmup
from minitx.training.trainer import TokenisedRows, best_epoch, evaluate, fit

V = 20


def rows_of(rng, n):
    """Sequences of 1 to 6 tokens; "high" says whether token 7 is among them, so there is something to learn."""
    sequences = [rng.integers(1, V, size=length).tolist() for length in rng.integers(1, 7, size=n)]
    labels = {"high": np.array([int(7 in ids) for ids in sequences]), "chance": rng.integers(0, 3, size=n)}
    return TokenisedRows(sequences, labels)


def make(seed=0, dropout=0.1):
    rng = np.random.default_rng(seed)
    config = EncoderConfig(V, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, dropout=dropout)
    model = MultiTaskModel(SentenceEncoder(config, rng=rng), {"high": 2, "chance": 3}, dropout, rng=rng)
    return model, AdamW(model.parameters(), lr=3e-3)


def train(seed=0, epochs=3, **options):
    rng = np.random.default_rng(1)
    parts = rows_of(rng, 90), rows_of(rng, 30)
    model, optimizer = make(seed)
    epochs = fit(model, *parts, optimizer, epochs=epochs, batch_size=8, rng=rng, progress=False, **options)
    return model, epochs, parts


def test_it_learns():
    _, epochs, _ = train(epochs=15)
    assert epochs[-1].train["high"].loss < 0.5 * epochs[0].train["high"].loss
    assert epochs[-1].validation["high"].accuracy > epochs[-1].validation["high"].majority


def test_two_runs_with_one_seed_have_the_same_bits():
    first, second, other = train()[0], train()[0], train(seed=1)[0]
    for name, weights in first.state_dict().items():
        np.testing.assert_array_equal(weights, second.state_dict()[name])
    assert (first.encoder.embedding.weight.data != other.encoder.embedding.weight.data).any()


def test_the_best_epoch_is_what_remains():
    model, epochs, (_, validation) = train(epochs=6)
    again = evaluate(model, validation)
    for head, report in best_epoch(epochs).validation.items():
        np.testing.assert_array_equal(again[head].confusion, report.confusion)
    assert best_epoch(epochs).score == max(epoch.score for epoch in epochs)
    assert not model.training


def test_the_averaged_weights_are_what_is_judged_and_kept():
    model, epochs, (_, validation) = train(epochs=3, weight_average=0.9)
    again = evaluate(model, validation)
    for head, report in best_epoch(epochs).validation.items():
        assert again[head].loss == report.loss
    assert again["high"].loss != train(epochs=3)[1][-1].validation["high"].loss


def test_averages_count_every_row_the_same(rng):
    """The last batch is smaller; a mean of batch means would weigh its rows more."""
    model, _ = make(dropout=0.0)
    rows = rows_of(rng, 25)
    whole, batched = evaluate(model, rows, batch_size=25), evaluate(model, rows, batch_size=8)
    for head in rows.labels:
        assert batched[head].loss == pytest.approx(whole[head].loss, rel=1e-5)
        np.testing.assert_array_equal(batched[head].confusion, whole[head].confusion)
        assert whole[head].support.sum() == 25


def test_rows_without_a_label_count_for_nothing(rng):
    model, _ = make(dropout=0.0)
    rows = rows_of(rng, 20)
    labels = {**rows.labels, "chance": np.where(np.arange(20) < 5, -100, rows.labels["chance"])}
    some = evaluate(model, TokenisedRows(rows.sequences, labels), batch_size=7)
    rest = evaluate(model, TokenisedRows(rows.sequences[5:], {h: y[5:] for h, y in rows.labels.items()}), batch_size=15)
    assert some["high"].support.sum() == 20
    assert some["chance"].loss == pytest.approx(rest["chance"].loss, rel=1e-5)
    np.testing.assert_array_equal(some["chance"].confusion, rest["chance"].confusion)


def test_history_rows_are_flat_numbers():
    _, epochs, _ = train(epochs=2)
    row = epochs[1].to_row()
    assert row["epoch"] == 2
    assert row["validation_high_macro_f1"] == epochs[1].validation["high"].macro_f1
    assert len(row) == 3 + 2 * 2 * 3 + 2 + 2  # and two gradient norms, a cosine, a share of conflict
    assert all(math.isfinite(value) for value in row.values())


def test_the_schedule_and_the_callback_are_called():
    seen = []
    rng = np.random.default_rng(0)
    model, optimizer = make()
    schedule = with_warmup(optimizer, "linear", 2, 6)
    parts = rows_of(rng, 24), rows_of(rng, 8)
    fit(
        model,
        *parts,
        optimizer,
        schedule=schedule,
        epochs=2,
        batch_size=8,
        rng=rng,
        progress=False,
        on_epoch=seen.append,
    )
    assert [epoch.number for epoch in seen] == [1, 2]
    assert schedule.get_last_lr() == [0.0]


def test_an_optimizer_of_another_model_is_refused(rng):
    model, _ = make()
    _, optimizer = make()
    with pytest.raises(ValueError, match="build the optimizer after the model"):
        fit(model, rows_of(rng, 8), rows_of(rng, 8), optimizer, epochs=1, rng=rng, progress=False)


def test_a_loss_that_is_not_finite_stops_the_run(rng):
    model, optimizer = make()
    model.encoder.norm.weight.data[0] = np.nan
    with pytest.raises(FloatingPointError, match=r"became nan in epoch 1: lower the learning rate"):
        fit(model, rows_of(rng, 8), rows_of(rng, 8), optimizer, epochs=1, rng=rng, progress=False)


def test_class_weights():
    counts = np.array([90, 9, 1])
    np.testing.assert_array_equal(class_weights(counts, 0.0), [1, 1, 1])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=np.repeat(np.arange(3), counts))
    np.testing.assert_allclose(class_weights(counts, 1.0), balanced)
    between = class_weights(counts, 0.5)
    assert (between * counts).sum() == pytest.approx(100)
    np.testing.assert_allclose(between[1:] / between[0], np.sqrt([10, 90]))


def test_class_weights_reach_the_loss():
    """With a weight on one class so large that nothing else counts, that class is what is predicted."""
    weights = {"high": np.array([1.0, 1.0]), "chance": np.array([1e-6, 1.0, 1e-6])}
    model, _, (_, validation) = train(epochs=4, class_weights=weights)
    assert (evaluate(model, validation)["chance"].confusion[:, [0, 2]] == 0).all()


def test_the_default_data_is_synthetic_and_says_so():
    data, audit = read_data(None, None, {})
    assert audit.source.startswith("synthetic")
    assert set(data.classes) == {"sentiment", "engagement"}
