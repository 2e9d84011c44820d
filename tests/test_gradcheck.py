"""The checker must fail when it should, say where, and name the mistake; and not name one that is none."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minitx.autograd import functional as F
from minitx.autograd.context import no_grad
from minitx.autograd.tensor import Tensor, where
from minitx.errors import InputError
from minitx.learn import cases, selfcheck
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError, compare
from minitx.nn.layers import Linear

pytestmark = pytest.mark.quick


def leaf(*shape, seed=0, dtype=np.float64):
    return Tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), requires_grad=True, dtype=dtype)


def op(forward, *derivatives):
    """An op of the given forward and one derivative for each input, `derivative(dy, *arrays)`."""

    def made(*inputs):
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        return Tensor.from_op(
            forward(*arrays), tuple(tensors), lambda dy: tuple(derivative(dy, *arrays) for derivative in derivatives)
        )

    return made


def failure(func, *inputs, **options):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(func, inputs, **options)
    assert not gradcheck(func, inputs, raise_exception=False, **options)
    return str(caught.value)


# -- one deliberately wrong op for each diagnosis -------------------------------------------------------------

a34, a44, row, scalar = leaf(3, 4), leaf(4, 4, seed=1), leaf(4, seed=2), leaf(seed=3)
ragged = np.arange(4) < np.array([4, 2, 1])[:, None]

WRONG = {
    # name: (op, inputs, position of the wrong gradient, what the message must say)
    "sign": (op(lambda x: -x, lambda dy, x: dy), (a34,), 0, "looks like a wrong sign$"),
    "sign of a scalar": (op(lambda x: -np.exp(x), lambda dy, x: dy * np.exp(x)), (scalar,), 0, "a wrong sign$"),
    "missing sum, first row": (
        op(lambda x, b: x + b, lambda dy, x, b: dy, lambda dy, x, b: dy[0]),
        (a34, row),
        1,
        "a missing sum over axis 0 of the result, of size 3: only element 0 arrives$",
    ),
    "missing sum, last column": (
        op(lambda x, w: x * w, lambda dy, x, w: dy * w, lambda dy, x, w: (dy * x)[:, -1:]),
        (a34, leaf(3, 1)),
        1,
        "a missing sum over axis 1 of the result, of size 4: only element -1 arrives$",
    ),
    "missing sum, a mean": (
        op(lambda x, b: x + b, lambda dy, x, b: dy, lambda dy, x, b: dy.mean(axis=0)),
        (a34, row),
        1,
        "a missing sum over axis 0 of the result, of size 3 .a mean in its place.*numeric = 3 analytic",
    ),
    "missing sum over two axes": (
        op(lambda x, b: x + b, lambda dy, x, b: dy, lambda dy, x, b: dy.mean()),
        (a34, scalar),
        1,
        r"a missing sum over axes \(0, 1\) of the result .*numeric = 12 analytic",
    ),
    "missing sum of a product": (
        op(lambda x, w: x @ w.T, lambda dy, x, w: dy @ w, lambda dy, x, w: dy.T @ x / 3),
        (a34, leaf(5, 4)),
        1,
        "a missing sum over axis 0 of the result, of size 3",
    ),
    "missing mean": (
        op(lambda x: x.mean(axis=1), lambda dy, x: np.broadcast_to(dy[:, None], x.shape)),
        (a34,),
        0,
        "a missing mean, 1 / 4 for the size of axis 1: numeric = 0.25 analytic",
    ),
    "missing mean of all": (
        op(lambda x: x.mean(), lambda dy, x: np.broadcast_to(dy, x.shape)),
        (a34,),
        0,
        "a missing mean, 1 / 12 for the size of the reduced axes",
    ),
    "sign and mean": (
        op(lambda x: -x.mean(axis=0), lambda dy, x: np.broadcast_to(dy, x.shape)),
        (a34,),
        0,
        "a wrong sign and a missing mean, 1 / 3 for the size of axis 0",
    ),
    "constant factor": (
        op(lambda x: x**3, lambda dy, x: dy * x**2),
        (a34,),
        0,
        "looks like a missing constant factor: numeric = 3 analytic everywhere$",
    ),
    "constant factor of a scalar": (
        op(lambda x: x**2, lambda dy, x: dy * x),
        (scalar,),
        0,
        "looks like a missing constant factor: numeric = 2 analytic everywhere .half of a product rule.*$",
    ),
    "transpose": (
        op(lambda x: x.T * 2, lambda dy, x: 2 * dy),
        (a44,),
        0,
        "looks like a transpose: with axes 0 and 1 swapped it is right$",
    ),
    "transpose of a batch": (
        op(lambda x, w: x @ w.swapaxes(-1, -2), lambda dy, x, w: dy @ w, lambda dy, x, w: x.swapaxes(-1, -2) @ dy),
        (leaf(2, 4, 4), leaf(2, 4, 4, seed=1)),
        1,
        "looks like a transpose: with axes 1 and 2 swapped it is right$",
    ),
    "missing factor, the result": (
        op(np.exp, lambda dy, x: dy),
        (a34,),
        0,
        "looks like a missing chain factor: times the result it is right$",
    ),
    "missing factor, another input": (
        op(lambda x, w: x * w, lambda dy, x, w: dy, lambda dy, x, w: dy * x),
        (a34, leaf(3, 4, seed=5)),
        0,
        "looks like a missing chain factor: times input 1 it is right$",
    ),
    "missing factor, the inside": (
        op(np.tanh, lambda dy, x: dy),
        (a34,),
        0,
        r"looks like a missing chain factor: times \(1 - the result squared\) it is right$",
    ),
    "missing factor of a scalar": (
        op(np.log, lambda dy, x: dy),
        (scalar,),
        0,
        "looks like a missing chain factor: times 1 / input 0 it is right$",
    ),
    "missing dy": (
        op(np.exp, lambda dy, x: np.exp(x)),
        (a34,),
        0,
        r"looks like a missing chain factor dy: backward\(2 dy\) is not 2 backward\(dy\)$",
    ),
    "missing dy in one term": (
        op(lambda x: x * np.sin(x), lambda dy, x: dy * np.sin(x) + x * np.cos(x)),
        (a34,),
        0,
        "a missing chain factor dy",
    ),
    "zero": (op(np.exp, lambda dy, x: np.zeros_like(x)), (a34,), 0, "looks like a zero gradient"),
    "left the graph": (lambda x, w: x * Tensor(w.data), (a34, row), 1, "looks like a zero gradient: .*\\.data"),
    "mask ignored": (
        op(lambda x: x * ragged, lambda dy, x: dy),
        (a34,),
        0,
        r"a mask ignored: 5 elements, \(1, 2\) first, do not count in the result but get gradients",
    ),
    "mask ignored where a mean is masked": (
        op(
            lambda x: (x * ragged).sum(1) / ragged.sum(1),
            lambda dy, x: np.broadcast_to((dy / ragged.sum(1))[:, None], x.shape),
        ),
        (a34,),
        0,
        "a mask ignored: 5 elements",
    ),
    "does not depend on it": (
        op(lambda x, w: x * 1.0, lambda dy, x, w: dy, lambda dy, x, w: dy),
        (a34, leaf(3, 4)),
        1,
        "a mask ignored: the result does not depend on this input at all",
    ),
    "gradient that does not arrive": (
        op(lambda x: x * 2, lambda dy, x: 2 * dy * (np.arange(4) < 3)),
        (a34,),
        0,
        "looks like a gradient that does not reach 3 elements; all others are right$",
    ),
    "not a number": (
        op(lambda x: np.maximum(x, 0.0), lambda dy, x: dy * np.where(x > 1, np.nan, 1)),
        (a34,),
        0,
        "looks like a derivative that is not finite",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_names_the_mistake(name):
    func, inputs, position, expected = WRONG[name]
    message = failure(func, *inputs)
    assert f"failed for input {position}, shape {inputs[position].shape}" in message
    with pytest.raises(GradcheckError, match=f"(?s){expected}"):
        gradcheck(func, inputs)
    assert message.count("looks like") == 1
    assert ", or " not in message, "one mistake, one explanation"
    assert "random projection" in failure(func, *inputs, fast_mode=True)


def relu_at_0(x):
    return F.relu(x) * 3


def test_a_kink_is_not_a_mistake_of_the_op():
    x = Tensor(np.array([[1.0, -2], [0, 4]]), requires_grad=True)
    message = failure(relu_at_0, x)
    assert "1 of 4 elements differ" in message
    assert "worst at (1, 0)" in message
    assert "looks like a kink: at (1, 0) the slope is" in message
    right, left = (float(message.split(part)[0].split()[-1]) for part in (" to the right", " to the left"))
    assert {round(abs(right), 1) > 0, round(abs(left), 1) > 0} == {True, False}


def test_a_kink_nearby_is_seen_too():
    x = Tensor(np.array([1.0, 3e-7, 2]), requires_grad=True)
    assert "looks like a kink: at (1,)" in failure(lambda x: x.abs(), x)


def test_a_kink_does_not_hide_another_mistake():
    wrong = op(lambda x: np.maximum(x, 0) * 2, lambda dy, x: dy * (x > 0))
    x = Tensor(np.array([1.0, -2, 0, 4]), requires_grad=True)
    assert failure(wrong, x).endswith("looks like a missing constant factor: numeric = 2 analytic everywhere")


def test_a_strong_curve_is_not_a_kink():
    x = Tensor(np.array([3e-5, 1e-4]), requires_grad=True)
    wrong = op(lambda x: x**-1.0, lambda dy, x: dy * x**-2.0)
    assert "kink" not in failure(wrong, x, eps=1e-6)


# -- and none where none fits ---------------------------------------------------------------------------------

NO_KNOWN_MISTAKE = {
    "noise": (op(np.exp, lambda dy, x: dy * np.exp(x) * (1 + 0.1 * np.sin(37 * x))), (a34,)),
    "another function": (op(np.sin, lambda dy, x: dy * np.cos(x + 0.3)), (a34,)),
    "softmax as if elementwise": (
        op(lambda x: np.exp(x) / np.exp(x).sum(), lambda dy, x: dy * np.exp(x) / np.exp(x).sum()),
        (a34,),
    ),
    "one wrong element": (op(np.exp, lambda dy, x: dy * np.exp(x) * (1 + 0.2 * (np.arange(4) == 2))), (a34,)),
    "axis size by chance in one element": (op(lambda x: x**1.5, lambda dy, x: dy * x**0.4), (leaf(1, seed=4),)),
    "scatter that forgets repeats": (
        op(lambda w: w[[0, 2, 2]], lambda dy, w: np.stack([dy[0], 0 * dy[0], dy[2]])),
        (leaf(3, 4),),
    ),
}


@pytest.mark.parametrize("name", NO_KNOWN_MISTAKE)
def test_says_so_when_no_known_mistake_fits(name):
    func, inputs = NO_KNOWN_MISTAKE[name]
    assert failure(func, *inputs).endswith("\n  no known mistake fits")


def test_a_factor_that_is_an_axis_only_by_chance_is_not_called_a_sum():
    """x² without its 2, on two rows: elementwise ops have no axis to sum over."""
    assert "sum" not in failure(op(lambda x: x * x, lambda dy, x: dy * x), leaf(2, 3))


# -- the report -----------------------------------------------------------------------------------------------


def test_reports_where_and_by_how_much():
    x, w = leaf(3, 4), leaf(4, seed=1)
    wrong = op(lambda x, w: x * w, lambda dy, x, w: dy * w, lambda dy, x, w: (dy * x).sum(0) * [1, 1, 2, 1])
    message = failure(wrong, x, w)
    assert "failed for input 1, shape (4,): 1 of 4 elements differ" in message
    assert "worst at (2,)" in message
    analytic, numeric, ratio = (float(message.split(f"{name} ")[1].split()[0].strip(",")) for name in FIELDS)
    assert analytic / numeric == pytest.approx(2)
    assert ratio == pytest.approx(2)


FIELDS = ("analytic", "numeric", "ratio")


def test_the_position_counts_all_arguments():
    ids = np.array([0, 2, 2])
    wrong = op(lambda ids, w: w[ids], lambda dy, ids, w: np.stack([dy[0], dy[0] * 0, dy[1] * 2 + dy[2]]))
    assert "failed for input 1, shape (3, 4)" in failure(wrong, ids, leaf(3, 4))


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_ops_pass(fast_mode):
    x, w = leaf(3, 4), leaf(5, 4)
    assert gradcheck(F.linear, (x, w), fast_mode=fast_mode) is True
    assert gradcheck(lambda x: x.exp(), x, fast_mode=fast_mode)
    assert gradcheck(lambda x: (x.exp(), (x * x).sum()), x, fast_mode=fast_mode)
    assert gradcheck(lambda x, y: x * y, (x, x), fast_mode=fast_mode)  # the same tensor twice
    assert gradcheck(lambda x: x.sum(), leaf(0, 3), fast_mode=fast_mode)


def test_one_of_two_results_wrong():
    wrong = op(np.exp, lambda dy, x: dy)
    assert "failed for input 0" in failure(lambda x: (x * 2, wrong(x)), leaf(3))


def test_tolerances_mean_what_they_say():
    def wrong(x):  # relative error 0.01, absolute 0.02
        return op(lambda x: 2 * x, lambda dy, x: 2.02 * np.sign(dy))(x)

    def cheat(x):  # constant cotangents of 1, so that the sizes are known
        return op(lambda x: 2 * x, lambda dy, x: 2.02 * dy)(x)

    x = leaf(3)
    assert not gradcheck(cheat, x, raise_exception=False)
    assert not gradcheck(cheat, x, rtol=0.009, atol=0, raise_exception=False)
    assert gradcheck(cheat, x, rtol=0.011, atol=0)
    assert gradcheck(cheat, x, rtol=0, atol=0.04)  # cotangents are at most 1.5
    assert not gradcheck(cheat, x, rtol=0, atol=0.009, raise_exception=False)
    assert not gradcheck(wrong, x, raise_exception=False)


def test_a_cotangent_of_ones_would_pass_what_the_random_one_does_not():
    """Why the cotangent is random: the gradient of a softmax under ones is 0 whatever backward does."""
    wrong = op(lambda x: np.exp(x) / np.exp(x).sum(), lambda dy, x: 0 * dy)
    x = leaf(5)
    y = wrong(x)
    y.backward(np.ones(5))
    shift = [wrong(Tensor(x.data + 1e-6 * e)).data.sum() - y.data.sum() for e in np.eye(5)]
    np.testing.assert_allclose(x.grad, shift, atol=1e-12)
    assert "zero gradient" in failure(wrong, x)


def test_seeds_change_the_cotangent_and_nothing_else_is_random():
    x = leaf(3, 4)
    first, again, other = (compare(lambda x: x.exp(), [x], seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.cotangents[0], again.cotangents[0])
    np.testing.assert_array_equal(first.numeric[0], again.numeric[0])
    assert (first.cotangents[0] != other.cotangents[0]).any()
    assert (np.abs(first.cotangents[0]) >= 0.5).all()
    assert len(np.unique(first.cotangents[0])) == 12


# -- inputs ---------------------------------------------------------------------------------------------------


def test_float32_is_checked_in_float64_with_a_warning():
    x, w = leaf(3, 4, dtype=np.float32), leaf(5, 4)
    data = x.data
    x.grad = np.full((3, 4), 7, np.float32)
    with pytest.warns(UserWarning, match="input 0 is float32: checked as float64"):
        assert gradcheck(F.linear, (x, w))
    assert x.data is data
    assert x.grad.dtype == np.float32
    assert (x.grad == 7).all()
    assert w.grad is None
    with pytest.warns(UserWarning, match="float32"), pytest.raises(GradcheckError, match="missing chain factor"):
        gradcheck(op(np.exp, lambda dy, x: dy), x)
    assert x.data is data


def test_parameters_of_a_layer_are_inputs():
    layer = Linear(4, 5, rng=np.random.default_rng(0)).to(np.float64)
    x = leaf(3, 4)
    assert gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))
    layer.forward = lambda x: F.linear(x, layer.weight, Tensor(layer.bias.data))
    assert "failed for input 2, shape (5,)" in failure(lambda x, *_: layer(x), x, *layer.parameters())


def test_any_layout_and_read_only_inputs():
    buffer = np.random.default_rng(0).normal(size=(4, 6))
    inputs = [Tensor(a, requires_grad=True) for a in (buffer.T[::2], np.broadcast_to(buffer[0], (3, 6)))]
    for x in inputs:
        assert gradcheck(lambda x: x * x, x)
    np.testing.assert_array_equal(inputs[0].data, buffer.T[::2])


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (lambda x: F.dropout(x, 0.5, RNG), "two results for the same inputs"),
        (lambda x: (x - 10).log(), "not finite at these inputs"),
        (lambda x: Tensor(x.data * 2), "has no history"),
        (lambda x: x.detach() * 2, "has no history"),
        (lambda x: Tensor.from_op(x.data.astype(np.float32), (x,), lambda dy: (dy,)), "returned float32 for float64"),
        (lambda x: Tensor.from_op(np.negative(x.data, out=x.data), (x,), lambda dy: (-dy,)), "two results|writes into"),
        (lambda x: Tensor.from_op(x.data * 1, (x,), lambda dy: (x.data.fill(0), dy)[1:]), "writes into input 0"),
        (lambda x: Tensor.from_op(x.data * 2, (x,), lambda dy: (np.multiply(dy, 2, out=dy),)), "read-only"),
        (lambda x: Tensor.from_op(x.data * 2, (x,), lambda dy: ()), "must return a sequence with one derivative"),
        (lambda x: Tensor.from_op(x.data.T * 2, (x,), lambda dy: (dy,)), r"\(4, 3\) cannot belong to .* \(3, 4\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_compared_fails(func, message):
    with pytest.raises(GradcheckError, match=message):
        gradcheck(func, leaf(3, 4))
    assert not gradcheck(func, leaf(3, 4), raise_exception=False)


RNG = np.random.default_rng(0)


def test_misuse_is_refused_in_every_mode():
    x = leaf(3)
    with pytest.raises(ValueError, match="no input requires a gradient, as Tensor"):
        gradcheck(lambda x: x, Tensor(np.ones(3)), raise_exception=False)
    with pytest.raises(ValueError, match="result of an op: give leaves"):
        gradcheck(lambda x: x, x * 2, raise_exception=False)


def test_a_second_point_outside_the_domain_is_not_needed():
    """The diagnosis looks at a second point a few per cent away; where there is none, another cotangent does."""
    x = Tensor(np.array([0.9999, -0.9999, 0.3]), requires_grad=True)
    wrong = op(np.arcsin, lambda dy, x: -dy / np.sqrt(1 - x * x))
    with np.errstate(invalid="ignore"):
        assert failure(wrong, x).endswith("looks like a wrong sign")


def test_a_stretched_input_that_the_op_refuses_is_no_explanation():
    def needs_a_row(x, b):
        if b.ndim != 1:
            raise ValueError("a row, please")
        return op(lambda x, b: x + b, lambda dy, x, b: dy, lambda dy, x, b: dy[0])(x, b)

    assert failure(needs_a_row, leaf(3, 4), leaf(4)).endswith("no known mistake fits")
    assert failure(lambda x, b: (needs_a_row(x, b), x), leaf(3, 4), leaf(4)).endswith("no known mistake fits")


def test_a_stretched_input_that_means_something_else_is_no_explanation():
    def depends_on_rank(x, b):
        made = op(lambda x, b: x + b * b.ndim, lambda dy, x, b: dy, lambda dy, x, b: dy[0] * 1.1)
        return made(x, b)

    assert failure(depends_on_rank, leaf(3, 4), leaf(4)).endswith("no known mistake fits")


def test_a_constant_beside_a_result_is_no_mistake_and_a_detached_result_is():
    assert gradcheck(lambda x: (x.exp(), Tensor(np.ones(2))), leaf(3))
    assert "differ" in failure(lambda x: (x.exp(), x.detach() * 2), leaf(3))


def test_no_grad_is_restored_and_gradients_left_alone():
    x = leaf(3)
    assert gradcheck(lambda x: x.exp(), x)
    assert x.grad is None
    with no_grad(), pytest.raises(GradcheckError, match="no history"):
        gradcheck(lambda x: x.exp(), x)


# -- the table and a user's own op ----------------------------------------------------------------------------


def test_the_table_passes_and_prints(monkeypatch, capsys):
    monkeypatch.setattr(selfcheck, "LAYERS", selfcheck.LAYERS[:2])
    rows = selfcheck.check_all(progress=True)
    assert all(row.passed for row in rows)
    assert "ops" in capsys.readouterr().err
    text = selfcheck.format_table(rows)
    lines = text.splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[0].split() == ["op", "or", "layer", "shapes", "worst", "error", "seconds", "result"]
    assert len({len(line) for line in lines[1:-1]}) == 1
    assert lines[-1].startswith(f"all {len(rows)} passed: worst relative error ")


def test_the_table_shows_what_fails(monkeypatch):
    wrong = op(np.exp, lambda dy, x: dy * np.exp(x) * 1.00001)
    random = cases.Case("random", "B T", lambda x: F.dropout(x, 0.5, RNG))
    monkeypatch.setattr(selfcheck, "OPS", [cases.Case("wrong", "B T", wrong), random, cases.OPS[0]])
    monkeypatch.setattr(selfcheck, "LAYERS", [])
    rows = selfcheck.check_all()
    assert [row.passed for row in rows] == [False, False, True]
    text = selfcheck.format_table(rows)
    assert "1.0e-05" in text
    assert "FAIL (func gave two results" in text
    assert text.splitlines()[-1].startswith("2 of 3 FAILED")


OWN_OPS = """
import numpy as np
from minitx import Tensor

