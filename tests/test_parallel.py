"""Threads change how long a step takes and nothing else."""

import dataclasses

import numpy as np
import pytest
import torch
from reference import ragged_mask
from torch.nn import functional as TF

from minitx.autograd.context import Run, current
from minitx.autograd.rows import RowGradient
from minitx.data.batches import Batch
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training import parallel as parallel_module
from minitx.training.parallel import DataParallel, Loss

B, T, V = 7, 9, 20


@pytest.fixture
def batch(rng):
    mask = ragged_mask([9, 2, 5, 1, 1, 3, 2], T)
    labels = {"mood": np.array([0, 2, -100, 1, 2, 2, -100]), "topic": np.array([1, 0, 0, 1, 1, 0, 1])}
    return Batch(np.where(mask, rng.integers(1, V, size=(B, T)), 0), mask, labels, np.arange(B))


def make(dropout=0.0, dtype=np.float32):
    rng = np.random.default_rng(0)
    config = EncoderConfig(V, hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, dropout=dropout)
    return MultiTaskModel(SentenceEncoder(config, rng=rng), {"mood": 3, "topic": 2}, dropout, rng=rng).to(dtype)


def gradients_with(threads, batch, loss=None):
    model = make(dtype=np.float64)
    with DataParallel(model, threads) as parallel:
        logits, losses = parallel.backward(batch, loss)
    return logits, losses, {name: np.asarray(p.grad) for name, p in model.named_parameters()}


@pytest.mark.parametrize("threads", [2, 3, 8, 12])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tokens", [1, 20, 512])
def test_any_number_of_threads_gives_the_same_loss_and_gradients(batch, threads, weighted, tokens, monkeypatch):
    """Uneven shares, more threads than rows, many shares a thread, rows without a label, class weights, smoothing."""
    loss = Loss({"mood": np.array([1.0, 5.0, 0.5])}, label_smoothing=0.1) if weighted else Loss()
    expected, expected_losses, expected_gradients = gradients_with(1, batch, loss)
    monkeypatch.setattr(parallel_module, "TOKENS_PER_SHARE", tokens)
    logits, losses, gradients = gradients_with(threads, batch, loss)
    for head in expected:
        np.testing.assert_allclose(logits[head], expected[head], atol=1e-12)
        assert losses[head] == pytest.approx(expected_losses[head], abs=1e-12)
        target = torch.tensor(batch.labels[head])
        weight = torch.tensor(loss.class_weights["mood"]) if weighted and head == "mood" else None
        reference = TF.cross_entropy(torch.tensor(logits[head]), target, weight, label_smoothing=loss.label_smoothing)
        assert losses[head] == pytest.approx(reference.item(), abs=1e-12)
    for name, gradient in expected_gradients.items():
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-12, err_msg=name)
        assert gradient.any() or name.endswith("key.bias")


def test_a_fixed_number_of_threads_gives_the_same_bits(batch):
    runs = []
    for _ in range(2):
        model = make(dropout=0.2)
        with DataParallel(model, 3) as parallel:
            losses = [parallel.backward(batch).losses for _ in range(3)]
        assert losses[0] != losses[1]  # dropout masks are drawn anew each time
        runs.append((losses, [np.asarray(p.grad).tobytes() for p in model.parameters()]))
    assert runs[0] == runs[1]


def test_what_came_before_does_not_matter(batch):
    """Nothing of an earlier batch is left in the threads, nor a weight array that has been replaced."""
    expected = gradients_with(1, batch)[2]
    model = make(dtype=np.float64)
    with DataParallel(model, 1) as alone:
        alone.backward(batch)
    with DataParallel(model, 3) as parallel:
        for parameter in model.parameters():
            parameter.data = np.asfortranarray(parameter.data)
        model.zero_grad()
        parallel.backward(batch)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(parameter.grad, expected[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_batch_that_fails_leaves_nothing_behind(batch, threads, pieces):
    """A label that is no class fails in the last share of a thread, when the others have their gradients already."""
    expected = gradients_with(threads, batch)[2]
    wrong = dataclasses.replace(batch, labels={**batch.labels, "mood": np.array([0, 2, 1, 1, 2, 2, 99])})
    model = make(dtype=np.float64)
    with DataParallel(model, threads) as parallel:
        for _ in range(2):
            with pytest.raises((IndexError, ValueError)):
                parallel.backward(wrong, pieces=pieces)
            assert all(p.grad is None for p in model.parameters())
        parallel.backward(batch)
    assert current() == Run()
    for name, parameter in model.named_parameters():
        assert np.asarray(parameter.grad).tobytes() == expected[name].tobytes(), name


def test_gradients_are_handed_out_and_not_written(batch):
    """And they are the caller's: writing into them, or into .grad, changes nothing else."""
    model = make(dtype=np.float64)
    with DataParallel(model, 2) as parallel:
        result, sums = parallel.gradients(batch)
        assert all(p.grad is None for p in model.parameters())
        assert set(sums) == set(model.parameters())
        parallel.backward(batch)
        parallel.backward(batch)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            np.asarray(parameter.grad), 2 * np.asarray(sums[parameter]), atol=1e-14, err_msg=name
        )
    assert set(result.losses) == {"mood", "topic"}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_tables_gradient_stays_rows_over_threads_and_batches(batch, threads):
    model = make()
    with DataParallel(model, threads) as parallel:
        parallel.backward(batch)
        parallel.backward(batch)
    gradient = model.encoder.embedding.weight.grad
    assert isinstance(gradient, RowGradient)
    assert set(gradient.rows) <= set(batch.ids.ravel())


def test_dropout_of_the_same_seed_and_threads_is_the_same_and_another_threads_count_is_not(batch):
    def losses(threads, seed):
        model = make(dropout=0.5)
        with DataParallel(model, threads, np.random.default_rng(seed)) as parallel:
            return [parallel.backward(batch).losses for _ in range(2)]

    assert losses(2, 0) == losses(2, 0)
    assert losses(2, 0) != losses(2, 1)
    assert losses(2, 0) != losses(3, 0)


def test_threads_follow_freezing_and_mode(batch):
    model = make(dropout=0.5)
    with DataParallel(model, 3) as parallel:
        model.encoder.freeze()
        model.eval()
        first = parallel.backward(batch).losses
        second = parallel.backward(batch).losses
    assert first == second  # no dropout in eval mode
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for head in model.heads.values() for p in head.parameters())


def test_an_encoder_in_eval_mode_is_so_in_every_thread(batch):
    """What `fit` does with a frozen encoder: no dropout in it, though the model trains."""
    model = make(dropout=0.5)
    model.dropout.p = 0.0
    with DataParallel(model, 3) as parallel:
        model.train()
        model.encoder.eval()
        first, second = (parallel.backward(batch).losses for _ in range(2))
    assert first == second
