"""Indexing a Tensor, and what else a user of torch would type: torch's values and gradients."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor, where

# An index, and torch's where that is written differently. x has shape (4, 3, 2).
INDICES = {
    "integer": (2, None),
    "negative integer": (-1, None),
    "NumPy integer": (np.int64(-2), None),
    "integers": ((1, -1, 0), None),
    "slice": (slice(1, 3), None),
    "slice with a step": (slice(None, None, 2), None),
    "ellipsis": ((..., 1), None),
    "new axis": ((None, 1, None), None),
    "NumPy integer, ellipsis": ((np.int32(3), ...), None),
    "a boolean": (True, None),
    "list": ([0, 0, 1], None),
    "range": (range(2), None),
    "nothing": ([], None),
    "negative repeats": ([-1, 3, -1], None),
    "array": (np.array([2, 2, -2]), None),
    "array of no axes": (np.array(2), None),
    "array of small unsigned integers": (np.array([2, 2, 0], np.uint8), [2, 2, 0]),
    "Tensor": (Tensor([0, 0, 1]), [0, 0, 1]),
    "Tensor of no axes": (Tensor(2), 2),
    "Series": (pd.Series([0, 0, 1]), [0, 0, 1]),
    "pandas Index": (pd.Index([1, 0, 1]), [1, 0, 1]),
    "tuple in a tuple": (((0, 0, 1),), None),
    "nested tuple": (((0, 0), (1, 1)), None),
    "nested list": ([[0, 1], [1, 0], [1, 1]], torch.tensor([[0, 1], [1, 0], [1, 1]])),
    "nested list among others": ((slice(None), [[0, 1], [1, 1]]), None),
    "two lists": (([0, 0, 1], [2, 2, 0]), None),
    "two lists that broadcast": (([[0], [0]], [1, 1, 2]), None),
    "two lists apart": (([0, 0], slice(None), [1, 1]), None),
    "list and integer": (([2, 2], 1), None),
    "integer and list": ((0, [1, 1]), None),
    "list, slice, new axis": (([2, 2], slice(0, 2), None), None),
    "ellipsis and Tensor": ((..., Tensor([1, 1, 0])), (..., [1, 1, 0])),
    "Tensors": ((Tensor([0, 0]), Tensor([1, 1])), ([0, 0], [1, 1])),
    "list of booleans": ([True, False, True, True], None),
    "array of booleans": (np.array([True, False, False, True]), None),
    "Tensor of booleans": (Tensor([True, False, False, True]), [True, False, False, True]),
    "Series of booleans": (pd.Series([True, False, False, True]), [True, False, False, True]),
    "booleans over two axes": (np.arange(12).reshape(4, 3) % 5 == 0, None),
    "booleans over every axis": (np.arange(24).reshape(4, 3, 2) % 5 == 0, None),
    "booleans and repeats": (([True, False, True, False], [1, 1]), None),
    "slice and booleans": ((slice(None), [True, False, True]), None),
    "two lists of booleans": (([True, False, True, False], [True, False, True]), None),
    "booleans and integer": (([True, False, True, False], -1), None),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing_is_torchs(index, rng):
    ours, theirs = index
    data = rng.normal(size=(4, 3, 2))
    x, twin = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, expected = x[ours], twin[ours if theirs is None else theirs]
    assert y.shape == tuple(expected.shape)
    np.testing.assert_array_equal(y.data, expected.detach())
    dy = rng.normal(size=y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(x.grad, twin.grad, rtol=0, atol=1e-15)


# -- what else a user of torch would type ------------------------------------------------------------------------

HABITS = {
    "reshape((2, 3))": lambda x: x.reshape((2, 6)),
    "permute((1, 0))": lambda x: x.permute((1, 0)),
    "min()": lambda x: x.min(),
    "amin(1)": lambda x: x.amin(1) if isinstance(x, torch.Tensor) else x.min(1),
    "var()": lambda x: x.var(),
    "var(1, keepdim)": lambda x: x.var(1, correction=0, keepdim=True),
    "std(0)": lambda x: x.std(0),
    "clamp": lambda x: x.clamp(-0.3, 0.4),
    "clamp(min)": lambda x: x.clamp(min=0.0),
    "clamp(max)": lambda x: x.clamp(max=0.0),
    "flatten": lambda x: x.flatten(),
    "flatten(1)": lambda x: x.reshape(2, 2, 3).flatten(1),
    "flatten(0, 1)": lambda x: x.reshape(2, 2, 3).flatten(0, 1),
    "sigmoid": lambda x: (100 * x).sigmoid(),
    "clone": lambda x: x.clone() * 2,
    "expand": lambda x: x.reshape(4, 1, 3).expand(-1, 5, 3),
    "expand in front": lambda x: x.expand(2, 4, 3),
    "x ** x": lambda x: (x * x + 0.1) ** x,
    "2 ** x": lambda x: 2**x,
    "0 ** x": lambda x: 0.0 ** (x * x + 0.1),
    "x ** 0": lambda x: x ** (x * 0),
    "sum of a number": lambda x: x.sum().sum(dim=-1).mean(dim=0),
}


@pytest.mark.parametrize("name", HABITS)
def test_what_users_of_torch_type_gives_what_torch_gives(name, rng):
    data = rng.normal(size=(4, 3))
    ours, theirs = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, expected = HABITS[name](ours), HABITS[name](theirs)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-12, atol=1e-300)
    w = rng.normal(size=y.shape)
    y.backward(w)
    expected.backward(torch.tensor(w))
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-10, atol=1e-300)


def test_where_and_masked_fill_take_numbers(rng):
    data, mask = rng.normal(size=(4, 3)), rng.random((4, 3)) < 0.5
    ours, theirs = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y = where(mask, ours, 0.5) * where(mask, 2.0, ours) + ours.masked_fill(mask, -math.inf).exp()
    t = torch.tensor(mask)
    expected = torch.where(t, theirs, 0.5) * torch.where(t, 2.0, theirs) + theirs.masked_fill(t, -math.inf).exp()
    np.testing.assert_allclose(y.data, expected.detach().numpy())
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy())
    assert where(mask, Tensor(data.astype(np.float32)), 0.5).dtype == np.float32


def test_comparisons_and_argmax_give_arrays(rng):
    a, b = rng.integers(0, 3, (2, 4, 3)).astype(np.float32)
    x, y, s, t = Tensor(a), Tensor(b), torch.tensor(a), torch.tensor(b)
    pairs = [(x == y, s == t), (x != y, s != t), (x < y, s < t), (x <= y, s <= t), (x > y, s > t), (x >= 1, s >= 1)]
    for ours, theirs in pairs:
        assert isinstance(ours, np.ndarray)
        np.testing.assert_array_equal(ours, theirs.numpy())
    np.testing.assert_array_equal(Tensor(a).argmax(1), a.argmax(axis=1))
    assert Tensor(a).argmax() == torch.tensor(a).argmax().item()
    assert len({x, y, x}) == 2  # hashed by identity
    np.testing.assert_array_equal(x[x > 1].data, a[a > 1])


@pytest.mark.parametrize("shapes", [((5, 0), (0, 4)), ((0, 3), (3, 4)), ((2, 5, 0), (0, 4)), ((2, 0, 3), (3, 4))])
def test_products_with_nothing_in_them_have_gradients(shapes):
    a, b = (Tensor(np.ones(shape), requires_grad=True) for shape in shapes)
    s, t = (torch.ones(shape, requires_grad=True) for shape in shapes)
    (a @ b).sum().backward()
    (s @ t).sum().backward()
    for ours, theirs in ((a, s), (b, t)):
        np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())
        assert ours.grad.shape == theirs.grad.shape


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_over_any_axis(dim, rng):
    data, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    for name in ("softmax", "log_softmax"):
        ours, theirs = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        y, expected = getattr(F, name)(ours, dim=dim), getattr(torch.nn.functional, name)(theirs, dim=dim)
        np.testing.assert_allclose(y.data, expected.detach().numpy())
        y.backward(w)
        expected.backward(torch.tensor(w))
        np.testing.assert_allclose(ours.grad, theirs.grad.numpy())