def swish(x):
    s = 1 / (1 + np.exp(-x.data))
    return Tensor.from_op(x.data * s, (x,), lambda dy: (dy * s * (1 + x.data * (1 - s)),))

def wrong_scale(x, w):
    return Tensor.from_op(x.data * w.data, (x, w), lambda dy: (dy * w.data, dy[0] * x.data[0]))

def logarithm(x):
    return x.log()

def widens(x):
    return Tensor.from_op(x.data / np.sqrt(np.float64(2)), (x,), lambda dy: (dy / np.sqrt(2),))

def plain(x):
    return x.data

NUMBER = 3
"""


@pytest.fixture
def own_ops(tmp_path, monkeypatch):
    (tmp_path / "own_ops.py").write_text(OWN_OPS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_ops", raising=False)
    yield
    sys.modules.pop("own_ops", None)


@pytest.mark.usefixtures("own_ops")
def test_a_users_own_op():
    path = list(sys.path)
    text = selfcheck.check_op("own_ops:swish", [(3, 4)])
    assert text.startswith("own_ops:swish is right on normally distributed inputs of shapes [(3, 4)]: worst relative")
    assert selfcheck.check_op("own_ops.py:swish", [()]).startswith("own_ops.py:swish is right")
    assert "on positive inputs" in selfcheck.check_op("own_ops:logarithm", [(3,)])
    with pytest.raises(GradcheckError, match=r"(?s)input 1, shape .4,.*a missing sum over axis 0 of the result"):
        selfcheck.check_op("own_ops:wrong_scale", [(3, 4), (4,)])
    with pytest.raises(GradcheckError, match="returned float64 for float32 inputs"):
        selfcheck.check_op("own_ops:widens", [(3,)])
    assert sys.path == path


@pytest.mark.usefixtures("own_ops")
@pytest.mark.parametrize(
    ("target", "shapes", "message"),
    [
        ("own_ops", [(3,)], "expected module:function, as in my_ops:swish, not 'own_ops'; an op is a function of"),
        (
            "no_such_file:swish",
            [(3,)],
            "cannot import no_such_file: ModuleNotFoundError: No module named 'no_such_file'",
        ),
        ("own_ops:swoosh", [(3,)], "has no function swoosh; it has: swish, wrong_scale, logarithm, widens, plain"),
        ("own_ops:NUMBER", [(3,)], "has no function NUMBER"),
        ("own_ops:swish", [], r"give a shape for each argument of own_ops:swish\(x\)"),
        ("own_ops:swish", [(3,), (4,)], r"on shapes \[\(3,\), \(4,\)\] raised TypeError: swish"),
        ("own_ops:wrong_scale", [(3,), (4,)], "raised ValueError: operands could not be broadcast"),
        ("own_ops:plain", [(3,)], "returned ndarray, not a Tensor: an op is a function of Tensors"),
    ],
)
def test_a_users_own_op_that_cannot_be_checked(target, shapes, message):
    with pytest.raises(InputError, match=message) as caught:
        selfcheck.check_op(target, shapes)
    assert "\n" not in str(caught.value)


def test_gradcheck_of_where_with_a_mask_argument():
    mask = np.array([[True, False, True]])
    assert gradcheck(lambda m, x, y: where(m, x, y), (mask, leaf(2, 3), leaf(3, seed=1)))


def test_gradcheck_runs_without_torch():
    code = "import sys; sys.modules['torch'] = None; from minitx.learn import cases; cases.OPS[0].build()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- docs/your-own-op.md -------------------------------------------------------------------------------------------

GUIDE = (Path(__file__).parents[1] / "docs" / "your-own-op.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    """The names that the guide's blocks define, run one after the other as a reader would."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(block, names)
    return names


