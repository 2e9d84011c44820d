"""Every op: value, dtype and gradients against torch; any layout, size 1, no elements; numerically; wrong on purpose.

The rows are `minitx.learn.selfcheck.OPS` and `LAYERS`; here is the torch twin of each op, and its composed form if it
is fused. Cotangents are random and masks ragged throughout.
"""

import inspect
import math
import pkgutil
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as TF

import minitx.models
import minitx.nn
from minitx.autograd import functional, tensor
from minitx.autograd import functional as F
from minitx.autograd.erf import erf
from minitx.autograd.tensor import Tensor, where
from minitx.learn import numeric, selfcheck
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError, compare
from minitx.learn.selfcheck import LAYERS, OPS, SIZES, TOLERANCE, ragged_mask
from minitx.nn.module import Module
from minitx.training import baseline

pytestmark = pytest.mark.quick


# -- twins ----------------------------------------------------------------------------------------------------


def heads(x, number=2):
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def attention_twin(q, k, v, mask=None):
    mask = None if mask is None else mask[:, None, None, :]
    return TF.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask).transpose(1, 2).flatten(2)


def attention_with_everything_twin(q, k, v, bias, mask):
    B, T, _ = q.shape
    scores = heads(q) @ heads(k).mT / math.sqrt(heads(q).shape[-1]) + bias
    weights = torch.softmax(
        scores.masked_fill(~mask[:, None, None, :], -1e300 if q.dtype == torch.float64 else -1e30), -1
    )
    weights = weights * mask.any(1)[:, None, None, None]
    drop = F.dropout_mask((B, 2, T, T), 0.3, np.random.default_rng(7), np.dtype(np.float64))  # (asked, asking)
    return (weights * torch.as_tensor(drop.swapaxes(-1, -2).copy()).to(q.dtype) @ heads(v)).transpose(1, 2).flatten(2)


def dropout_twin(x):
    mask = F.dropout_mask(tuple(x.shape), 0.3, np.random.default_rng(7), np.dtype(np.float64))
    return x * torch.as_tensor(mask).to(x.dtype)


def mean_pool_twin(x, mask):
    return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


TWINS = {
    "Tensor.__add__": lambda x, w: x + w,
    "Tensor.__radd__": lambda x: 2 + x,
    "Tensor.__sub__": lambda x, w: x - w,
    "Tensor.__rsub__": lambda x: 2 - x,
    "Tensor.__neg__": lambda x: -x,
    "Tensor.__mul__": lambda x, w: x * w,
    "Tensor.__mul__ by itself": lambda x: x * x,
    "Tensor.__rmul__": lambda x: 0.3 * x,
    "Tensor.__truediv__": lambda x, w: x / w,
    "Tensor.__rtruediv__": lambda x: 2 / x,
    "Tensor.__pow__ 3": lambda x: x**3,
    "Tensor.__pow__ -0.5": lambda x: x**-0.5,
    "Tensor.__matmul__": lambda x, w: x @ w,
    "Tensor.__matmul__ batch by matrix": lambda x, w: x @ w,
    "Tensor.__matmul__ broadcast batches": lambda x, w: x @ w,
    "Tensor.__matmul__ batch by vector": lambda x, w: x @ w,
    "Tensor.__matmul__ vector by batch": lambda x, w: x @ w,
    "Tensor.__matmul__ vector by matrix": lambda x, w: x @ w,
    "Tensor.__matmul__ vectors": lambda x, w: x @ w,
    "Tensor.__rmatmul__": lambda w: torch.linspace(0.1, 1, 2 * len(w), dtype=torch.float64).reshape(2, -1) @ w.double(),
    "Tensor.exp": torch.exp,
    "Tensor.log": torch.log,
    "Tensor.sqrt": torch.sqrt,
    "Tensor.tanh": torch.tanh,
    "Tensor.abs": torch.abs,
    "Tensor.sum": torch.sum,
    "Tensor.sum dim=(0, -1)": lambda x: x.sum(dim=(0, -1)),
    "Tensor.sum dim=1, keepdim": lambda x: x.sum(dim=1, keepdim=True),
    "Tensor.mean": torch.mean,
    "Tensor.mean dim=-1": lambda x: x.mean(dim=-1),
    "Tensor.mean dim=(0, 2), keepdim": lambda x: x.mean(dim=(0, 2), keepdim=True),
    "Tensor.max": torch.amax,
    "Tensor.max dim=1": lambda x: x.amax(dim=1),
    "Tensor.max dim=(0, 1), keepdim": lambda x: x.amax(dim=(0, 1), keepdim=True),
    "Tensor.reshape": lambda x: x.reshape(x.shape[1], x.shape[0] * x.shape[2]),
    "Tensor.permute": lambda x: x.permute(1, -1, 0),
    "Tensor.transpose": lambda x: x.transpose(0, -1),
    "Tensor.T": lambda x: x.T,
    "Tensor.unsqueeze": lambda x: x.unsqueeze(1),
    "Tensor.squeeze": lambda x: x.squeeze(1),
    "Tensor.__getitem__ slices": lambda x: x[:, 1:].flip(-1)[:, :, ::2],
    "Tensor.__getitem__ integer, new axis": lambda x: x[..., None, 2],
    "Tensor.__getitem__ repeated rows": lambda x: x[torch.tensor([[0, 2], [2, -1]])],
    "Tensor.__getitem__ boolean": lambda x: x[torch.tensor([True, False, False, True])],
    "cat": lambda x, w: torch.cat([x, w, x], dim=1),
    "stack": lambda x, w: torch.stack([x, w, x], dim=-1),
    "where": lambda x, w, condition: torch.where(condition, x, w),
    "linear": TF.linear,
    "linear without bias": TF.linear,
    "linear relu": lambda x, w, b: TF.relu(TF.linear(x, w, b)),
    "linear gelu": lambda x, w, b: TF.gelu(TF.linear(x, w, b)),
    "sparse_linear": lambda w, b, x: TF.linear(x.to(w.dtype), w, b),
    "relu": TF.relu,
    "gelu": TF.gelu,
    "softmax": lambda x: TF.softmax(x, dim=-1),
    "log_softmax": lambda x: TF.log_softmax(x, dim=-1),
    "layer_norm": lambda x, w, b: TF.layer_norm(x, x.shape[-1:], w, b),
    "add_layer_norm": lambda x, r, w, b: TF.layer_norm(x + r, x.shape[-1:], w, b),
    "add_layer_norm dropout": lambda x, r, w, b: TF.layer_norm(x + dropout_twin(r), x.shape[-1:], w, b),
    "embedding": lambda w, ids: TF.embedding(ids, w),
    "embedding sparse": lambda w, ids: TF.embedding(ids, w),
    "dropout": dropout_twin,
    "attention": attention_twin,
    "attention mask": attention_twin,
    "attention mask, bias, dropout": attention_with_everything_twin,
    "mean_pool": mean_pool_twin,
    "normalize": lambda x: TF.normalize(x, dim=-1),
    "cross_entropy": TF.cross_entropy,
    "cross_entropy weights, smoothing": lambda x, target, w: TF.cross_entropy(
        x, target, w.to(x.dtype), label_smoothing=0.1
    ),
}


