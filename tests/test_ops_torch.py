"""Every op beside its torch twin: value, dtype and gradients; any layout, axes of size 1, no elements; the edges.

The rows are `minitx.learn.cases.OPS`; here is the torch twin of each op. Cotangents are random and masks ragged
throughout.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as TF

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.learn.cases import OPS, SIZES

# -- twins ----------------------------------------------------------------------------------------------------


def heads(x, number=2):
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def attention_twin(q, k, v, mask=None):
    mask = None if mask is None else mask[:, None, None, :]
    return TF.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask).transpose(1, 2).flatten(2)


def attention_of_others_twin(q, k, v, seen):
    """torch gives NaN where a query sees nothing, minitx zeros."""
    seen = seen & torch.ones(seen.shape[1:], dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, -1e30)[:, None]
    y = TF.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask).transpose(1, 2).flatten(2)
    return torch.where(seen.any(-1, keepdim=True), y, 0)


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
    "Tensor.__rpow__ by a tensor": lambda x, n: x**n,
    "Tensor.__rpow__ of a number": lambda x: 2**x,
    "Tensor.clamp": lambda x: x.clamp(-0.5, 0.5),
    "Tensor.clone": lambda x: x.clone(),
    "Tensor.expand": lambda x: x.expand(2, -1, 4, -1),
    "Tensor.flatten": lambda x: x.flatten(1),
    "Tensor.masked_fill": lambda x, c: x.masked_fill(c, -3.0),
    "Tensor.min": lambda x: x.amin(1),
    "Tensor.sigmoid": lambda x: x.sigmoid(),
    "Tensor.std": lambda x: x.std((0, 2)),
    "Tensor.var": lambda x: x.var(1, correction=0, keepdim=True),
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
    "Tensor.view": lambda x: x.reshape(-1, x.shape[2]),
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
    "linear gelu_new": lambda x, w, b: TF.gelu(TF.linear(x, w, b), approximate="tanh"),
    "linear silu": lambda x, w, b: TF.silu(TF.linear(x, w, b)),
    "sparse_linear": lambda w, b, x: TF.linear(x.to(w.dtype), w, b),
    "relu": TF.relu,
    "gelu": TF.gelu,
    "gelu_new": lambda x: TF.gelu(x, approximate="tanh"),
    "silu": TF.silu,
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
    "attention of other tokens, causal": attention_of_others_twin,
    "mean_pool": mean_pool_twin,
    "normalize": lambda x: TF.normalize(x, dim=-1),
    "cross_entropy": TF.cross_entropy,
    "cross_entropy weights, smoothing": lambda x, target, w: TF.cross_entropy(
        x, target, w.to(x.dtype), label_smoothing=0.1
    ),
    "mse_loss": TF.mse_loss,
    "binary_cross_entropy_with_logits": lambda x, target, w: TF.binary_cross_entropy_with_logits(
        x, target.to(x.dtype), pos_weight=w.to(x.dtype)
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


def test_every_op_has_a_torch_twin():
    assert set(TWINS) == {case.name for case in OPS}


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
    ("Tensor.min", "T"), ("Tensor.std", "B"), ("Tensor.std", "T"), ("Tensor.var", "B"), ("Tensor.var", "T"),
    ("Tensor.max", "B"), ("Tensor.max", "T"), ("Tensor.max dim=1", "T"), ("Tensor.max dim=(0, 1), keepdim", "B"),
    ("Tensor.max dim=(0, 1), keepdim", "T"), ("cross_entropy", "N"), ("cross_entropy weights, smoothing", "N"),
}  # fmt: skip


@each_op
def test_no_elements(case):
    for letter in "BTN":
        if (case.name, letter) not in UNDEFINED_WHEN_EMPTY:
            assert_like_torch(case, np.float32, {**SIZES, letter: 0})


# -- what a table cannot say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [F.softmax, F.log_softmax])
def test_softmax_survives_large_numbers(op):
    x = np.array([[1e4, 0.0, -1e4], [-1e30, -1e30, -1e30]], np.float32)
    twin = {F.softmax: TF.softmax, F.log_softmax: TF.log_softmax}[op](torch.tensor(x), dim=-1)
    np.testing.assert_allclose(op(Tensor(x)).data, twin, rtol=1e-6)


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


# -- cross_entropy ---------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(9, 4)) * 3
TARGET = np.array([0, 3, -100, 1, 1, 2, -100, 0, 3])
WEIGHT = np.array([0.2, 1.7, 3.1, 0.6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT, np.array([0, 1.0, 2, 0])], ids=["even", "weights", "zero weights"])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_all_options_of_cross_entropy_together(dtype, smoothing, weight, ignore_index):
    target = np.where(TARGET == -100, ignore_index, TARGET)
    x, twin = Tensor(LOGITS.astype(dtype), requires_grad=True), torch.tensor(LOGITS.astype(dtype), requires_grad=True)
    loss = F.cross_entropy(x, target, weight, ignore_index, smoothing)
    w = None if weight is None else torch.tensor(weight.astype(dtype))
    expected = TF.cross_entropy(twin, torch.tensor(target), w, ignore_index=ignore_index, label_smoothing=smoothing)
    assert loss.shape == ()
    assert loss.dtype == dtype
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(loss.data, expected.detach(), **tolerance)
    loss.backward(np.array(-1.7, dtype))
    expected.backward(torch.tensor(-1.7, dtype=twin.dtype))
    np.testing.assert_allclose(x.grad, twin.grad, **tolerance)
    assert x.grad.dtype == dtype


def both(logits, target, **how):
    """Loss and gradient, ours and torch's."""
    ours, theirs = Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    loss = F.cross_entropy(ours, target, **how)
    weight = {"weight": torch.tensor(how["weight"])} if "weight" in how else {}
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(target), **{**how, **weight})
    loss.backward()
    expected.backward()
    return (loss.item(), ours.grad), (expected.item(), theirs.grad.numpy())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_may_be_probabilities(smoothing, weighted, rng):
    y = rng.dirichlet(np.ones(4), 6)
    how = {"label_smoothing": smoothing} | ({"weight": rng.uniform(0.5, 2, 4)} if weighted else {})
    (loss, grad), (expected, theirs) = both(rng.normal(size=(6, 4)), y, **how)
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(grad, theirs, atol=1e-15)


def test_a_class_at_minus_infinity_that_nobody_wants_and_ignored_rows_of_nan_are_no_harm(rng):
    logits = rng.normal(size=(5, 4))
    logits[1, 2], logits[3] = -np.inf, np.nan
    (loss, grad), (expected, theirs) = both(logits, np.array([0, 1, 2, -100, 3]))
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(np.delete(grad, 3, axis=0), np.delete(theirs, 3, axis=0))
    assert not grad[3].any()  # torch: NaN