def test_the_template_passes_its_own_test_and_the_command(guide, tmp_path, monkeypatch):
    guide["test_scaled_swish"]()
    template = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
    (tmp_path / "my_ops.py").write_text(template, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = "minitx gradcheck my_ops:scaled_swish --shape 3,4 --shape 4"
    assert command in GUIDE
    assert "my_ops:scaled_swish is right" in selfcheck.check_op("my_ops:scaled_swish", [(3, 4), (4,)])


def test_the_template_is_a_row_of_the_table(guide):
    case = eval(re.search(r'`(Case\("scaled_swish".*?\))`', GUIDE).group(1), {**guide, "Case": cases.Case})
    assert compare(*case.build(), eps=1e-5).worst < selfcheck.TOLERANCE


def test_the_wrong_op_says_what_the_guide_says(guide):
    rng = np.random.default_rng(0)
    inputs = Tensor(rng.normal(size=(3, 4)), requires_grad=True), Tensor(rng.normal(size=4), requires_grad=True)
    assert f"```\n{failure(guide['wrong'], *inputs)}\n```" in GUIDE


def test_every_explanation_is_in_the_guides_table():
    explanations = re.findall(r"^\| (?!it says|---)(.*?) \|", GUIDE, re.MULTILINE)
    known = {re.sub(r" (of the result|[kn]\b).*| over axis.*", "", e) for e in explanations}
    source = inspect.getsource(importlib.import_module("minitx.learn.gradcheck"))
    assert len(known) == 11
    assert all(e.split(" that does")[0] in source for e in known)


@pytest.mark.parametrize("func", [lambda x: x.data * 2, lambda x: None, lambda x: 3.0, lambda x: (x, x.data)])
def test_what_is_no_tensor_has_left_the_graph(func):
    with pytest.raises(GradcheckError, match=r"func returned .*, no Tensor: it left the graph, as by .data"):
        gradcheck(func, (Tensor(np.array([1.0, 2.0]), requires_grad=True),))
