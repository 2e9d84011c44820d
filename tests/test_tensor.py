"""Tensor: what it is and refuses, indexing, mixed arithmetic, and that no two gradients share memory."""

import math

import numpy as np
import pandas as pd
import pytest

from minitx.autograd import functional as F
from minitx.autograd.rows import RowGradient
from minitx.autograd.tensor import Tensor, as_tensor, cat, stack, where
from minitx.nn.layers import Dropout, Embedding
from minitx.nn.module import Parameter
from minitx.training.optim import AdamW, clip_grad_norm_

pytestmark = pytest.mark.quick


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


# -- the tensor as an object ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2], np.float32),
        (1.5, np.float32),
        (np.float64(1.5), np.float64),
        (np.ones(2), np.float64),
        (np.ones(2, np.float32), np.float32),
        ([1, 2], np.int64),
        (True, bool),
    ],
)
def test_dtypes(data, dtype):
    assert Tensor(data).dtype == dtype
    assert Tensor(data, dtype=np.float64).dtype == np.float64


def test_arrays_are_not_copied():
    x = np.ones(3)
    assert Tensor(x).data is x
    assert Tensor(x).detach().data is x


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Tensor(Tensor([1.0])), TypeError, "is already a Tensor"),
        (lambda: Tensor("text"), TypeError, "holds numbers, not <U4"),
        (lambda: Tensor([1.0], np.float64), TypeError, "positional argument"),  # which would mean requires_grad
        (
            lambda: Tensor([1, 2], requires_grad=True),
            TypeError,
            "only floating-point tensors .* int64: convert",
        ),
        (lambda: leaf(1.0).numpy(), RuntimeError, r"use \.detach\(\)\.numpy\(\)"),
        (lambda: np.asarray(leaf(1.0)), RuntimeError, r"use \.detach\(\)\.numpy\(\)"),
        (lambda: math.exp(leaf(1.0, 2)), ValueError, "array of size 1"),
        (lambda: leaf(1.0, 2).__setitem__(0, 3), TypeError, r"build a new one with where\(\) or cat\(\)"),
        (
            lambda: leaf([1.0, 2]) @ leaf([1.0, 3, 4]),
            ValueError,
            r"\(1, 2\) @ \(1, 3\): a row of the first must",
        ),
        (lambda: leaf([1.0, 2]) @ 2.0, ValueError, r"\(1, 2\) @ \(\): a row of the first must"),
        (lambda: F.linear(leaf([1.0, 2]), leaf([1.0, 3, 4])), ValueError, r"shape \(1, 2\); expected a last axis of 3"),
        (lambda: bool(leaf(1.0, 2)), ValueError, "ambiguous"),
        (lambda: leaf(1.0, 2).sum(0, 1), TypeError, r"keepdim must be True or False, not 1; several axes are a tuple"),
        (lambda: leaf(1.0, 2).max(0, 0), TypeError, "keepdim must be True or False, not 0"),
        (lambda: leaf(1.0).no_such_thing, AttributeError, "no_such_thing"),
        (lambda: setattr(leaf(1.0), "gard", 3), AttributeError, "gard"),
    ],
)
def test_refusals_say_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_array_on_the_left_leaves_it_to_the_tensor():
    x = leaf(1.0, 2)
    for y, values in (
        (np.array([3.0, 4]) * x, [3, 8]),
        (np.array([3.0, 4]) + x, [4, 6]),
        (np.array([3.0, 4]) - x, [2, 2]),
        (np.array([3.0, 4]) / x, [3, 2]),
        (np.array([[3.0, 4]]) @ x, [11]),
        (np.float64(2) * x, [2, 4]),
    ):
        assert isinstance(y, Tensor)
        assert y.requires_grad
        assert y.data.tolist() == values


