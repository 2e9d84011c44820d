"""The loop: averages weighted by rows, the best epoch kept, the same bits twice, and its refusals."""

import math
import re

import numpy as np
import pytest
import torch
from reference import TorchMultiTask
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as TF
from tqdm import tqdm

from minitx.app.experiment import history_row
from minitx.app.prepare import class_weights, read_data
from minitx.app.task_gradients import TaskGradients
from minitx.autograd.tensor import Tensor
from minitx.data.batches import TokenisedRows, length_batches
from minitx.errors import InputError
from minitx.evaluation.evaluate import evaluate
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.nn.layers import Dropout
from minitx.training.epochs import Callback, best_epoch
from minitx.training.optim import SGD, Adam, AdamW
from minitx.training.parallel import DataParallel, Loss
from minitx.training.schedules import LambdaLR, factor
from minitx.training.trainer import TrainingSettings, fit

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


def settings(epochs=1, **options):
    return TrainingSettings(epochs, **{"batch_size": 8, "progress": False, **options})


def train(seed=0, epochs=3, task_weights=None, callbacks=(), **options):
    rng = np.random.default_rng(1)
    parts = rows_of(rng, 90), rows_of(rng, 30)
    model, optimizer = make(seed)
    how = settings(epochs, **options)
    epochs = fit(model, *parts, optimizer, how, task_weights=task_weights, callbacks=callbacks, rng=rng)
    return model, epochs, parts


def task_gradients(steps):
    """What compares the tasks' gradients at so many of the 12 steps of an epoch of `train`."""
    return TaskGradients(("high", "chance"), steps, of=12)


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
    """A mean of batch means would weigh the rows of a smaller last batch more."""
    model, _ = make(dropout=0.0)
    rows = rows_of(rng, 25)
    whole = evaluate(model, rows)
    alone = [
        evaluate(model, TokenisedRows(rows.sequences[i : i + 1], {h: y[i : i + 1] for h, y in rows.labels.items()}))
        for i in range(25)
    ]
    training = [epoch.train for epoch in train(epochs=1)[1]]
    for head in rows.labels:
        assert whole[head].loss == pytest.approx(np.mean([reports[head].loss for reports in alone]), rel=1e-5)
        np.testing.assert_array_equal(whole[head].confusion, sum(reports[head].confusion for reports in alone))
        assert whole[head].support.sum() == 25
        assert training[0][head].support.sum() == 90  # of which the last batch has 2


def test_rows_without_a_label_count_for_nothing(rng):
    model, _ = make(dropout=0.0)
    rows = rows_of(rng, 20)
    labels = {**rows.labels, "chance": np.where(np.arange(20) < 5, -100, rows.labels["chance"])}
    some = evaluate(model, TokenisedRows(rows.sequences, labels))
    rest = evaluate(model, TokenisedRows(rows.sequences[5:], {h: y[5:] for h, y in rows.labels.items()}))
    assert some["high"].support.sum() == 20
    assert some["chance"].loss == pytest.approx(rest["chance"].loss, rel=1e-5)
    np.testing.assert_array_equal(some["chance"].confusion, rest["chance"].confusion)


def test_history_rows_are_flat_numbers():
    _, epochs, _ = train(epochs=2, callbacks=[task_gradients(3)])
    row = history_row(epochs[1])
    assert row["epoch"] == 2
    assert row["validation_high_macro_f1"] == epochs[1].validation["high"].macro_f1
    assert len(row) == 3 + 2 * 2 * 3 + 2 + 2  # and two gradient norms, a cosine, a share of conflict
    assert all(math.isfinite(value) for value in row.values())


def test_the_schedule_and_the_callback_are_called():
    seen, batches = [], []

    class Listener(Callback):
        def on_batch(self, number, batch, parallel, loss):
            assert parallel.model is model
            batches.append(number)

        def on_epoch(self, epoch):
            seen.append(epoch)
            epoch.more["seen"] = len(batches)

    rng = np.random.default_rng(0)
    model, optimizer = make()
    schedule = LambdaLR(optimizer, factor("linear", 2, 6))
    parts = rows_of(rng, 24), rows_of(rng, 8)
    epochs = fit(model, *parts, optimizer, settings(2), schedule=schedule, callbacks=[Listener()], rng=rng)
    assert seen == epochs
    assert [epoch.number for epoch in seen] == [1, 2]
    assert [history_row(epoch)["seen"] for epoch in seen] == [3, 6]
    assert batches == [0, 1, 2, 0, 1, 2]
    assert schedule.get_last_lr() == [0.0]


