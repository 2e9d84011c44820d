"""Every op and layer: numeric gradients, wrong on purpose, the completeness of the table, and what it cannot say.

The rows are `minitx.learn.cases.OPS` and `LAYERS`. `test_plain.py` holds the fused ops to their plain twins, and
`test_ops_torch.py` holds all ops to torch's; nothing here needs torch.
"""

import inspect
import math
import pkgutil
import sys
from typing import Self

import numpy as np
import pytest

import minitx.models
import minitx.nn
from minitx.autograd import activations, functional, functional as F, losses, tensor
from minitx.autograd.habits import TensorHabits
from minitx.autograd.tensor import Tensor
from minitx.learn import numeric
from minitx.learn.cases import LAYERS, OPS, ragged_mask
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError, compare
from minitx.learn.selfcheck import TOLERANCE
from minitx.nn.module import Module
from minitx.training import baseline

pytestmark = pytest.mark.quick

each_op = pytest.mark.parametrize("case", OPS, ids=lambda case: case.name)


# -- wrong on purpose -----------------------------------------------------------------------------------------


class Saboteur:
    """Counts the ops a function calls, and scales one derivative that one of them returns."""

    def __init__(self, monkeypatch):
        self.count, self.edges, self.target, self.largest = 0, [], None, 0.0
        from_op = Tensor.from_op

        def wrapped(data, parents, backward):
            op = self.count
            self.count += 1
            self.edges += [(op, i) for i, parent in enumerate(parents) if parent.requires_grad]

            def wrong(dy):
                derivatives = list(backward(dy))
                if self.target and op == self.target[0]:
                    i = self.target[1]
                    dx = np.asarray(derivatives[i]() if callable(derivatives[i]) else derivatives[i])
                    self.largest = np.abs(dx).max()
                    derivatives[i] = 1.01 * dx
                return derivatives

            return from_op(data, parents, wrong)

        monkeypatch.setattr(Tensor, "from_op", staticmethod(wrapped))

    def watch(self, func):
        def counted(*inputs):
            self.count = 0
            self.edges.clear()
            return func(*inputs)

        return counted

    def all_edges(self, func, inputs):
        """One call that records a graph: without one, no inner tensor requires a gradient."""
        func(*inputs)
        return list(self.edges)


def edges_and_catches(case, monkeypatch):
    """How many derivatives the case's ops return that are not 0, and how many of these are missed 1 % too large."""
    saboteur = Saboteur(monkeypatch)
    func, inputs = case.build()
    func = saboteur.watch(func)
    clean = compare(func, inputs, eps=1e-5)
    assert clean.worst < TOLERANCE
    tried, missed = 0, []
    for target in saboteur.all_edges(func, inputs):
        saboteur.target = target
        if case in OPS:
            caught = not gradcheck(func, inputs, raise_exception=False)  # what a user would run
        else:  # the numeric gradient stays the same: only the analytic one is done again
            clean.analytic = numeric.analytic_gradients(func, inputs, clean.cotangents)
            caught = not clean.worst < TOLERANCE
        if saboteur.largest > 1e-12:  # that of the keys' bias is 0: it shifts all scores of a row
            tried += 1
            missed += [] if caught else [target]
    return tried, missed


@pytest.mark.parametrize("case", [*OPS, *LAYERS], ids=lambda case: case.name)
def test_the_numeric_gradient_agrees_and_a_derivative_scaled_by_1_01_does_not(case, monkeypatch):
    tried, missed = edges_and_catches(case, monkeypatch)
    assert tried > 0
    assert missed == []


@pytest.mark.parametrize("case", OPS, ids=lambda case: case.name)
def test_fast_mode_catches_it_too(case, monkeypatch):
    saboteur = Saboteur(monkeypatch)
    func, inputs = case.build()
    func = saboteur.watch(func)
    assert gradcheck(func, inputs, fast_mode=True)
    for target in saboteur.all_edges(func, inputs):
        saboteur.target = target
        caught = not gradcheck(func, inputs, fast_mode=True, raise_exception=False)
        assert caught or saboteur.largest <= 1e-12


# -- the table is complete ------------------------------------------------------------------------------------


def public_ops():
    """Every function and method that makes a Tensor, by name."""
    not_ops = {"Tensor.from_op", "Tensor.detach", "as_tensor", "elementwise"}
    ops = {}
    for module in (tensor, functional, activations, losses, baseline):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                ops[name] = function
    for name, member in (vars(TensorHabits) | vars(Tensor)).items():
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member):
            ops[f"Tensor.{name}"] = member
    makes_tensor = {
        name: f for name, f in ops.items() if inspect.signature(f).return_annotation in (Tensor, "Tensor", Self)
    }
    return {name: f for name, f in makes_tensor.items() if name not in not_ops}