@pytest.mark.parametrize("number", [2, 2.5, np.float64(2.5), np.int64(2), np.float32(2.5)])
def test_a_number_never_widens(number):
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (x * number, number * x, x + number, number - x, x / number, number / x, x**number):
        assert y.dtype == np.float32
    assert as_tensor(number, x).dtype == np.float32


def test_integers_meet_numbers_as_in_numpy():
    x = Tensor([1, 2])
    assert (x * 2).dtype == np.int64
    assert (x * 2.5).data.tolist() == [2.5, 5]


def test_looks_and_sizes():
    x = Tensor([[1.0, 2], [3, 4]], requires_grad=True)
    assert repr(x) == "Tensor([[1., 2.],\n        [3., 4.]], requires_grad=True)"
    assert repr(x * 2).endswith("op=Tensor.__mul__)")
    assert repr(Tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 2), 2, 4, 2)
    assert x.sum().item() == 10
    assert bool(x.sum())
    assert [row.shape for row in (x[i] for i in range(2))] == [(2,), (2,)]
    assert np.asarray(x.detach()).tolist() == x.detach().numpy().tolist() == [[1, 2], [3, 4]]
    assert np.array(x.detach(), dtype=np.float64, copy=True).dtype == np.float64
    assert x.op == "leaf"
    assert (x.T @ x).op == "Tensor.__matmul__"
    assert isinstance(Parameter(np.ones(2)) * 2, Tensor)


@pytest.mark.parametrize("values", [[0.1, 1.7], (0.1, 1.7), [1, 2], [True, True], pd.Series([0.1, 1.7])])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_of_numbers_take_the_tensors_precision(values, dtype):
    x = Tensor(np.array([3, 7], dtype), requires_grad=True)
    exact = np.asarray(values, dtype)
    for y, expected in ((x * values, x.data * exact), (x / values, x.data / exact), (x - values, x.data - exact)):
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.data, expected)


def test_lists_meet_integers_as_numbers_do():
    x = Tensor([1, 2])
    assert (x * [2, 3]).dtype == np.int64
    assert (x * [0.1, 2.5]).data.tolist() == [0.1, 5]
    assert (Tensor([True, False]) * [True, True]).dtype == bool
    with pytest.raises(TypeError, match="holds numbers, not <U1"):
        _ = x * ["a", "b"]


@pytest.mark.parametrize("number", [300, np.int64(300), [300, 1]])
def test_a_number_that_does_not_fit_is_refused(number):
    with pytest.raises(OverflowError):
        _ = Tensor(np.array([1, 2], np.uint8)) * number


def test_the_variance_of_integers_is_a_fraction():
    np.testing.assert_array_equal(Tensor([1, 2, 4]).var().data, np.var([1, 2, 4], ddof=1))


def test_arrays_keep_their_precision():
    assert (Tensor(np.ones(2, np.float32)) * np.array([0.1, 0.2])).dtype == np.float64


# -- indexing ---------------------------------------------------------------------------------------------------

NO_INDICES = {
    "fraction": 1.0,
    "fractions": [0.0, 1.0],
    "text": "text",
    "slice in a list": [slice(2)],
    "Tensor of fractions": leaf(1.0),
    "complex": np.array([1 + 2j]),
    "object": object(),
}


@pytest.mark.parametrize("index", NO_INDICES.values(), ids=NO_INDICES)
def test_what_is_no_index_is_refused(index):
    x = leaf(1.0, 2, 3)
    for part in (index, (index,), (..., index)):
        with pytest.raises(IndexError, match="an index holds integers, slices"):
            _ = x[part]


def test_an_index_beyond_the_end_is_refused():
    for index in (3, [0, 3], [-4], (0, 0), [True, False]):
        with pytest.raises(IndexError):
            _ = leaf(1.0, 2, 3)[index]


def test_an_index_may_be_reused_before_backward():
    x, index = leaf(1.0, 2, 3), np.array([0, 0])
    y = x[index]
    index[...] = 2
    y.backward(np.array([1.0, 10]))
    assert x.grad.tolist() == [11, 0, 0]


