"""The engine: order, accumulation, aliasing, un-broadcasting, releasing."""

import gc
import math
import threading
import weakref

import numpy as np
import pytest

from minitx.autograd import engine
from minitx.autograd.context import current, no_grad
from minitx.autograd.engine import topological_order, unbroadcast
from minitx.autograd.tensor import Tensor, cat, where
from minitx.learn.gradcheck import gradcheck

pytestmark = pytest.mark.quick


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


# -- order ----------------------------------------------------------------------------------------------------


def test_why_order_matters():
    """b = a + a; c = b + b: recursing at the first visit of b would count its gradient twice."""
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.tolist() == [4]
    d = c * b  # once more with an uneven graph: d = (4a)(2a) = 8a², of depth 1 on one side and 2 on the other
    a.grad = None
    b = a + a
    c = b + b
    d = c * b
    d.backward()
    assert a.grad.tolist() == [16]


def test_a_diamond():
    x = leaf(0.3)
    left, right = x.exp(), x * x
    (left * right + left).backward()
    e = math.exp(0.3)
    assert x.grad[0] == pytest.approx(e * 0.09 + e * 0.6 + e)


def test_topological_order_has_every_node_before_its_parents():
    x = leaf(1.0, 2)
    a = x * 2
    b = a.exp() + a
    c = b * a
    order = topological_order(c)
    place = {id(node): i for i, node in enumerate(order)}
    assert order[0] is c
    assert len(place) == len(order) == 4
    for node in order:
        for parent in node.parents:
            assert parent.is_leaf or place[id(parent)] > place[id(node)]


def test_a_chain_of_50_000_nodes():
    x = leaf(1.0, -2)
    y = x
    for _ in range(50_000):
        y = y + 0.001
    y.backward(np.array([3.0, 4]))
    assert x.grad.tolist() == [3, 4]
    del y  # releasing it must not recurse either


def test_a_deep_chain_that_is_never_used_is_released_without_recursion():
    y = leaf(1.0)
    for _ in range(20_000):
        y = y + 0.001
    ghost = weakref.ref(y)
    del y
    gc.collect()
    assert ghost() is None


# -- accumulation and aliasing --------------------------------------------------------------------------------


def test_leaves_accumulate_and_inner_nodes_keep_nothing():
    x = leaf(1.0, 2)
    for times in (1, 2, 3):
        y = x * 3
        y.sum().backward()
        assert x.grad.tolist() == [3.0 * times] * 2
        assert y.grad is None


def test_no_two_gradients_share_memory():
    """x + w gives the same dy to both: clipping one in place must not clip the other."""
    x, w, v = leaf(1.0, 2), leaf(3.0, 4), leaf(5.0, 6)
    dy = np.array([1.0, 10])
    (x + w + v.reshape(2, 1).reshape(2)).backward(dy)
    arrays = [x.grad, w.grad, v.grad, dy]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)
        assert a.flags.writeable
    x.grad *= 0
    assert w.grad.tolist() == v.grad.tolist() == dy.tolist() == [1, 10]


def test_backward_of_a_leaf_copies():
    x, dy = leaf(1.0, 2), np.array([1.0, 10])
    x.backward(dy)
    x.backward(dy)
    assert x.grad.tolist() == [2, 20]
    assert dy.tolist() == [1, 10]


def test_the_same_tensor_in_every_place():
    x = leaf(1.0, 2, 3)
    y = cat([x, x * x, x]) * 2
    y.backward(np.arange(9.0))
    np.testing.assert_allclose(x.grad, 2 * (np.arange(3) + np.arange(3, 6) * 2 * x.data + np.arange(6, 9)))
    x.grad = None
    (x * x).backward(np.ones(3))
    assert x.grad.tolist() == [2, 4, 6]
    x.grad = None
    where(np.array([True, False, True]), x, x).backward(np.array([1.0, 2, 3]))
    assert x.grad.tolist() == [1, 2, 3]


def test_changing_a_leaf_between_forward_and_backward_of_a_view():
    x = leaf(1.0, 2, 3, 4)
    view = x[1:3]
    assert np.shares_memory(view.data, x.data)
    (view * 2).backward(np.array([1.0, 5]))
    assert x.grad.tolist() == [0, 2, 10, 0]


def test_gradients_take_the_dtype_of_their_tensor():
    x, w = Tensor(np.ones(3, np.float32), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    y = x * w
    assert y.dtype == np.float64
    y.backward(np.ones(3))
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)


# -- backward as torch has it ---------------------------------------------------------------------------------


def test_a_second_backward_says_what_to_do():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"already been through this graph and released it.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4]