def strided(x):
    """The same values with gaps between elements and, from two axes on, in Fortran order."""
    if not x.ndim:
        return x
    spaced = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype, order="F")
    spaced[..., ::2] = x
    return spaced[..., ::2]


def assert_like_torch(case, dtype, sizes=SIZES, layout=lambda x: x, atol=2e-6):
    """Value, dtype, shape and every gradient under a random cotangent; inputs untouched."""
    call, inputs = case.build(sizes, dtype)
    twins = [torch.tensor(x.data if isinstance(x, Tensor) else x) for x in inputs]
    for x, twin in zip(inputs, twins, strict=True):
        if isinstance(x, Tensor):
            twin.requires_grad_()
            x.data = layout(x.data)
            x.data.flags.writeable = False
    y, expected = call(*inputs), TWINS[case.name](*twins)
    assert y.dtype == dtype or case.name == "Tensor.__rmatmul__"  # there the array on the left is float64
    rng = np.random.default_rng(1)
    dy = rng.normal(size=y.shape).astype(y.dtype)
    y.backward(layout(dy))
    expected.backward(torch.tensor(dy).to(expected.dtype))
    tolerance = {"rtol": 2e-5, "atol": atol} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(y.data, expected.detach(), **tolerance, err_msg=f"{case.name}: value")
    for i, (x, twin) in enumerate(zip(inputs, twins, strict=True)):
        if isinstance(x, Tensor):
            assert x.grad.dtype == dtype
            np.testing.assert_allclose(x.grad, twin.grad, **tolerance, err_msg=f"{case.name}: gradient of input {i}")


each_op = pytest.mark.parametrize("case", OPS, ids=lambda case: case.name)


@each_op
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_gradients_are_torchs_in_any_layout(case, dtype):
    assert_like_torch(case, dtype)
    assert_like_torch(case, dtype, layout=strided)


@each_op
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_axes_of_size_1(case, dtype):
    letters = {letter for letter in case.shapes.split() if letter.strip(",") in SIZES} | {"B", "T", "N", "C"}
    for letter in sorted(letters):
        sizes = {**SIZES, letter: 1}
        if "attention" in case.name and letter in "DH":
            continue  # two heads, each of a width of at least 1
        assert_like_torch(case, dtype, sizes, atol=5e-5)  # torch's layer norm of width 1 is that far from its 0