def test_an_optimizer_of_another_model_is_refused(rng):
    model, _ = make()
    _, optimizer = make()
    with pytest.raises(ValueError, match="build the optimizer after the model"):
        fit(model, rows_of(rng, 8), rows_of(rng, 8), optimizer, settings(), rng=rng)


def test_a_loss_that_is_not_finite_stops_the_run(rng):
    model, optimizer = make()
    model.encoder.norm.weight.data[0] = np.nan
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 1: the loss of high and chance became nan .* lower the"
    ):
        fit(model, rows_of(rng, 8), rows_of(rng, 8), optimizer, settings(), rng=rng)


class Poison(Callback):
    """Makes a head's bias infinite for one step, and remembers the weights before and after it."""

    def __init__(self, number: int) -> None:
        self.number, self.weights = number, []

    def on_start(self, training):
        self.training = training
        self.bias = training.model.heads["high"].bias

    def on_batch(self, number, batch, parallel, loss):
        self.now = number == self.number
        if self.now:
            self.weights.append({name: w.copy() for name, w in self.training.model.state_dict().items()})
            self.own = self.bias.data.copy()
            self.bias.data[0] = np.inf

    def on_step(self):
        if self.now:
            self.bias.data[...] = self.own
            self.weights.append({name: w.copy() for name, w in self.training.model.state_dict().items()})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_batch_that_is_not_finite_can_be_left_out_and_is_counted(rng):
    model, optimizer = make()
    poison = Poison(1)
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    epochs = fit(
        *(model, rows_of(rng, 24), rows_of(rng, 8), optimizer, settings(epochs=2, batch_size=8, on_nan="skip")),
        schedule=schedule,
        callbacks=[poison],
        rng=rng,
    )
    assert [epoch.skipped for epoch in epochs] == [1, 2]
    assert schedule.last_step == 6
    for before, after in (poison.weights[:2], poison.weights[2:]):
        for name, weights in before.items():
            np.testing.assert_array_equal(after[name], weights)
    assert all(np.isfinite(weights).all() for weights in model.state_dict().values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_that_is_not_finite_names_step_head_op_and_rows(rng):
    model, optimizer = make()
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 2: the loss of high became \w+ in the batch of"
    ) as error:
        fit(
            *(model, rows_of(rng, 24), rows_of(rng, 8), optimizer, settings(epochs=2, batch_size=8)),
            callbacks=[Poison(1)],
            rng=rng,
        )
    assert "training rows " in str(error.value)
    assert "heads.high.bias are not finite" in str(error.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_that_is_not_finite_stops_the_run_and_moves_nothing(rng):
    class Burst(Callback):
        def on_start(self, training):
            backward = training.parallel.backward

            def burst(*args, **kwargs):
                result = backward(*args, **kwargs)
                training.model.heads["high"].weight.grad[0, 0] = np.inf
                return result

            training.parallel.backward = burst

    model, optimizer = make()
    before = {name: weights.copy() for name, weights in model.state_dict().items()}
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 1: the gradient is not finite in the batch of training"
    ):
        fit(model, rows_of(rng, 8), rows_of(rng, 8), optimizer, settings(), callbacks=[Burst()], rng=rng)
    for name, weights in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], weights)


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


def tables(threads, sparse, kind, average=0.0, accumulate=1):
    """The embedding table after four epochs of 33 rows in batches of 8: the last batch has one row, for one thread."""
    rng = np.random.default_rng(1)
    model, _ = make(dropout=0.0)
    model.encoder.embedding.sparse = sparse
    how = settings(4, threads=threads, accumulate=accumulate, weight_average=average)
    fit(model, rows_of(rng, 33), rows_of(rng, 8), kind(model.parameters()), how, rng=rng)
    return model.encoder.embedding.weight.data


