"""Heads for classes in an order: torch's likelihood, probabilities that add up, and what an order is good for."""

import numpy as np
import pytest
import torch
from torch.nn import functional as TF

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.heads import log_sigmoid, new_head
from minitx.training.optim import Adam

LABELS = np.array([0, 1, 2, 3, 4, 4, 0])


def head_of(kind, classes=5, hidden=0, seed=0):
    return new_head(kind, 6, hidden, classes, 0.0, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("kind", ["softmax", "ordinal", "corn"])
def test_a_new_head_finds_all_classes_equally_likely(kind, classes, hidden):
    logits = head_of(kind, classes, hidden)(Tensor(np.zeros((2, 6), np.float32)))
    assert logits.shape == (2, classes)
    np.testing.assert_allclose(F.softmax(logits).data, 1 / classes, atol=0.02 if hidden else 1e-6)  # MLPs have biases


@pytest.mark.parametrize("kind", ["ordinal", "corn"])
def test_probabilities_of_an_order_add_up_to_one_however_large_the_score(kind, rng):
    head = head_of(kind)
    for scale in (1, 100, 1e4):
        log_p = head(Tensor(scale * rng.normal(size=(50, 6)).astype(np.float32))).data
        assert np.isfinite(log_p).all()
        np.testing.assert_allclose(np.exp(log_p.astype(float)).sum(axis=1), 1, atol=2e-5)


def test_cumulative_logits_are_torchs(rng):
    """Differences of sigmoids, written as the formula says, in float64; gradients of every parameter too."""
    head, x = head_of("ordinal").to(np.float64), rng.normal(size=(7, 6))
    head.roots.data[:] = rng.normal(size=3)
    F.cross_entropy(head(Tensor(x)), LABELS).backward()

    weight, bias = (torch.tensor(p.data, requires_grad=True) for p in (head.body.weight, head.body.bias))
    first, roots = (torch.tensor(p.data, requires_grad=True) for p in (head.first, head.roots))
    cuts = torch.cat([first, first + torch.cumsum(roots**2 + 1e-6, 0)])
    below = torch.sigmoid(cuts - (torch.tensor(x) @ weight.T + bias))
    edges = torch.cat([torch.zeros(7, 1), below, torch.ones(7, 1)], dim=1)
    loss = -torch.log(edges.diff(dim=1)[range(7), LABELS]).mean()
    loss.backward()
    assert F.cross_entropy(head(Tensor(x)), LABELS).item() == pytest.approx(loss.item(), abs=1e-12)
    for ours, theirs in zip(
        (head.body.weight, head.body.bias, head.first, head.roots), (weight, bias, first, roots), strict=True
    ):
        np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), atol=1e-10)


def test_cuts_that_are_close_lose_no_digits():
    """P(y = 1) = σ(b) σ(-a) (1 - exp(-gap)): in float32, 1 - exp(-gap) would have few digits left."""
    for root in (0.0, 1e-4, 1e-3, 1e-2, 1.0, 5.0):
        head = head_of("ordinal", 3)
        head.roots.data[:] = root
        cut, gap = float(head.first.data[0]), float(np.float32(root) ** 2 + np.float32(1e-6))
        score = head.body(Tensor(np.zeros((1, 6), np.float32))).data.item()
        low, high = (1 / (1 + np.exp(-np.float64(c - score))) for c in (cut, cut + gap))
        expected = high * (1 - low) * -np.expm1(-gap)
        assert np.exp(head(Tensor(np.zeros((1, 6), np.float32))).data[0, 1]) == pytest.approx(expected, rel=1e-5)


def test_corn_is_the_sum_of_the_questions_a_row_was_asked(rng):
    """Shi, Cao & Raschka 2023: question k is asked of the rows that reached k, with a binary cross-entropy."""
    head, x = head_of("corn").to(np.float64), rng.normal(size=(7, 6))
    z = torch.tensor(x) @ torch.tensor(head.body.weight.data).T + torch.tensor(head.body.bias.data)
    total = 0.0
    for k in range(4):
        asked = k <= LABELS
        further = torch.tensor((k < LABELS)[asked], dtype=torch.float64)
        total += TF.binary_cross_entropy_with_logits(z[asked, k], further, reduction="sum").item()
    assert F.cross_entropy(head(Tensor(x)), LABELS).item() == pytest.approx(total / 7, abs=1e-12)


def test_log_sigmoid_is_torchs():
    x = np.array([-1e4, -100.0, -3, 0, 3, 100, 1e4])
    np.testing.assert_allclose(
        log_sigmoid(Tensor(x)).data, TF.logsigmoid(torch.tensor(x)).numpy(), rtol=1e-12, atol=1e-40
    )


def test_an_order_learns_its_cuts():
    """Stars by a score that only an order explains with one weight vector; the cuts end up in ascending order."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 6)).astype(np.float32)
    stars = np.digitize(2 * x[:, 0] + rng.logistic(size=600), [-2, -1, 1, 2])
    head = head_of("ordinal")
    optimizer = Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(head(Tensor(x)), stars).backward()
        optimizer.step()
    weights = head.body.weight.data[0]
    assert abs(weights[0] - 2) < 0.4
    assert np.abs(weights[1:]).max() < 0.3
    cuts = head.first.data + np.concatenate([[0], np.cumsum(head.roots.data**2)]) - head.body.bias.data
    np.testing.assert_allclose(cuts, [-2, -1, 1, 2], atol=0.5)


@pytest.mark.parametrize(("kind", "classes"), [("other", 3), ("ordinal", 1), ("corn", 1)])
def test_what_is_no_order_is_refused(kind, classes):
    with pytest.raises(InputError, match=f"kind '{kind}' with {classes} classes: kinds are softmax, ordinal, corn"):
        head_of(kind, classes)