UNDEFINED_WHEN_EMPTY = {  # in torch as well, except for the loss, which is NaN there and 0 here
    ("Tensor.max", "B"), ("Tensor.max", "T"), ("Tensor.max dim=1", "T"), ("Tensor.max dim=(0, 1), keepdim", "B"),
    ("Tensor.max dim=(0, 1), keepdim", "T"), ("cross_entropy", "N"), ("cross_entropy weights, smoothing", "N"),
}  # fmt: skip


@each_op
def test_no_elements(case):
    for letter in "BTN":
        if (case.name, letter) not in UNDEFINED_WHEN_EMPTY:
            assert_like_torch(case, np.float32, {**SIZES, letter: 0})


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
    not_ops = {"Tensor.from_op", "Tensor.detach", "as_tensor"}
    ops = {}
    for module in (tensor, functional, baseline):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                ops[name] = function
    for name, member in vars(Tensor).items():
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member):
            ops[f"Tensor.{name}"] = member
    makes_tensor = {name: f for name, f in ops.items() if inspect.signature(f).return_annotation in (Tensor, "Tensor")}
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
    assert set(public) - covered == set(), "add a row to minitx.learn.selfcheck"
    assert {case.name.split()[0] for case in cases} <= set(public), "a row names what does not exist"
    assert len(public) > 10


def test_names_of_the_table_are_unique_and_twinned():
    names = [case.name for case in [*OPS, *LAYERS]]
    assert len(set(names)) == len(names)
    assert set(TWINS) == {case.name for case in OPS}


# -- fused ops and their composed forms -----------------------------------------------------------------------


def composed_attention(q, k, v, num_heads, mask):
    B, T, D = q.shape
    K = D // num_heads
    q, k, v = (x.reshape(B, T, num_heads, K).permute(0, 2, 1, 3) for x in (q, k, v))
    scores = where(mask[:, None, None, :], q @ k.transpose(-1, -2) / math.sqrt(K), Tensor(np.array(-1e300)))
    weights = composed_softmax(scores) * mask.any(axis=1)[:, None, None, None].astype(q.dtype)
    return (weights @ v).permute(0, 2, 1, 3).reshape(B, T, D)


def composed_softmax(x):
    e = (x - x.max(dim=-1, keepdim=True)).exp()
    return e / e.sum(dim=-1, keepdim=True)


def composed_relu(x):
    return where(x.data > 0, x, Tensor(np.zeros(())))


def composed_gelu(x):
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def composed_dropout(x):
    return x * F.dropout_mask(x.shape, 0.3, np.random.default_rng(7), x.dtype)


def composed_layer_norm(x, w, b):
    centred = x - x.mean(dim=-1, keepdim=True)
    return w * centred / ((centred * centred).mean(dim=-1, keepdim=True) + 1e-5).sqrt() + b


def composed_cross_entropy(logits, target, w):
    kept = target >= 0
    log_p = composed_softmax(logits).log()[kept]
    a = 0.9 * np.eye(len(w))[target[kept]] * w[target[kept]][:, None] + 0.1 / len(w) * w
    return (log_p * -a).sum() / w[target[kept]].sum()


def composed_mean_pool(x, mask):
    m = mask[:, :, None].astype(x.dtype)
    return (x * m).sum(dim=1) / np.maximum(m.sum(axis=1), 1)


COMPOSED = {
    "linear": lambda x, w, b: x @ w.T + b,
    "linear relu": lambda x, w, b: composed_relu(x @ w.T + b),
    "linear gelu": lambda x, w, b: composed_gelu(x @ w.T + b),
    "relu": composed_relu,
    "gelu": composed_gelu,
    "sparse_linear": lambda w, b, x: x @ w.T + b,
    "softmax": composed_softmax,
    "log_softmax": lambda x: composed_softmax(x).log(),
    "layer_norm": composed_layer_norm,
    "add_layer_norm": lambda x, r, w, b: composed_layer_norm(x + r, w, b),
    "add_layer_norm dropout": lambda x, r, w, b: composed_layer_norm(x + composed_dropout(r), w, b),
    "embedding": lambda w, ids: np.eye(len(w))[ids] @ w,
    "embedding sparse": lambda w, ids: np.eye(len(w))[ids] @ w,
    "dropout": composed_dropout,
    "attention mask": lambda q, k, v, mask: composed_attention(q, k, v, 2, mask),
    "mean_pool": composed_mean_pool,
    "normalize": lambda x: x / (x * x).sum(dim=-1, keepdim=True).sqrt(),
    "cross_entropy weights, smoothing": composed_cross_entropy,
}