def public_layers():
    """Every layer of `nn` and model of `models`, by name."""
    for package in (minitx.nn, minitx.models):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            __import__(info.name)
    classes, layers = [Module], {}
    while classes:
        found = classes.pop().__subclasses__()
        classes += found
        layers |= {c.__name__: c for c in found if c.__module__.startswith(("minitx.nn.", "minitx.models."))}
    layers.pop("EncoderHabits")  # a part of SentenceEncoder
    return layers


def code_run_by(case):
    """The code objects that the case's function calls."""
    func, inputs = case.build()
    seen = set()
    sys.setprofile(lambda frame, event, arg: seen.add(frame.f_code))
    try:
        func(*inputs)
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize(("cases", "public"), [(OPS, public_ops), (LAYERS, public_layers)])
def test_the_table_has_every_op_and_layer(cases, public):
    public = public()
    code = {name: getattr(thing, "forward", thing).__code__ for name, thing in public.items()}
    covered = {case.name.split()[0] for case in cases if code.get(case.name.split()[0]) in code_run_by(case)}
    assert set(public) - covered == set(), "add a row to minitx.learn.cases"
    assert {case.name.split()[0] for case in cases} <= set(public), "a row names what does not exist"
    assert len(public) > 10


def test_names_of_the_table_are_unique():
    names = [case.name for case in [*OPS, *LAYERS]]
    assert len(set(names)) == len(names)


# -- what a table cannot say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-7), (np.float64, 1e-13)])
def test_gelu_is_the_erf_form(dtype, bound):
    x = np.linspace(-12, 12, 4000).astype(dtype)  # an even number: 0 is not among them
    exact = np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in x.astype(np.float64)])
    cdf = F.gelu(Tensor(x)).data / x
    assert cdf.dtype == dtype
    assert np.abs(cdf - exact).max() < bound


def test_cross_entropy_survives_large_logits():
    logits = Tensor(np.array([[1e4, 0.0], [0.0, 1e4]], np.float32), requires_grad=True)
    loss = F.cross_entropy(logits, np.array([1, 1]))
    loss.backward()
    assert loss.item() == 5000
    np.testing.assert_array_equal(logits.grad, [[0.5, -0.5], [0, 0]])


def test_a_masked_sample_gives_zeros_and_zero_gradients():
    rng = np.random.default_rng(0)
    mask = ragged_mask({"B": 3, "T": 4}, rng)
    assert mask.sum(axis=1).tolist() == [4, 2, 0]
    q, k, v = (Tensor(rng.normal(size=(3, 4, 6)), requires_grad=True) for _ in "qkv")
    y = F.attention(q, k, v, 2, mask)
    y.backward(rng.normal(size=y.shape))
    pooled = F.mean_pool(v, mask)
    assert not y.data[2].any()
    assert not pooled.data[2].any()
    for x in (q, k, v):
        assert not x.grad[2].any()
        assert np.isfinite(x.grad).all()
    assert not k.grad[1, 2:].any()  # padding is neither asked nor heard
    assert not v.grad[1, 2:].any()
    assert q.grad[1].all()


@pytest.mark.parametrize("mask_type", [bool, np.int64, np.float32])
def test_a_mask_may_be_of_any_type(mask_type):
    rng = np.random.default_rng(0)
    mask = ragged_mask({"B": 3, "T": 4}, rng)
    x = Tensor(rng.normal(size=(3, 4, 6)))
    for op in (lambda m: F.attention(x, x, x, 2, m), lambda m: F.mean_pool(x, m)):
        np.testing.assert_array_equal(op(mask.astype(mask_type)).data, op(mask).data)


def test_a_mask_that_is_added_to_scores_is_refused():
    """Its zeros are the real tokens: read as others are, it would hide them."""
    x = Tensor(np.ones((1, 2, 4)))
    for hidden in (-1e9, -np.inf, 2):
        with pytest.raises(ValueError, match="an attention_mask is True or 1 for real tokens and 0 for others"):
            F.attention(x, x, x, 2, np.array([[0, hidden]]))


@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 1, 4), (1, 4), (2, 4, 3)])
def test_a_mask_of_another_shape_is_refused_even_if_it_hides_nothing(shape):
    x = Tensor(np.ones((2, 4, 8)))
    for causal in (False, True):
        with pytest.raises(ValueError, match=r"attention_mask has shape .*; expected \(2, 4\) or \(2, 4, 4\)"):
            F.attention(x, x, x, 2, np.ones(shape), is_causal=causal)


def test_a_layer_norm_of_another_width_is_refused_by_its_width():
    with pytest.raises(ValueError, match=r"a tensor of shape \(2, 3\); expected a last axis of 5"):
        minitx.nn.LayerNorm(5)(Tensor(np.ones((2, 3))))