# -- ids of embeddings, rates of dropout ------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[0, 1], [-1, 2]], IndexError, "id -1 is out of range: this table has rows 0 to 3"),
        ([0, 4], IndexError, "id 4 is out of range: this table has rows 0 to 3"),
        ([0.0, 1.0], TypeError, "ids must be integers, not float64"),
        ([True, False, True, True], TypeError, "ids must be integers, not bool"),
    ],
)
def test_embedding_refuses_ids_that_are_no_rows(ids, error, message, sparse, rng):
    layer = Embedding(4, 3, sparse=sparse, rng=rng)
    with pytest.raises(error, match=message):
        layer(np.array(ids))


@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_ids_of_any_shape_and_kind(sparse, rng):
    table = Tensor(rng.normal(size=(4, 3)), requires_grad=True)
    for ids in (np.zeros((2, 0), int), np.array(3, np.uint8), [[1, 1], [0, 3]], Tensor([2, 2]), np.int32([0])):
        rows = np.asarray(ids)
        y = F.embedding(ids, table, sparse)
        np.testing.assert_array_equal(y.data, table.data[rows])
        dy = rng.normal(size=y.shape)
        table.grad = None
        y.backward(dy)
        expected = np.zeros((4, 3))
        np.add.at(expected, rows, dy)
        np.testing.assert_allclose(np.asarray(table.grad), expected, atol=1e-15)


@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_ids_may_be_reused_before_the_step(sparse):
    table, ids = Tensor(np.zeros((4, 1)), requires_grad=True), np.array([0, 0])
    y = F.embedding(ids, table, sparse)
    ids[...] = 3
    y.backward(np.array([[1.0], [10]]))
    ids[...] = 2
    assert np.asarray(table.grad).ravel().tolist() == [11, 0, 0, 0]


@pytest.mark.parametrize("p", [0.999995, 1 - 1 / 2**17, 1.0, -0.1, math.nan])
def test_a_dropout_rate_whose_scale_would_be_infinite_is_refused(p, rng):
    x = Tensor(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"must be from 0 to 0\.99998474"):
        F.dropout(x, p, rng)
    with pytest.raises(ValueError, match=r"must be from 0 to 0\.99998474"):
        F.attention(*[x.reshape(1, 2, 3)] * 3, num_heads=1, dropout_p=p, rng=rng)


def test_the_highest_dropout_rate_keeps_the_mean(rng):
    x = Tensor(np.ones(2**22, np.float32))
    y = Dropout(65535 / 65536, rng=rng)(x).data
    assert set(np.unique(y)) == {0, 65536}
    assert y.mean() == pytest.approx(1, abs=5 * 65536**0.5 / 2**11)  # five standard deviations


def test_dropout_without_a_generator_says_so():
    x, ones = Tensor(np.ones((1, 2, 4))), Tensor(np.ones(4))
    for call in (
        lambda: F.attention(x, x, x, 2, dropout_p=0.5),
        lambda: F.add_layer_norm(x, x, ones, ones, p=0.5),
        lambda: F.dropout(x, 0.5, None),
    ):
        with pytest.raises(ValueError, match="dropout needs a random generator: pass rng"):
            call()


# -- no two gradients share memory ------------------------------------------------------------------------------


# Of the engine of today; strict, so that the marks go when it is mended.
def memory(gradient):
    return [gradient.rows, gradient.values] if isinstance(gradient, RowGradient) else [gradient]


def assert_own(leaves, *others):
    """Each leaf's gradient can be written to, and shares no memory with another leaf's or with `others`."""
    grads = [memory(x.grad) for x in leaves]
    for i, own in enumerate(grads):
        assert own[-1].flags.writeable
        for array in own:
            for other in (*(a for grad in grads[:i] for a in grad), *others, *(x.data for x in leaves)):
                assert not np.shares_memory(array, other)


