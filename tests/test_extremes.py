"""Numbers at the edge: huge, tiny, infinite, float16; no tokens and 10,000, all-masked rows, batches of 0 and 1.

Wherever torch is finite, so are minitx's values and gradients, and they are torch's; and where all of them are, NumPy
does not warn. `filterwarnings` is "error": a test without `np.errstate` shows that as well.
"""

import math

import numpy as np
import pytest
import torch
from test_ops_torch import TWINS
from torch.nn import functional as TF

from minitx.autograd import functional as F
from minitx.autograd.context import no_grad
from minitx.autograd.tensor import Tensor
from minitx.learn.cases import LAYERS, OPS, SIZES
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.nn.pooling import POOLING_MODES, Pooling
from minitx.text.bpe import BPETokenizer
from minitx.text.truncation import TruncationWarning

EXTREMES = {
    "1e4": [1e4, -1e4],
    "1e30": [1e30, -1e30],
    "infinite": [np.inf, -np.inf],
    "tiny": [1e-40, -1e-40, 0.0, -0.0],
    "mixed": [1e4, -1e4, 1e30, -1e30, 0.0, -0.0, 1e-30, 1e-40],
}
TOLERANCES = {np.float16: (2e-2, 2e-2), np.float32: (2e-5, 2e-6), np.float64: (1e-10, 1e-12)}  # relative, absolute
# What is left of sums of 1e30 and numbers near 1 depends on the order: these have tests of their own below.
PRODUCTS = {case.name for case in OPS if "matmul" in case.name or "attention" in case.name or "linear" in case.name}


def with_extremes(case, dtype, values, seed):
    """The case's function, its inputs, of which a third are `values` now, and torch's copies of the inputs."""
    call, inputs = case.build(dtype=dtype)
    rng = np.random.default_rng(seed)
    for x in inputs:
        if isinstance(x, Tensor):
            replaced = rng.random(x.shape) < 0.3
            x.data[replaced] = rng.choice(values, size=replaced.sum())
            if case.positive:
                np.abs(x.data, out=x.data)
    return (
        call,
        inputs,
        [torch.tensor(x.data, requires_grad=True) if isinstance(x, Tensor) else torch.tensor(x) for x in inputs],
    )


def assert_same_where_finite(ours, theirs, name):
    """Finite and equal wherever torch's number is finite; of the dtype torch's has."""
    finite = np.isfinite(theirs)
    rtol, atol = TOLERANCES[ours.dtype.type]
    scale = np.abs(theirs[finite]).max(initial=1)  # sums of large numbers of both signs
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol, atol * scale, err_msg=name)


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("case", [case for case in OPS if case.name not in PRODUCTS], ids=lambda case: case.name)
def test_every_op_is_finite_where_torch_is_and_equal(case, kind):
    for dtype in (np.float32, np.float64):
        for seed in range(3):
            call, inputs, twins = with_extremes(case, dtype, EXTREMES[kind], seed)
            expected = TWINS[case.name](*twins)
            dy = np.random.default_rng(1).normal(size=expected.shape).astype(dtype)
            expected.backward(torch.tensor(dy))
            theirs = [t.grad.numpy() for t in twins if t.grad is not None]
            quiet = all(np.isfinite(array).all() for array in (expected.detach().numpy(), *theirs))
            with np.errstate(all="raise" if quiet else "ignore", under="ignore"):
                y = call(*inputs)
                y.backward(dy)
            assert_same_where_finite(y.data, expected.detach().numpy(), "value")
            ours = [np.asarray(x.grad) for x in inputs if isinstance(x, Tensor)]
            for i, (mine, their) in enumerate(zip(ours, theirs, strict=True)):
                assert mine.dtype == dtype
                assert_same_where_finite(mine, their, f"gradient of input {i}")


# -- gelu's tail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gelu_far_from_0_is_exactly_0_or_x(dtype):
    """Half an ulp that is left of Φ would be multiplied by x: 3e22 for -1e30."""
    x = np.array([-3e4, -1e4, -300, -20, -9, 9, 20, 300, 1e4, 3e4] + [-1e30, 1e30] * (dtype != np.float16), dtype)
    ours = Tensor(x, requires_grad=True)
    y = F.gelu(ours)
    y.backward(np.ones_like(x))
    assert y.dtype == ours.grad.dtype == dtype
    np.testing.assert_array_equal(y.data[x > 0], x[x > 0])
    np.testing.assert_array_equal(ours.grad[x > 0], 1)
    np.testing.assert_allclose(y.data[x < 0], 0, atol=2e-18)  # -9 Φ(-9) is -1e-18
    np.testing.assert_allclose(ours.grad[x < 0], 0, atol=1e-16)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float16, 2e-3), (np.float32, 2.5e-7), (np.float64, 5e-14)])
def test_gelu_is_as_near_the_true_one_as_its_precision_allows(dtype, atol):
    x = np.linspace(-9, 3, 4001).astype(dtype)
    ours = Tensor(x, requires_grad=True)
    y = F.gelu(ours)
    y.backward(np.ones_like(x))
    cdf = np.array([0.5 * math.erfc(-v * math.sqrt(0.5)) for v in x.astype(float)])
    slope = cdf + x.astype(float) * np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi)
    assert np.abs(y.data - x * cdf).max() < 3 * atol
    assert np.abs(ours.grad - slope).max() < atol
    assert np.isfinite(y.data).all()


