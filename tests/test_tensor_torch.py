"""Indexing a Tensor: for every kind of index, torch's values and gradients."""

import numpy as np
import pandas as pd
import pytest
import torch

from minitx.autograd.tensor import Tensor

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
    x, twin = Tensor(data, True), torch.tensor(data, requires_grad=True)
    y, expected = x[ours], twin[ours if theirs is None else theirs]
    assert y.shape == tuple(expected.shape)
    np.testing.assert_array_equal(y.data, expected.detach())
    dy = rng.normal(size=y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(x.grad, twin.grad, rtol=0, atol=1e-15)