def erf(x):
    def backward(dy):
        return (dy * 2 / math.sqrt(math.pi) * np.exp(-(x.data**2)),)

    return Tensor.from_op(np.vectorize(math.erf)(x.data), (x,), backward)


@pytest.mark.parametrize("name", COMPOSED)
def test_fused_is_composed(name):
    case = next(case for case in OPS if case.name == name)
    call, fused = case.build()
    composed = case.build()[1]
    y, expected = call(*fused), COMPOSED[name](*composed)
    np.testing.assert_allclose(y.data, expected.data, rtol=1e-12, atol=1e-13)
    dy = np.random.default_rng(2).normal(size=y.shape)
    y.backward(dy)
    expected.backward(dy)
    for a, b in zip(fused, composed, strict=True):
        if isinstance(a, Tensor):
            assert np.any(a.grad)
            np.testing.assert_allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_every_fused_op_has_a_composed_form():
    fused = {name for name, f in vars(functional).items() if inspect.isfunction(f) and "Fused for" in (f.__doc__ or "")}
    assert fused - {name.split()[0] for name in COMPOSED} == set()


# -- what a table cannot say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-7), (np.float64, 1e-13)])
def test_gelu_is_the_erf_form(dtype, bound):
    x = np.linspace(-12, 12, 4001).astype(dtype)
    exact = np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in x.astype(np.float64)])
    cdf = erf(x * dtype(math.sqrt(0.5))) / 2 + 0.5
    assert np.abs(cdf - exact).max() < bound
    np.testing.assert_allclose(F.gelu(Tensor(x)).data, x * exact, atol=12 * bound)


@pytest.mark.parametrize("op", [F.softmax, F.log_softmax])
def test_softmax_survives_large_numbers(op):
    x = np.array([[1e4, 0.0, -1e4], [-1e30, -1e30, -1e30]], np.float32)
    twin = {F.softmax: TF.softmax, F.log_softmax: TF.log_softmax}[op](torch.tensor(x), dim=-1)
    np.testing.assert_allclose(op(Tensor(x)).data, twin, rtol=1e-6)


def test_cross_entropy_survives_large_logits():
    logits = Tensor(np.array([[1e4, 0.0], [0.0, 1e4]], np.float32), requires_grad=True)
    loss = F.cross_entropy(logits, np.array([1, 1]))
    loss.backward()
    assert loss.item() == 5000
    np.testing.assert_array_equal(logits.grad, [[0.5, -0.5], [0, 0]])


def test_equal_largest_values_share_the_gradient_as_amax_does():
    x = np.array([[1.0, 3, 3], [2, 2, 2]])
    ours, twin = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    dy = np.array([0.7, -1.3])
    ours.max(dim=1).backward(dy)
    twin.amax(dim=1).backward(torch.tensor(dy))
    np.testing.assert_allclose(ours.grad, twin.grad)


@pytest.mark.parametrize(("op", "twin"), [(F.relu, TF.relu), (Tensor.abs, torch.abs)])
def test_the_gradient_at_a_kink_is_torchs(op, twin):
    x, t = Tensor(np.zeros(3), requires_grad=True), torch.zeros(3, requires_grad=True)
    op(x).backward(np.array([1.0, -2, 3]))
    twin(t).backward(torch.tensor([1.0, -2, 3]))
    np.testing.assert_array_equal(x.grad, t.grad)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3.0, np.int64(2)])
def test_powers_at_0_are_torchs(exponent):
    x, twin = Tensor(np.array([0.0, -2]), requires_grad=True), torch.tensor([0.0, -2], requires_grad=True)
    y, expected = x**exponent, twin ** float(exponent)
    y.backward(np.array([0.7, -1.3]))
    expected.backward(torch.tensor([0.7, -1.3]))
    np.testing.assert_allclose(y.data, expected.detach())
    np.testing.assert_allclose(x.grad, twin.grad, rtol=1e-6)


def test_normalize_of_zero_and_of_tiny_vectors_is_torchs():
    x = np.array([[0.0, 0, 0], [3e-13, 0, 4e-13], [3, 0, 4]])  # shorter than eps: divided by eps, a constant
    ours, twin = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    dy = np.random.default_rng(0).normal(size=x.shape)
    y, expected = F.normalize(ours), TF.normalize(twin, dim=-1)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.data, expected.detach())
    np.testing.assert_allclose(ours.grad, twin.grad)


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
        assert gradcheck(lambda q, k, v, b: F.attention(q, k, v, 2, mask, b, 0.3, selfcheck._fresh()), inputs)
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
    with pytest.raises(IndexError, match=r"targets must be classes 0 to 2 or -100, not \[-1  1\]"):
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