def twice(x, w):
    """x + w by hand, as a first op often is: the same new array for both."""

    def backward(dy):
        d = dy * 1
        return d, d

    return Tensor.from_op(x.data + w.data, (x, w), backward)


def overlapping(x, w):
    """x + w, but of one array: w gets a view of what x gets."""

    def backward(dy):
        d = np.concatenate([dy, dy])
        return d[: len(dy)], d[len(dy) // 2 :][: len(dy)]

    return Tensor.from_op(x.data + w.data, (x, w), backward)


def lazily_twice(x, w):
    """x + w, the same array from two functions."""

    def backward(dy):
        d = dy * 1
        return (lambda: d), (lambda: d)

    return Tensor.from_op(x.data + w.data, (x, w), backward)


SUMS = [twice, lazily_twice]


@pytest.mark.parametrize("func", [*SUMS, overlapping, lambda x, w: x + w, lambda x, w: cat([x, w])])
def test_two_leaves_of_one_op(func):
    x, w = leaf(1.0, 2, 3, 4), leaf(5.0, 6, 7, 8)
    dy = np.arange(1.0, len(func(x, w)) + 1)
    func(x, w).backward(dy)
    assert_own([x, w], dy)
    expected = [x.grad.copy(), w.grad.copy()]
    clip_grad_norm_([x, w], 1.0)
    norm = math.sqrt(sum((g * g).sum() for g in expected))
    for p, g in zip((x, w), expected, strict=True):
        np.testing.assert_allclose(p.grad, g / norm, rtol=1e-5)


@pytest.mark.parametrize("func", SUMS)
def test_gradients_that_meet_others_on_the_way(func):
    """One leaf gets its array at once, the other after a sum, and a second pass adds to both."""
    x, w = leaf(1.0, 2), leaf(3.0, 4)
    for times in (1, 2):
        (func(x, w) + func(w, x) * 2).backward(np.array([1.0, 10]))
        assert x.grad.tolist() == w.grad.tolist() == [3.0 * times, 30 * times]
        assert_own([x, w])


def test_one_array_for_the_same_leaf_three_times():
    """Added to itself in place, it would be doubled twice: 4 in place of 3."""
    x = leaf(1.0, 2)

    def backward(dy):
        d = dy * 1
        return d, d, d

    Tensor.from_op(3 * x.data, (x, x, x), backward).backward(np.array([1.0, 10]))
    assert x.grad.tolist() == [3, 30]


def test_one_array_for_a_leaf_and_for_a_node_that_comes_later():
    """The leaf's gradient grows while the node still waits: its dy must not grow with it."""
    x, w = leaf(1.0, 2), leaf(3.0, 4)
    node = w * 5
    y = twice(x, node)
    x_again = x * 7  # made last, so its gradient is there first

    def backward(dy):
        d = dy * 1
        return d, d, d

    Tensor.from_op(x.data + y.data + x_again.data, (x, y, x_again), backward).backward(np.array([1.0, 10]))
    assert x.grad.tolist() == [9, 90]
    assert w.grad.tolist() == [5, 50]


def test_views_of_dy():
    x, w, v = leaf(1.0, 2, 3, 4), leaf(5.0, 6, 7, 8), leaf(1.0)
    dy = np.arange(4.0)
    views = Tensor.from_op(x.data, (x, w, v), lambda dy: (dy[::-1], dy.reshape(2, 2).reshape(-1), dy[:1]))
    views.backward(dy, retain_graph=True)
    assert_own([x, w, v], dy)
    assert dy.tolist() == [0, 1, 2, 3]
    views.backward(dy)
    assert x.grad.tolist() == [6, 4, 2, 0]
    assert (w.grad.tolist(), v.grad.tolist()) == ([0, 2, 4, 6], [0])
    assert_own([x, w, v], dy)


def test_an_array_that_the_op_keeps():
    """A linear op's derivative is a constant, and it is tempting to return it: clipping must not change the op."""
    x, kept = leaf(1.0, 2), np.array([3.0, 40])
    y = Tensor.from_op((x.data * kept).sum(), (x,), lambda dy: (kept,))
    y.backward(retain_graph=True)
    assert_own([x], kept)
    clip_grad_norm_([x], 1.0)
    assert kept.tolist() == [3, 40]
    x.grad = None
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6, 80]
    assert kept.tolist() == [3, 40]