# -- products, attention --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e15])
def test_linear_with_large_inputs_is_as_near_torchs_as_the_order_of_a_sum_allows(dtype, size):
    rng = np.random.default_rng(0)
    x, w, b = (Tensor((size * rng.normal(size=s)).astype(dtype), requires_grad=True) for s in ((5, 6), (4, 6), (4,)))
    twins = [torch.tensor(t.data, requires_grad=True) for t in (x, w, b)]
    for activation, twin in {None: lambda h: h, "relu": TF.relu, "gelu": TF.gelu}.items():
        y, expected = F.linear(x, w, b, activation), twin(TF.linear(*twins))
        y.backward(np.ones(y.shape, dtype))
        expected.backward(torch.ones_like(expected))
        assert_same_where_finite(y.data, expected.detach().numpy(), f"value, {activation}")
    for t, twin in zip((x, w, b), twins, strict=True):
        assert_same_where_finite(t.grad, twin.grad.numpy(), "gradient")


def scoring(scores, dtype):
    """q, k and v (1, T, 4) of one head: key j scores `scores[j]` with every query, exactly if it is a power of 2."""
    T = len(scores)
    q, k = np.zeros((2, 1, T, 4), dtype)
    q[..., 0], k[..., 0] = 2, scores  # divided by √4
    v = np.random.default_rng(0).normal(size=(1, T, 4)).astype(dtype)
    return [Tensor(x, requires_grad=True) for x in (q, k, v)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scores", [[2.0**13, -(2.0**13), 0], [2.0**99, -(2.0**99), 1], [-(2.0**99)] * 3])
@pytest.mark.parametrize("real", [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
def test_attention_of_extreme_scores_is_torchs(dtype, scores, real):
    tensors, mask = scoring(scores, dtype), np.array([real], bool)
    twins = [torch.tensor(t.data, requires_grad=True) for t in tensors]
    y = F.attention(*tensors, 1, mask)
    hidden = torch.tensor(~mask)[:, None, :]
    weights = torch.softmax((twins[0] @ twins[1].mT / 2).masked_fill(hidden, -math.inf), -1).masked_fill(hidden, 0)
    expected = (torch.nan_to_num(weights) if not any(real) else weights) @ twins[2]
    np.testing.assert_allclose(y.data, expected.detach(), *TOLERANCES[dtype])
    dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    rtol, atol = TOLERANCES[dtype]
    for ours, theirs in zip(tensors, twins, strict=True):  # what cancels leaves rounding errors, of the keys' size
        expected_gradient = torch.nan_to_num(theirs.grad) if not any(real) else theirs.grad
        np.testing.assert_allclose(ours.grad, expected_gradient, rtol, atol * max(1, np.abs(scores).max()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_masked_token_has_no_weight_even_beside_a_score_of_minus_infinity(dtype):
    """Below the least float there is still -inf: the masked token would have got all the weight."""
    q, k, v = scoring([-math.inf, 0, 0], dtype)
    with np.errstate(invalid="ignore"):  # 0 times infinity, in the gradients of q and k
        y = F.attention(q, k, v, 1, np.array([[True, False, False]]))
        y.backward(np.ones_like(y.data))
        both = F.attention(q, k, v, 1, np.array([[True, True, False]]))
    np.testing.assert_array_equal(y.data, 0)  # as torch's: nothing to attend to
    np.testing.assert_array_equal(v.grad, 0)
    np.testing.assert_array_equal(both.data, np.repeat(v.data[:, 1:2], 3, axis=1))


def test_an_infinite_score_is_not_a_number_and_numpy_says_so():
    q, k, v = scoring([math.inf, 0, 0], np.float32)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(F.attention(q, k, v, 1).data).all()


# -- float16 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*OPS, *LAYERS], ids=lambda case: case.name)
def test_float16_stays_float16_and_is_near_float64(case):
    call, inputs = case.build(dtype=np.float16)
    exact_call, exact = case.build(dtype=np.float64)
    for x, precise in zip(inputs, exact, strict=True):
        if isinstance(x, Tensor):
            precise.data = x.data.astype(np.float64)
    y, expected = call(*inputs), exact_call(*exact)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float16)
    y.backward(dy)
    expected.backward(dy.astype(np.float64))
    assert y.dtype == (np.float64 if case.name == "Tensor.__rmatmul__" else np.float16)  # there the left is float64
    assert_same_where_finite(y.data.astype(np.float16), expected.data, "value")
    for i, (x, precise) in enumerate(zip(inputs, exact, strict=True)):
        if isinstance(x, Tensor) and precise.grad is not None:
            ours, theirs = np.asarray(x.grad), np.asarray(precise.grad)
            assert ours.dtype == np.float16
            assert_same_where_finite(ours, theirs, f"gradient of input {i}")


def test_a_float16_zero_vector_is_normalized_to_zeros():
    x = Tensor(np.array([[0, 0], [3, 4]], np.float16), requires_grad=True)
    y = F.normalize(x)
    y.backward(np.ones_like(y.data))
    np.testing.assert_allclose(y.data, [[0, 0], [0.6, 0.8]], rtol=1e-3)
    assert np.isfinite(x.grad).all()


# -- no tokens, many tokens, no samples, one sample -----------------------------------------------------------

WITH_A_BATCH = [case for case in LAYERS if case.name not in ("TaskWeights", "MultiTaskModel loss")]


@pytest.mark.parametrize("sizes", [{"B": 0}, {"T": 0}, {"B": 0, "T": 0}], ids=str)
@pytest.mark.parametrize("case", WITH_A_BATCH, ids=lambda case: case.name)
def test_layers_take_no_samples_and_no_tokens(case, sizes):
    call, inputs = case.build({**SIZES, **sizes}, np.float32)
    y = call(*inputs)
    y.backward(np.ones_like(y.data))
    assert y.dtype == np.float32
    assert np.isfinite(y.data).all()
    assert all(np.isfinite(x.grad).all() for x in inputs if isinstance(x, Tensor) and x.grad is not None)


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_pooling_no_tokens_gives_zeros(mode):
    y = Pooling(mode)(Tensor(np.ones((2, 0, 3), np.float32)), np.ones((2, 0), bool))
    np.testing.assert_array_equal(y.data, np.zeros((2, 3)))


@pytest.mark.parametrize("size", [1e4, 1e-30])
@pytest.mark.parametrize("masked", [False, True], ids=["ragged", "all masked"])
@pytest.mark.parametrize("case", WITH_A_BATCH, ids=lambda case: case.name)
def test_layers_stay_finite_with_large_and_tiny_weights_and_all_rows_masked(case, masked, size):
    call, inputs = case.build(dtype=np.float32)
    for x in inputs:
        if isinstance(x, Tensor):
            x.data *= np.float32(size)
        elif masked and x.dtype == bool:
            x[:] = False
    y = call(*inputs)
    y.backward(np.ones_like(y.data))
    assert y.dtype == np.float32
    assert np.isfinite(y.data).all()
    assert all(np.isfinite(np.asarray(x.grad)).all() for x in inputs if isinstance(x, Tensor))


def encoder(max_length, **options):
    tokenizer = BPETokenizer.train(["love it", "it crashes"], vocab_size=262)
    sizes = {"hidden_size": 4, "num_layers": 1, "num_heads": 1, "intermediate_size": 4, "max_length": max_length}
    config = EncoderConfig(tokenizer.vocab_size, **sizes, **options)
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0)).eval()


def test_ten_thousand_tokens():
    """Attention keeps 10,000² scores of 4 bytes. Where all tokens are alike, a few would give the same."""
    x = np.random.default_rng(0).normal(size=(1, 1, 4)).astype(np.float32)
    model = encoder(10_000)
    with no_grad():
        many = model.transformer(Tensor(np.repeat(x, 10_000, axis=1)))
        few = model.transformer(Tensor(np.repeat(x, 10, axis=1)))
        np.testing.assert_allclose(many.data[:, :10], few.data, rtol=1e-4, atol=1e-5)
        for mode in POOLING_MODES:
            pooled = Pooling(mode)(many, np.ones((1, 10_000), bool))
            np.testing.assert_allclose(pooled.data, few.data[:, 0], rtol=1e-4, atol=1e-5)


def test_a_text_of_ten_thousand_words_is_its_beginning():
    model = encoder(16)
    with pytest.warns(TruncationWarning):
        many, few = (model.encode("love it " * times) for times in (5_000, 50))
    np.testing.assert_array_equal(many, few)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", POOLING_MODES)
def test_encode_of_no_texts_an_empty_one_and_one_alone(mode, normalize):
    model = encoder(16, pooling=mode, normalize=normalize)
    assert model.encode([]).shape == (0, 4)
    both = model.encode(["", "love it"])
    assert both.dtype == np.float32
    np.testing.assert_allclose(both[0], model.encode(""), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both[1], model.encode("love it"), rtol=1e-5, atol=1e-6)


def test_softmax_losses_and_embedding_of_ten_thousand_rows_and_of_none():
    rng = np.random.default_rng(0)
    for rows in (0, 1, 10_000):
        x = (1e4 * rng.normal(size=(rows, 3))).astype(np.float32)
        target = rng.integers(3, size=rows)
        ours, twin = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        loss = F.cross_entropy(ours, target)
        loss.backward()
        assert loss.dtype == np.float32
        if rows:
            expected = TF.cross_entropy(twin, torch.tensor(target))
            expected.backward()
            np.testing.assert_allclose(loss.data, expected.item(), rtol=1e-5)
            np.testing.assert_allclose(ours.grad, twin.grad, rtol=1e-4, atol=1e-9)
        assert np.isfinite(loss.data)
        table = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
        F.embedding(target, table).backward(np.ones((rows, 2), np.float32))
        np.testing.assert_array_equal(table.grad[:, 0], np.bincount(target, minlength=3))