def test_retain_graph_keeps_it_for_another():
    x = leaf(2.0)
    y = (x * x).exp()
    y.backward(retain_graph=True)
    once = x.grad.copy()
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * once)


def test_backward_releases_activations():
    x = leaf(1.0, 2)
    inner = x.exp()
    ghost = weakref.ref(inner)
    y = (inner * 2).sum()
    del inner
    assert ghost() is not None
    y.backward()
    assert ghost() is None


def test_three_training_steps_leave_no_graph_behind():
    x, ghosts = leaf(1.0, 2), []
    for _ in range(3):
        y = (x.exp() * x).sum()
        ghosts.append(weakref.ref(y))
        y.backward()
    del y
    assert [ghost() for ghost in ghosts] == [None] * 3


def test_a_gradient_may_be_a_tensor_or_broadcast():
    x = leaf(1.0, 2)
    (x * 3).backward(Tensor(np.array([1.0, 2])))
    assert x.grad.tolist() == [3, 6]
    (x * 3).backward(1)
    assert x.grad.tolist() == [6, 9]
    with pytest.raises(ValueError, match="broadcast"):
        (x * 3).backward(np.ones(3))


def test_backward_without_anything_to_do():
    with pytest.raises(RuntimeError, match="nothing to do: this tensor depends on none"):
        Tensor([1.0]).backward()
    with pytest.raises(RuntimeError, match=r"shape \(2,\) needs `gradient`"):
        (leaf(1.0, 2) * 2).backward()
    x = leaf(1.0)
    x.backward()
    assert x.grad.tolist() == [1]


def test_frozen_leaves_get_no_gradient_but_let_it_through():
    x, frozen = leaf(1.0, 2), Tensor(np.array([3.0, 4]))
    ((x * frozen).exp() * frozen).sum().backward()
    assert frozen.grad is None
    np.testing.assert_allclose(x.grad, frozen.data**2 * np.exp(x.data * frozen.data))


def test_nothing_is_recorded_below_a_frozen_bottom():
    frozen = Tensor(np.ones(3))
    y = (frozen * 2).exp()
    assert y.is_leaf
    assert not y.requires_grad
    assert y.parents == ()
    assert [node.op for node in topological_order(y * leaf(1.0, 2, 3))] == ["Tensor.__mul__"]


# -- no_grad --------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_is_restored():
    x = leaf(1.0)
    with no_grad():
        assert not current().recording
        assert (x * 2).is_leaf
        with no_grad():
            pass
        assert not current().recording
    assert current().recording
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert current().recording

    @no_grad()
    def double(x):
        return x * 2

    assert not double(x).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_is_per_thread():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


# -- un-broadcasting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "want"),
    [((4, 3, 2), (3, 1)), ((4, 3), ()), ((1, 3), (3,)), ((2, 3), (2, 3)), ((0, 3), (3,)), ((3,), (1,))],
)
def test_unbroadcast(have, want):
    gradient = np.random.default_rng(0).normal(size=have)
    units = np.eye(math.prod(want)).reshape(-1, *want)
    expected = [np.vdot(np.broadcast_to(unit, have), gradient) for unit in units]  # by one element each
    result = unbroadcast(gradient, want)
    assert result.shape == want
    np.testing.assert_allclose(result.ravel(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("have", "want"), [((3,), (2, 3)), ((3, 4), (4, 3)), ((2,), (3,)), ((), (1,)), ((1, 3), (2, 3))]
)
def test_unbroadcast_refuses_what_no_broadcast_made(have, want):
    with pytest.raises(ValueError, match="cannot belong to an input of shape"):
        unbroadcast(np.ones(have), want)


# -- names, threads, and all of it together -------------------------------------------------------------------


def test_the_name_of_an_op_is_that_of_the_function_around_its_backward():
    def swish(x):
        def backward(dy):
            return (dy,)

        return Tensor.from_op(x.data, (x,), backward)

    assert swish(leaf(1.0)).op == "swish"
    assert engine.op_name(test_a_diamond) == "test_a_diamond"


def test_a_graph_over_several_threads():
    """Two threads, each its own graph over shared leaves' values."""
    x, results = np.random.default_rng(0).normal(size=(4, 3)), {}

    def work(i):
        w = Tensor(x, requires_grad=True)
        (w * w).sum().backward()
        results[i] = w.grad

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(results[i], 2 * x)


def test_gradcheck_through_a_graph_that_uses_all_of_it():
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.uniform(0.5, 1.5, shape), requires_grad=True) for shape in [(3, 4), (4,)])

    def func(x, w):
        a = x * w
        b = a[1:] / a[:-1]
        return cat([b.exp(), a, b.T.reshape(2, 4)]).max(dim=0) + a.sum(dim=0)

    assert gradcheck(func, (x, w))
