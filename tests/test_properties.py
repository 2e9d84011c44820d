"""Properties that hold for any shapes and any graph, against torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from minitx.autograd.engine import unbroadcast
from minitx.autograd.tensor import Tensor, cat, where

few = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
shapes_of = mutually_broadcastable_shapes
REDUCTIONS = ("sum", "mean", "amax")

BINARY = {
    "+": lambda x, w: x + w,
    "-": lambda x, w: x - w,
    "*": lambda x, w: x * w,
    "/": lambda x, w: x / w,
}


def both(arrays):
    """The same arrays as leaves here and in torch."""
    return [Tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def assert_same(ours, twins, y, expected, rng):
    """Value and every gradient under a random cotangent."""
    np.testing.assert_allclose(y.data, expected.detach(), rtol=1e-9, atol=1e-11)
    dy = rng.normal(size=y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    for x, twin in zip(ours, twins, strict=True):
        assert (x.grad is None) == (twin.grad is None)
        if x.grad is not None:
            assert x.grad.shape == x.shape
            scale = max(1, float(twin.grad.abs().max())) if twin.grad.numel() else 1
            np.testing.assert_allclose(x.grad, twin.grad, rtol=1e-8, atol=1e-10 * scale)


# -- broadcasting -----------------------------------------------------------------------------------


@few
@given(
    mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=4), st.sampled_from([*BINARY]), seeds
)
def test_arithmetic_broadcasts_as_in_torch(shapes, op, seed):
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.uniform(0.5, 1.5, shape) for shape in shapes.input_shapes])
    y, expected = BINARY[op](*ours), BINARY[op](*twins)
    assert y.shape == shapes.result_shape
    assert_same(ours, twins, y, expected, rng)


@few
@given(shapes_of(num_shapes=3, min_side=1, max_side=3, max_dims=3), seeds)
def test_where_broadcasts_as_in_torch(shapes, seed):
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=shape) for shape in shapes.input_shapes[:2]])
    condition = rng.random(shapes.input_shapes[2]) < 0.5
    assert_same(ours, twins, where(condition, *ours), torch.where(torch.tensor(condition), *twins), rng)


@few
@given(shapes_of(signature="(n?,k),(k,m?)->(n?,m?)", min_side=1, max_side=3, max_dims=2), seeds)
def test_matmul_broadcasts_as_in_torch(shapes, seed):
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=shape) for shape in shapes.input_shapes])
    assert_same(ours, twins, ours[0] @ ours[1], twins[0] @ twins[1], rng)


@few
@given(shapes_of(num_shapes=1, base_shape=(2, 3, 1, 2), max_dims=4, max_side=3), seeds)
def test_unbroadcast_is_the_adjoint_of_broadcasting(shapes, seed):
    """<broadcast(x), g> = <x, unbroadcast(g)>, which is what makes it the derivative."""
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=shapes.input_shapes[0]), rng.normal(size=shapes.result_shape)
    assert np.vdot(np.broadcast_to(x, g.shape), g) == pytest.approx(np.vdot(x, unbroadcast(g, x.shape)), abs=1e-10)


# -- reductions and views ---------------------------------------------------------------------------


@few
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data(), st.sampled_from(REDUCTIONS), seeds)
def test_reductions_over_any_axes(shape, data, name, seed):
    axes = st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=len(shape))
    dim = tuple(data.draw(axes.filter(lambda axes: len({axis % len(shape) for axis in axes}) == len(axes))))
    keepdim, rng = data.draw(st.booleans()), np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=shape)])
    y = getattr(ours[0], name.removeprefix("a"))(dim=dim, keepdim=keepdim)
    assert_same(ours, twins, y, getattr(twins[0], name)(dim=dim, keepdim=keepdim), rng)


@few
@given(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=4, max_size=4), st.data(), seeds)
def test_a_chain_of_views(order, shape, data, seed):
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=shape)])
    axis, start = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 1))
    size = math.prod(shape)

    def func(x):
        x = x.permute(*order).transpose(0, axis)
        return x[start:, ..., None, 0].reshape(-1) if size and x.shape[0] > start else x.reshape(-1)

    assert_same(ours, twins, func(ours[0]), func(twins[0]), rng)


@few
@given(st.lists(st.integers(-4, 3), min_size=1, max_size=9), st.integers(1, 3), seeds)
def test_rows_picked_any_number_of_times(rows, width, seed):
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=(4, width))])
    index = np.array(rows)
    assert_same(ours, twins, ours[0][index], twins[0][torch.tensor(index)], rng)


# -- graphs -----------------------------------------------------------------------------------------

STEPS = {
    "add": lambda x, w: x + w,
    "subtract": lambda x, w: x - w,
    "multiply": lambda x, w: x * w * 0.5,
    "divide": lambda x, w: x / (w * w + 1),
    "matmul": lambda x, w: x @ w * 0.3,
    "transpose": lambda x, w: x.T,
    "tanh": lambda x, w: x.tanh(),
    "exp": lambda x, w: (x * 0.1).exp(),
    "sum": lambda x, w: x + w.sum(0) * 0.2,
    "mean": lambda x, w: x - w.mean(1)[:, None],
    "view": lambda x, w: x.reshape(9)[None].reshape(3, 3),
    "shift": lambda x, w: (torch.cat if isinstance(x, torch.Tensor) else cat)([x[1:], w[:1]]),
    "same": lambda x, w: x,
}
places = st.integers(0, 99)  # which of the tensors made so far, modulo their number


@settings(few, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from([*STEPS]), places, places), min_size=1, max_size=12),
    seeds,
)
def test_any_small_graph(steps, seed):
    """Diamonds, reuse, a tensor with itself, views of views: each step takes any two earlier tensors."""
    rng = np.random.default_rng(seed)
    ours, twins = both([rng.normal(size=(3, 3)) for _ in range(2)])
    made, expected = [*ours], [*twins]
    for name, i, j in steps:
        for tensors in (made, expected):
            tensors.append(STEPS[name](tensors[i % len(tensors)], tensors[j % len(tensors)]))
    outputs = [t.sum() if seed % 2 else t for t in (made[-1] + made[-2], expected[-1] + expected[-2])]
    assert_same(ours, twins, *outputs, rng)


@few
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), seeds)
def test_a_mask_of_requires_grad(which, seed):
    """Whatever is frozen, the gradients of the rest do not change, and the frozen get none."""
    rng = np.random.default_rng(seed)
    arrays, dy = [rng.normal(size=(2, 2)) for _ in range(3)], rng.normal(size=(2, 2))

    def gradients(frozen):
        leaves = [Tensor(a, requires_grad=i not in frozen) for i, a in enumerate(arrays)]
        y = leaves[0]
        for i in (*which, 0, 1, 2):
            y = (y @ leaves[i] * 0.5).tanh() + leaves[(i + 1) % 3]
        if y.requires_grad:
            y.backward(dy)
        return [x.grad for x in leaves]

    everything = gradients(())
    for frozen in ((0,), (1, 2), (0, 2), (0, 1, 2)):
        for i, (grad, full) in enumerate(zip(gradients(frozen), everything, strict=True)):
            if i in frozen:
                assert grad is None
            else:
                np.testing.assert_array_equal(grad, full)