def test_a_kept_array_handed_out_by_a_function():
    x, w, kept = leaf(1.0, 2), leaf(1.0, 2), np.array([3.0, 40])
    y = Tensor.from_op((x.data + w.data) @ kept, (x, w), lambda dy: (lambda: kept, lambda: kept))
    y.backward(retain_graph=True)
    y.backward()
    assert_own([x, w], kept)
    assert x.grad.tolist() == w.grad.tolist() == [6, 80]
    assert kept.tolist() == [3, 40]


def test_the_derivative_is_the_leafs_own_data():
    """d(x²/2) = x dy: with dy = 1, an op may return the very array that the optimizer moves."""
    x = leaf(3.0, 4)
    Tensor.from_op((x.data * x.data).sum() / 2, (x,), lambda dy: (x.data,)).backward()
    assert_own([x])
    clip_grad_norm_([x], 1.0)
    assert x.data.tolist() == [3, 4]


def test_backward_straight_into_leaves():
    x, dy = leaf(1.0, 2), np.array([1.0, 10])
    x.backward(dy)
    assert_own([x], dy)
    (x.reshape(2, 1).T).backward(dy[None])
    assert_own([x], dy)
    (x + 0).backward(1)  # of a number, stretched: read-only
    assert_own([x], dy)
    assert x.grad.tolist() == [3, 21]


def test_a_sum_hands_out_an_array_that_can_be_written_to():
    x = leaf(1.0, 2, 3)
    x.sum().backward()
    assert_own([x])
    x.grad *= 2
    assert x.grad.tolist() == [2, 2, 2]


def tables(number):
    return [Parameter(np.zeros((4, 2), np.float64)) for _ in range(number)]


def test_two_row_gradients_of_one_sum():
    """Clipped to 1 in place; sharing their values, each would be scaled twice, to 0.118."""
    first, second = tables(2)
    ids, dy = np.array([0, 2, 3]), np.full((3, 2), 2.0)
    (F.embedding(ids, first, sparse=True) + F.embedding(ids, second, sparse=True)).backward(dy)
    assert_own([first, second], ids, dy)
    assert clip_grad_norm_([first, second], 1.0) == pytest.approx(math.sqrt(48))
    norm = math.sqrt(sum((np.asarray(p.grad) ** 2).sum() for p in (first, second)))
    assert norm == pytest.approx(1, rel=1e-5)
    assert (dy == 2).all()


def test_a_row_gradient_beside_a_full_one():
    (table,), x = tables(1), leaf(*np.zeros((3, 2)))
    ids, dy = np.array([0, 2, 3]), np.full((3, 2), 2.0)
    (F.embedding(ids, table, sparse=True) + x).backward(dy)
    assert_own([table, x], ids, dy)


@pytest.mark.parametrize("ids", [[0, 2, 3], [3, 0, 3], [1]], ids=str)
@pytest.mark.parametrize("gradient", [np.full((1, 2), 2.0), 2.0], ids=["array", "number"])
def test_clipping_the_rows_of_a_given_gradient(ids, gradient, rng):
    """`backward(g)` straight into a sparse embedding: g is the caller's, and may be stretched and so read-only."""
    layer = Embedding(5, 2, sparse=True, rng=rng).to(np.float64)
    layer(np.array(ids)).backward(gradient)
    clip_grad_norm_([layer.weight], 0.5)
    assert np.linalg.norm(np.asarray(layer.weight.grad)) == pytest.approx(0.5, rel=1e-5)
    assert (gradient == 2) if isinstance(gradient, float) else (gradient == 2).all()
    before = layer.weight.data.copy()
    AdamW([layer.weight]).step()
    assert (layer.weight.data != before).any(axis=1)[ids].all()


