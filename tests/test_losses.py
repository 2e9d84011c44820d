"""Losses: cross_entropy with class weights, label smoothing and ignored rows, all together, against its plain twin.

`test_ops_torch.py` holds the same combinations to torch's.
"""

import numpy as np
import pytest

from minitx.autograd import functional as F, losses
from minitx.autograd.tensor import Tensor
from minitx.learn import plain
from minitx.learn.gradcheck import gradcheck

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(9, 4)) * 3
TARGET = np.array([0, 3, -100, 1, 1, 2, -100, 0, 3])
WEIGHT = np.array([0.2, 1.7, 3.1, 0.6])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT, np.array([0, 1.0, 2, 0])], ids=["even", "weights", "zero weights"])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_all_options_together(smoothing, weight, ignore_index):
    target = np.where(TARGET == -100, ignore_index, TARGET)
    x, copy = Tensor(LOGITS, requires_grad=True), Tensor(LOGITS, requires_grad=True)
    loss = F.cross_entropy(x, target, weight, ignore_index, smoothing)
    expected = plain.cross_entropy(copy, target, 1.0 if weight is None else weight, ignore_index, smoothing)
    assert loss.shape == expected.shape == ()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward(-1.7)
    expected.backward(-1.7)
    np.testing.assert_allclose(x.grad, copy.grad, rtol=1e-11, atol=1e-14)


def test_numerically_with_everything():
    x = Tensor(LOGITS, requires_grad=True)
    assert gradcheck(lambda x: F.cross_entropy(x, TARGET, WEIGHT, label_smoothing=0.1), x, atol=1e-9, rtol=1e-6)


def test_an_ignored_row_counts_for_nothing():
    x = Tensor(LOGITS, requires_grad=True)
    loss = F.cross_entropy(x, TARGET, WEIGHT, label_smoothing=0.1)
    loss.backward()
    assert not x.grad[TARGET == -100].any()
    kept = TARGET != -100
    assert loss.item() == pytest.approx(
        F.cross_entropy(Tensor(LOGITS[kept]), TARGET[kept], WEIGHT, label_smoothing=0.1).item(), rel=1e-14
    )


@pytest.mark.parametrize("rows", [0, 3])
def test_no_row_left_gives_0_where_torch_gives_nan(rows):
    x = Tensor(LOGITS[:rows], requires_grad=True)
    loss = F.cross_entropy(x, np.full(rows, -100), WEIGHT, label_smoothing=0.1)
    loss.backward()
    assert loss.item() == 0 == plain.cross_entropy(x, np.full(rows, -100), WEIGHT, label_smoothing=0.1).item()
    assert x.grad.shape == (rows, 4)
    assert not x.grad.any()


def test_the_weighted_mean_divides_by_the_weights_that_were_used():
    """Not by the number of rows: scaling all weights changes nothing."""
    x = Tensor(LOGITS)
    assert F.cross_entropy(x, TARGET, WEIGHT).item() == pytest.approx(F.cross_entropy(x, TARGET, 7 * WEIGHT).item())
    assert F.cross_entropy(x, TARGET, WEIGHT).item() != pytest.approx(F.cross_entropy(x, TARGET).item(), rel=1e-3)


def test_a_uniform_guess_costs_ln_c():
    x = Tensor(np.zeros((5, 7)))
    target = np.arange(5)
    for smoothing in (0, 0.3):
        assert F.cross_entropy(x, target, label_smoothing=smoothing).item() == pytest.approx(np.log(7))


@pytest.mark.parametrize("target", [[4], [-1], [-100, 99]])
def test_a_target_that_is_no_class_is_refused(target):
    with pytest.raises(IndexError, match="targets must be integers, the classes 0 to 3 or -100, not"):
        F.cross_entropy(Tensor(LOGITS[: len(target)]), np.array(target))


def test_targets_may_be_a_list(rng):
    x = rng.normal(size=(3, 4))
    results = []
    for target in ([0, 2, -100], (0, 2, -100), np.array([0, 2, -100])):
        logits = Tensor(x, requires_grad=True)
        loss = F.cross_entropy(logits, target)
        loss.backward()
        results.append((loss.item(), logits.grad.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("target", "how"),
    [([0, 1], {}), ([[0], [1], [2]], {}), (np.zeros((3, 5)), {}), ([0, 1, 2], {"label_smoothing": 2})],
)
def test_targets_and_smoothing_that_fit_no_row_are_refused(target, how):
    with pytest.raises(ValueError, match=r"expected targets \(N,\) or \(N, C\) for logits \(3, 4\)"):
        F.cross_entropy(Tensor(np.zeros((3, 4))), np.array(target), **how)


@pytest.mark.parametrize("loss", [losses.mse_loss, losses.binary_cross_entropy_with_logits])
def test_a_target_of_another_shape_is_refused_not_broadcast(loss):
    with pytest.raises(ValueError, match=r"expected a target of shape \(9, 4\), as the predictions, not \(4,\)"):
        loss(Tensor(LOGITS), WEIGHT)


def test_binary_cross_entropy_far_out_and_by_its_target():
    x = Tensor(np.array([-800.0, 0.0, 40.0, 800.0]), requires_grad=True)
    y = Tensor(np.array([0.0, 1.0, 1.0, 0.5]), requires_grad=True)
    loss = losses.binary_cross_entropy_with_logits(x, y, weight=4, pos_weight=3)
    loss.backward()
    assert loss.item() == pytest.approx(3 * np.log(2) + 3 * np.exp(-40) + 400, rel=1e-15)
    np.testing.assert_allclose(x.grad, [0, -1.5, -3 * np.exp(-40), 0.5], rtol=1e-12)
    np.testing.assert_allclose(y.grad, [2 * 800 + 800, 2 * np.log(2), 2 * np.exp(-40) - 40, -800], rtol=1e-12)


def test_what_comes_first_is_said():
    wrong = (TARGET, Tensor(LOGITS)), (LOGITS, TARGET), (Tensor(LOGITS[0]), 3), (Tensor(np.zeros((2, 4, 3))), TARGET)
    for given in wrong:
        with pytest.raises((TypeError, ValueError), match=r"logits \(N, C\) first, a Tensor of floats, not"):
            F.cross_entropy(*given)