KINDS = {
    "Adam": lambda p: Adam(p, lr=3e-3, eps=1e-3),
    "Adam, decay": lambda p: Adam(p, lr=3e-3, eps=1e-3, weight_decay=0.1),
    "AdamW, decay": lambda p: AdamW(p, lr=3e-3, eps=1e-3, weight_decay=0.1),
    "SGD, momentum": lambda p: SGD(p, lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_row_gradients_train_as_full_ones_do_whatever_the_threads(kind, threads):
    """A large eps, so that rounding noise makes no full-sized steps."""
    options = {"average": 0.5, "accumulate": 2} if threads == 3 else {}
    found, expected = (tables(threads, sparse, KINDS[kind], **options) for sparse in (True, False))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    start, _ = make(dropout=0.0)
    assert np.abs(found - start.encoder.embedding.weight.data).max() > 1e-3


def test_threads_change_no_loss_without_dropout():
    """In float64, epoch after epoch, to the last digits; with dropout each number of threads draws its own."""

    def losses(threads, dropout):
        rng = np.random.default_rng(1)
        model, _ = make(dropout=dropout)
        model.to(np.float64)
        optimizer = AdamW(model.parameters(), lr=3e-3, eps=1e-3)
        how = settings(2, threads=threads)
        epochs = fit(model, rows_of(rng, 33), rows_of(rng, 9), optimizer, how, rng=rng)
        return [report.loss for epoch in epochs for part in (epoch.train, epoch.validation) for report in part.values()]

    one = losses(1, 0.0)
    for threads in (2, 3, 5):
        np.testing.assert_allclose(losses(threads, 0.0), one, rtol=0, atol=1e-12)
    assert losses(2, 0.5) == losses(2, 0.5) != losses(3, 0.5)


def test_a_fit_that_fails_leaves_the_next_one_as_it_was(rng):
    """A label that is no class; then the same model, put back, trains as if nothing had happened."""
    rows, few = rows_of(rng, 24), rows_of(rng, 8)
    wrong = TokenisedRows(
        rows.sequences, {**rows.labels, "high": np.where(np.arange(24) == 20, 9, rows.labels["high"])}
    )
    results = []
    for fails in (False, True):
        model, _ = make(dropout=0.3)
        start = {name: weights.copy() for name, weights in model.state_dict().items()}
        if fails:
            with pytest.raises((IndexError, ValueError)):
                fit(model, wrong, few, AdamW(model.parameters()), settings(threads=2), rng=np.random.default_rng(0))
            model.load_state_dict(start)
        fit(model, rows, few, AdamW(model.parameters()), settings(2, threads=2), rng=np.random.default_rng(0))
        results.append([weights.tobytes() for weights in model.state_dict().values()])
    assert results[0] == results[1]


def test_a_validation_head_without_any_label_is_refused_before_training(rng):
    model, optimizer = make()
    before = {name: weights.tobytes() for name, weights in model.state_dict().items()}
    few = rows_of(rng, 8)
    none = TokenisedRows(few.sequences, {**few.labels, "chance": np.full(8, -100)})
    with pytest.raises(ValueError, match="no validation row has a label for chance"):
        fit(model, rows_of(rng, 8), none, optimizer, settings(), rng=rng)
    assert {name: weights.tobytes() for name, weights in model.state_dict().items()} == before
    fit(model, none, few, optimizer, settings(), rng=rng)  # of the training rows it may be none


def test_the_default_data_is_synthetic_and_says_so():
    data, audit = read_data(None, None, {})
    assert audit.source.startswith("synthetic")
    assert set(data.classes) == {"sentiment", "engagement"}


# --- accumulation, task gradients, task weights, probe ---------------------------------------------------------------


@pytest.mark.parametrize("pieces", [2, 3, 50])
def test_accumulation_gives_the_numbers_of_one_large_batch(pieces):
    """The divisor is the whole batch's, so uneven pieces and rows without a label change nothing."""
    options = {"class_weights": {"chance": np.array([1.0, 3.0, 0.5])}, "threads": 2, "batch_size": 16}
    runs = []
    for accumulate in (1, pieces):
        rng = np.random.default_rng(1)
        rows = rows_of(rng, 90)
        labels = {**rows.labels, "chance": np.where(np.arange(90) % 3 == 0, -100, rows.labels["chance"])}
        model, _ = make(dropout=0.0)
        model.to(np.float64)
        optimizer = AdamW(model.parameters(), lr=3e-3, eps=1e-3)  # a large eps: no full-sized steps of rounding noise
        data = TokenisedRows(rows.sequences, labels), rows_of(rng, 30)
        how, compare = settings(2, accumulate=accumulate, **options), TaskGradients(("high", "chance"), 3, of=6)
        epochs = fit(model, *data, optimizer, how, callbacks=[compare], rng=rng)
        runs.append((model, epochs))
    (one, epochs), (many, again) = runs
    for name, weights in one.state_dict().items():
        np.testing.assert_allclose(many.state_dict()[name], weights, atol=1e-12, err_msg=name)
    for first, second in zip(epochs, again, strict=True):
        assert second.train["chance"].loss == pytest.approx(first.train["chance"].loss, abs=1e-12)
        assert len(first.more) == 4
        assert second.more == pytest.approx(first.more, abs=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("hidden", [0, 7])
def test_task_gradients_equal_those_of_separate_backward_passes(rng, threads, hidden):
    """By all the encoder's weights, weighted, whatever the threads; and nothing is left behind."""
    config = EncoderConfig(V, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, dropout=0.5)
    encoder = SentenceEncoder(config, rng=rng)
    model = MultiTaskModel(encoder, {"high": 2, "chance": 3}, 0.5, hidden, rng=rng).to(np.float64)
    encoder.embedding.freeze()
    rows = rows_of(rng, 13)
    labels = {**rows.labels, "chance": np.where(np.arange(13) < 4, -100, rows.labels["chance"])}
    (batch,) = length_batches(rows.sequences, labels, batch_size=13, pad_id=0)
    weights = {"high": 0.3, "chance": 2.0}
    compare = TaskGradients(("high", "chance"), 1, of=1)
    with DataParallel(model, threads) as parallel:
        compare.on_batch(0, batch, parallel, Loss(factors=weights))
    (gram,) = compare.grams
    assert all(p.grad is None for p in model.parameters())
    assert all(module.training for module in model.modules())

    model.eval()
    by_task = []
    for head, weight in weights.items():
        model.zero_grad()
        (model.losses(model(batch.ids, batch.attention_mask), batch.labels)[head] * weight).backward()
        by_task.append(np.concatenate([np.asarray(p.grad).ravel() for p in encoder.parameters() if p.requires_grad]))
    np.testing.assert_allclose(gram, [[a @ b for b in by_task] for a in by_task], rtol=1e-9)

    compare.grams.append(gram)
    means = compare.means()
    assert means["gradient_norm_chance"] == pytest.approx(np.linalg.norm(by_task[1]))
    cosine = by_task[0] @ by_task[1] / np.linalg.norm(by_task[0]) / np.linalg.norm(by_task[1])
    assert means["gradient_cosine_high_chance"] == pytest.approx(cosine)
    assert means["gradient_conflict_high_chance"] == float(cosine < 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_weighted_sum_of_losses_has_the_gradient_of_the_sum(rng, threads):
    model, _ = make(dropout=0.0)
    model.to(np.float64)
    rows = rows_of(rng, 13)
    (batch,) = length_batches(*rows, batch_size=13, pad_id=0)
    weights = {"high": 0.3, "chance": 2.0}
    with DataParallel(model, threads) as parallel:
        parallel.backward(batch, Loss(factors=weights), pieces=2)
    found = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    for head, weight in weights.items():
        (model.losses(model(batch.ids, batch.attention_mask), batch.labels)[head] * weight).backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad, atol=1e-14, err_msg=name)


def test_comparing_the_tasks_changes_nothing_else():
    with_, without = train(callbacks=[task_gradients(3)])[0], train()[0]
    for name, weights in with_.state_dict().items():
        np.testing.assert_array_equal(weights, without.state_dict()[name])


def test_a_step_without_a_label_says_nothing_about_the_cosine():
    grams = [np.array([[4.0, 0.0], [0.0, 0.0]]), np.array([[1.0, -2.0], [-2.0, 16.0]])]
    compare = TaskGradients(("a", "b"), 2, of=2)
    compare.grams = list(grams)
    assert compare.means() == {
        "gradient_norm_a": 1.5,
        "gradient_norm_b": 4.0,
        "gradient_cosine_a_b": -0.5,
        "gradient_conflict_a_b": 1.0,
    }
    compare.grams = grams[:1]
    assert math.isnan(compare.means()["gradient_cosine_a_b"])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.array([0.0, 1.0] * 3), "ndarray float64"),
        (np.array([True, False] * 3), "ndarray bool"),
        ([0, 1] * 3, "list"),
        (np.array(["a", "b"] * 3), "ndarray <U1"),
        (np.array([0, 1]), r"shape \(2,\)"),
        (np.array([[0, 1]] * 3), r"shape \(3, 2\)"),
        (np.array([0, 2, 3] * 2), "2, 3"),
        (np.array([0, -1] * 3), "-1"),
        (None, "missing"),
    ],
    ids=str,
)
def test_labels_that_are_no_integers_are_refused_by_head_and_kind(rng, labels, kind):
    model = MultiTaskModel(SentenceEncoder(EncoderConfig(9, hidden_size=8, num_heads=2), rng=rng), {"y": 2}, rng=rng)
    right = TokenisedRows([[1, 2]] * 6, {"y": np.array([0, 1] * 3)})
    wrong = TokenisedRows([[1, 2]] * 6, {} if labels is None else {"y": labels})
    for parts in ((wrong, right), (right, wrong)):
        with pytest.raises(
            InputError, match=rf"labels of y: {kind}; expected \{{'y': an array \(np.array\) of 6 integers, 0 to 1"
        ):
            fit(model, *parts, AdamW(model.parameters()), TrainingSettings(epochs=1, progress=False), rng=rng)
    texts = TokenisedRows(["a", "b"], {"y": np.array([0, 1])})
    for rows, kind in ((["a"], "list"), (None, "NoneType"), (texts, "texts")):
        with pytest.raises(InputError, match=rf"rows are {kind}; expected TokenisedRows\(encoder.tokenize\(texts\)"):
            fit(model, right, rows, AdamW(model.parameters()), TrainingSettings(epochs=1, progress=False), rng=rng)
    optimizer = AdamW(model.parameters())
    for name, value in (("epochs", 0), ("epochs", "3"), ("batch_size", 2.5), ("accumulate", 0)):
        settings = TrainingSettings(**{"epochs": 1, "progress": False, name: value})
        with pytest.raises(InputError, match=f"{name} must be at least 1, and a whole number, not {value!r}"):
            fit(model, right, right, optimizer, settings, rng=rng)
    settings = TrainingSettings(epochs=1, progress=False)
    with pytest.raises(InputError, match=r"as in fit\(model, train, validation, optimizer, settings\)"):
        fit(model, right, right, settings, optimizer, rng=rng)
    with pytest.raises(InputError, match=r"epochs must be at least 1, and a whole number, not {'epochs': 1}"):
        fit(model, right, right, optimizer, {"epochs": 1}, rng=rng)
    with pytest.raises(InputError, match=r"expected np.random.default_rng\(0\) as rng, not 0"):
        fit(model, right, right, optimizer, settings, rng=0)