def test_row_gradients_over_several_backward_passes():
    first, second = tables(2)
    dy = np.full((3, 2), 2.0)
    y = F.embedding(np.array([0, 0, 3]), first, sparse=True) + F.embedding(np.array([1, 2, 3]), second, sparse=True)
    for times in (1, 2, 3):
        y.backward(dy, retain_graph=True)
        assert_own([first, second], dy)
        assert np.asarray(first.grad).tolist() == [[4 * times] * 2, [0, 0], [0, 0], [2 * times] * 2]
        assert np.asarray(second.grad).tolist() == [[0, 0]] + [[2 * times] * 2] * 3
    assert (dy == 2).all()


def test_where_keeps_no_condition_that_the_caller_may_change():
    x, y, condition = leaf(1.0, 2), leaf(3.0, 4), np.array([True, False])
    z = where(condition, x, y)
    condition[:] = False
    z.sum().backward()
    assert x.grad.tolist() == [1, 0]


def test_a_row_gradient_given_as_out_is_written_into():
    rows = RowGradient(np.array([2, 0]), np.array([[1.0, 2.0], [3.0, 4.0]]), (3, 2))
    assert np.multiply(rows, 2, out=rows) is rows
    assert np.asarray(rows).tolist() == [[6, 8], [0, 0], [2, 4]]


def test_a_tensor_of_one_element_is_a_number_where_python_wants_one():
    x = Tensor(np.array([2.25]))
    assert (float(x), int(x), f"{x.sum():.1f}", f"{x}") == (2.25, 2, "2.2", str(x))


def test_a_leaf_is_not_changed_in_place_and_what_was_computed_is():
    """`w -= rate * w.grad` would make w another tensor, which no optimizer knows."""
    for change in ("w += 1", "w -= 1", "w *= 2", "w /= 2"):
        w = Tensor(np.ones(2), requires_grad=True)
        with pytest.raises(RuntimeError, match=r"not changed in place: write to its array, as in w.data -="):
            exec(change, {"w": w})
        y = w * 2
        scope = {"w": y}
        exec(change, scope)
        scope["w"].sum().backward()
        assert scope["w"] is not y
        assert (w.grad != 0).all()
    constant = Tensor(np.ones(2))
    constant += 1
    np.testing.assert_array_equal(constant.data, [2, 2])


def test_values_and_indices_are_not_unpacked_from_values_alone():
    x = Tensor(np.array([[1.0, 9.0], [7.0, 3.0]]), requires_grad=True)
    for largest in (x.max(dim=1), x.min(dim=0)):
        with pytest.raises(TypeError, match=r"as torch.amax does: argmax\(dim\) says where"):
            _, _ = largest
        with pytest.raises(TypeError, match=r"the values alone: leave \[0\] out, or say \[:1\]"):
            largest[0]
        np.testing.assert_array_equal(largest[:1].data, largest.data[:1])
        (largest * 2).sum().backward()
    assert type(x.max()) is type(x.max(dim=1) * 1) is Tensor


def test_a_vector_is_its_own_transpose():
    np.testing.assert_array_equal(Tensor([1.0, 2.0]).T.data, [1, 2])


def test_one_tensor_is_no_list_of_tensors():
    """Its rows can be gone through, and would be taken for what is joined, or for an op's parents."""
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for wrong in (lambda: cat(x), lambda: stack(x, x), lambda: Tensor.from_op(x.data, x, lambda dy: (dy,))):
        with pytest.raises(TypeError, match=r"Tensors in a list or tuple, as \[x, y\] or \(x,\), not Tensor"):
            wrong()
    with pytest.raises(TypeError, match="not ndarray"):
        cat([x, x.data])