def test_attention_in_blocks_is_attention_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    mask = np.arange(4) < np.array([4, 1, 3, 0, 2])[:, None]
    arrays = [rng.normal(size=shape) for shape in [(5, 4, 6)] * 3 + [(2, 4, 4)]]
    dy, results = rng.normal(size=(5, 4, 6)), []
    for limit in (1, 2 * 2 * 4 * 4, 10**6):  # one sample, two samples, all at a time
        monkeypatch.setattr(F, "SCORES_IN_CACHE", limit)
        inputs = [Tensor(a, requires_grad=True) for a in arrays]
        y = F.attention(*inputs[:3], 2, mask, inputs[3])
        y.backward(dy)
        results.append([y.data, *(x.grad for x in inputs)])
        assert gradcheck(lambda *x: F.attention(*x[:3], 2, mask, x[3], 0.3, np.random.default_rng(7)), inputs)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_the_share(p):
    mask = F.dropout_mask((1000, 1000), p, np.random.default_rng(0), np.dtype(np.float32))
    assert mask.dtype == np.float32
    assert abs((mask == 0).mean() - p) < 0.002
    assert len(np.unique(mask)) == 2
    np.testing.assert_allclose(mask.max(), 1 / (1 - round(p * 65536) / 65536), rtol=1e-6)  # the share that is met
    assert abs(np.corrcoef(mask[:, 0], mask[:, 1])[0, 1]) < 0.1


def test_the_same_generator_drops_the_same():
    x = Tensor(np.ones((5, 7), np.float32))
    first, second, other = (F.dropout(x, 0.5, np.random.default_rng(seed)).data for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_cross_entropy_refuses_a_class_that_is_none():
    with pytest.raises(IndexError, match=r"targets must be integers, the classes 0 to 2 or -100, not \[-1  1\]"):
        F.cross_entropy(Tensor(np.zeros((2, 3))), np.array([1, -1]))


def test_linear_of_a_large_batch_makes_no_temporary_per_sample():
    """Why linear is fused: the weight gradient is one product over all B T rows."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 6)), Tensor(rng.normal(size=(5, 6)), requires_grad=True)
    dy = rng.normal(size=(3, 4, 5))
    F.linear(Tensor(x), w).backward(dy)
    np.testing.assert_allclose(w.grad, np.einsum("btf,btd->fd", dy, x))


def test_frozen_inputs_cost_nothing():
    """A derivative given as a function is not computed for an input that needs none."""
    calls = []

    def op(x, w):
        return Tensor.from_op(x.data * w.data, (x, w), lambda dy: (lambda: dy * w.data, lambda: calls.append("w")))

    x, w = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones(3))
    op(x, w).backward(np.ones(3))
    assert calls == []
    assert x.grad is not None
    assert w.grad is None


@each_op
def test_no_op_writes_into_the_gradient_it_is_given(case):
    call, inputs = case.build()
    y = call(*inputs)
    dy = np.random.default_rng(1).normal(size=y.shape)
    kept = dy.copy()
    for derivative in y.backward_fn(dy):
        if callable(derivative):
            derivative()
    np.testing.assert_array_equal(dy, kept)


def test_errors_of_a_wrong_backward_name_the_op():
    def too_few(x, w):
        return Tensor.from_op(x.data * w.data, (x, w), lambda dy: (dy,))

    def bare_array(x):
        return Tensor.from_op(x.data * 2, (x,), lambda dy: dy * 2)

    def transposed(x, w):
        return Tensor.from_op(x.data @ w.data, (x, w), lambda dy: ((dy @ w.data.T).T, x.data.T @ dy))

    x, w = Tensor(np.ones((2, 3)), requires_grad=True), Tensor(np.ones((3, 4)), requires_grad=True)
    with pytest.raises(TypeError, match="too_few must return a sequence with one derivative for each of its inputs"):
        too_few(x, x).backward(np.ones((2, 3)))
    with pytest.raises(TypeError, match="bare_array must return a sequence"):
        bare_array(x).backward(np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"transposed, input 0: a gradient of shape \(3, 2\) cannot belong .* \(2, 3\)"
    ):
        transposed(x, w).backward(np.ones((2, 4)))
    with pytest.raises(GradcheckError, match="transposed, input 0"):
        gradcheck(transposed, (x, w))


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "log_softmax", "normalize"])
def test_what_is_no_tensor_of_floats_is_refused_by_name(name):
    for x, told in [
        (np.ones((2, 3)), r"a Tensor of floats, not <class 'numpy.ndarray'>: Tensor\(x, dtype=np.float32\)"),
        (Tensor([[1, 2]]), r"a Tensor of floats, not a Tensor of int64: Tensor\(x.data, dtype=np.float32\)"),
    ]:
        with pytest.raises(TypeError, match=told):
            getattr(F, name)(x)


def test_targets_that_are_floats_or_a_mask_are_refused():
    for target in (np.array([0.0, 1.0]), np.array([True, False])):
        with pytest.raises(IndexError, match=f"targets must be integers.* of {target.dtype}"):
            F.cross_entropy(Tensor(np.zeros((2, 3))), target)