def test_learned_task_weights_equal_torch(rng):
    """Total, the factor of every loss, the gradient of s, and three AdamW steps."""
    weights = TaskWeights(("a", "b"), learned=True)
    s = torch.zeros(2, requires_grad=True)
    optimizer = AdamW(weights.parameters(), lr=0.1, weight_decay=0.0)
    twin = torch.optim.AdamW([s], lr=0.1, weight_decay=0.0)
    for step in range(3):
        losses = dict(zip("ab", rng.random(2) + step, strict=True))
        values = torch.tensor(list(losses.values()), dtype=torch.float32, requires_grad=True)
        total = (torch.exp(-s) * values + s / 2).sum()
        twin.zero_grad()
        total.backward()
        ours = weights(Tensor(list(losses.values())))
        optimizer.zero_grad()
        ours.backward()
        assert ours.item() == pytest.approx(total.item(), abs=1e-6)
        assert list(weights.current().values()) == pytest.approx(values.grad.tolist(), abs=1e-6)
        np.testing.assert_allclose(weights.log_variance.grad, s.grad.numpy(), atol=1e-6)
        optimizer.step()
        twin.step()
        np.testing.assert_allclose(weights.log_variance.data, s.detach().numpy(), atol=1e-6)
    optimizer.zero_grad()
    weights(Tensor([1.0, 0.0])).backward()
    assert weights.log_variance.grad[1] == 0  # no label in the batch: nothing to learn from


def test_learned_task_weights_are_trained_and_logged(rng):
    model, _ = make()
    weights = TaskWeights(model.heads, learned=True)
    groups = [{"params": model.parameters()}, {"params": weights.parameters(), "lr": 0.05, "weight_decay": 0.0}]
    data = rows_of(rng, 60), rows_of(rng, 20)
    epochs = fit(model, *data, AdamW(groups), settings(2), task_weights=weights, rng=rng)
    assert history_row(epochs[-1])["task_weight_high"] == epochs[-1].task_weights["high"] != 1.0
    assert epochs[-1].task_weights["high"] > epochs[-1].task_weights["chance"]  # of which nothing can be learnt
    with pytest.raises(ValueError, match="log_variance"):
        fit(model, *data, AdamW(model.parameters()), settings(), task_weights=weights, rng=rng)


def test_fixed_task_weights_scale_the_gradient():
    weights = TaskWeights(("high", "chance"), {"chance": 0.0})
    assert weights.current() == {"high": 1.0, "chance": 0.0}
    without, both = (
        train(epochs=1, task_weights=w, callbacks=[task_gradients(3)])[1][0].more["gradient_norm_chance"]
        for w in (weights, None)
    )
    assert math.isnan(without)
    assert both > 0


def probe(monkeypatch, seed=0, epochs=3, **options):
    """A run of the heads alone, and how often the encoder ran in it."""
    calls = []
    token_embeddings = SentenceEncoder.token_embeddings

    def counted(self, ids, attention_mask):
        calls.append((len(ids), any(module.training for module in self.modules())))
        return token_embeddings(self, ids, attention_mask)

    monkeypatch.setattr(SentenceEncoder, "token_embeddings", counted)
    rng = np.random.default_rng(1)
    data = rows_of(rng, 90), rows_of(rng, 30)
    model, _ = make(seed, dropout=0.0)
    for module in model.encoder.modules():
        if isinstance(module, Dropout):
            module.p = 0.5
    model.encoder.freeze()
    optimizer = AdamW(model.parameters(), lr=3e-3)
    done = fit(model, *data, optimizer, settings(epochs, **options), rng=rng)
    monkeypatch.undo()
    return model, done, data, calls


def test_a_frozen_encoder_runs_once_for_each_row_and_without_dropout(monkeypatch):
    _, _, _, calls = probe(monkeypatch)
    assert sum(rows for rows, _ in calls) == 90 + 30
    assert not any(training for _, training in calls)


def test_no_speed_is_claimed_for_tokens_that_nobody_computed(monkeypatch):
    _, epochs, _, _ = probe(monkeypatch)
    assert [epoch.tokens_per_second for epoch in epochs] == [0, 0, 0]
    assert history_row(epochs[0])["tokens_per_second"] == 0
    assert train(epochs=1)[1][0].tokens_per_second > 0


@pytest.mark.parametrize("progress", [False, True])
def test_the_pass_of_a_frozen_encoder_shows_a_bar_off_a_terminal_too(monkeypatch, capsys, progress):
    notes = []  # of the epoch's bar
    monkeypatch.setattr(tqdm, "set_postfix_str", lambda self, note, refresh: notes.append(note))
    probe(monkeypatch, epochs=1, progress=progress)
    shown = capsys.readouterr().err
    assert ("90/90" in shown) == ("30/30" in shown) == ("epoch 1/1" in shown) == progress
    assert len(notes) == 12
    assert all(re.fullmatch(r"loss \d\.\d{3}", note) for note in notes)


def test_the_probe_gives_what_torch_gives_with_the_encoder_frozen(monkeypatch):
    """torch, `requires_grad_(False)`, running its encoder (in eval mode) on every batch of every epoch."""
    model, epochs, data, _ = probe(monkeypatch)
    start, _ = make(dropout=0.0)
    twin = TorchMultiTask(start).eval()
    twin.requires_grad_(False)
    twin.heads.requires_grad_(True)
    optimizer = torch.optim.AdamW(twin.heads.parameters(), lr=3e-3)
    rng = np.random.default_rng(1)
    rows_of(rng, 90), rows_of(rng, 30)
    states = []
    for epoch in epochs:
        losses = dict.fromkeys(data[0].labels, 0.0)
        for batch in length_batches(*data[0], batch_size=8, pad_id=0, rng=rng):
            logits = twin(torch.tensor(batch.ids), torch.tensor(batch.attention_mask))
            parts = {head: TF.cross_entropy(logits[head], torch.tensor(batch.labels[head])) for head in losses}
            optimizer.zero_grad()
            sum(parts.values()).backward()
            torch.nn.utils.clip_grad_norm_(twin.heads.parameters(), 1.0)
            optimizer.step()
            for head, loss in parts.items():
                losses[head] += loss.item() * len(batch)
        for head, total in losses.items():
            assert epoch.train[head].loss == pytest.approx(total / 90, abs=1e-5)
        states.append({name: p.detach().clone() for name, p in twin.heads.named_parameters()})
    for name, weights in states[best_epoch(epochs).number - 1].items():
        np.testing.assert_allclose(model.state_dict()[f"heads.{name}"], weights.numpy(), atol=1e-5)


def test_the_probe_is_judged_by_what_the_model_then_gives(monkeypatch):
    model, epochs, (_, validation), _ = probe(monkeypatch, weight_average=0.5)
    again = evaluate(model, validation)
    for head, report in best_epoch(epochs).validation.items():
        assert again[head].loss == pytest.approx(report.loss, abs=1e-6)
        np.testing.assert_array_equal(again[head].confusion, report.confusion)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balanced", "expected class_weights by head, as .*, not 'balanced'"),
        ({"y": [1, 2]}, r"class_weights of y, \[1, 2\]: expected an np.array of shape \(2,\)"),
        ({"y": np.ones(3)}, r"class_weights of y, array.*: expected an np.array of shape \(2,\)"),
        ({"z": np.ones(2)}, "class_weights of z, array.*: expected one of the heads y"),
    ],
    ids=["a word", "a list", "three", "another head"],
)
def test_class_weights_that_cannot_be_used_are_refused_by_head(rng, weights, message):
    model = MultiTaskModel(SentenceEncoder(EncoderConfig(9, hidden_size=8, num_heads=2), rng=rng), {"y": 2}, rng=rng)
    rows, how = TokenisedRows([[1, 2]] * 6, {"y": np.array([0, 1] * 3)}), TrainingSettings(1, class_weights=weights)
    with pytest.raises(InputError, match=message):
        fit(model, rows, rows, AdamW(model.parameters()), how, rng=rng)


def test_labels_without_a_head_are_refused(rng):
    model = MultiTaskModel(SentenceEncoder(EncoderConfig(9, hidden_size=8, num_heads=2), rng=rng), {"y": 2}, rng=rng)
    right, wrong = (TokenisedRows([[1, 2]] * 6, labels) for labels in ({"y": np.array([0, 1] * 3)}, np.zeros(6, int)))
    with pytest.raises(InputError, match=r"labels of y: missing; expected \{'y': an array"):
        fit(model, wrong, right, AdamW(model.parameters()), settings(), rng=rng)
