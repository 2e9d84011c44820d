"""The fused ops, the layers and the optimisers' steps are their plain twins: values and every gradient, in float64."""

import inspect
import math
import re
from functools import partial

import numpy as np
import pytest

from minitx.autograd import activations, functional, functional as F, losses
from minitx.autograd.tensor import Tensor
from minitx.learn import plain
from minitx.learn.cases import LAYERS, OPS, SIZES
from minitx.nn.module import Parameter
from minitx.nn.position import sinusoidal_table
from minitx.nn.relative import relative_buckets
from minitx.nn.transformer import TransformerBlock
from minitx.training.optim import SGD, Adam, AdamW, clip_grad_norm_

pytestmark = pytest.mark.quick

ODD_SIZES = {"B": 5, "T": 5, "D": 6, "F": 3, "V": 7, "C": 3, "N": 11, "H": 2}
SINGLE = {"B": 1, "T": 1, "D": 6, "F": 1, "V": 7, "C": 2, "N": 1, "H": 2}


def mask(shape, p, seed):
    """What a dropout of probability p multiplies with when its generator is made anew from `seed`."""
    return F.dropout_mask(shape, p, np.random.default_rng(seed), np.dtype(np.float64))


def weights_mask(x, num_heads, p, seed):
    """Likewise for attention weights, which the fused op keeps as (key, query)."""
    B, T, _ = x.shape
    return mask((B, num_heads, T, T), p, seed).swapaxes(-1, -2)


def block_options(x, attention_mask, p):
    masks = (mask(x.shape, p, 0), mask(x.shape, p, 0))
    return {"attention_mask": attention_mask, "dropout_mask": weights_mask(x, 2, p, 0), "dropout_masks": masks}


def block(norm_first):
    def call(w, x, attention_mask):
        return plain.transformer_block(x, w, 2, norm_first=norm_first, **block_options(x, attention_mask, 0.2))

    return call


def encoder(w, x, attention_mask):
    for i in range(2):
        options = block_options(x, attention_mask, 0.1)
        x = plain.transformer_block(x, plain.below(w, f"blocks.{i}"), 2, norm_first=True, **options)
    return plain.layer_norm(x, *plain.of(w, "norm"))


def with_everything(q, k, v, bias, attention_mask):
    return plain.attention(q, k, v, 2, attention_mask, bias, weights_mask(q, 2, 0.3, 7))


# One for each fused row of `cases.OPS`, called with the same inputs.
PLAIN_OPS = {
    "linear": plain.linear,
    "linear without bias": plain.linear,
    "linear relu": lambda x, w, b: plain.linear(x, w, b, "relu"),
    "linear gelu": lambda x, w, b: plain.linear(x, w, b, "gelu"),
    "linear gelu_new": lambda x, w, b: plain.linear(x, w, b, "gelu_new"),
    "linear silu": lambda x, w, b: plain.linear(x, w, b, "silu"),
    "sparse_linear": lambda w, b, x: plain.linear(Tensor(x), w, b),
    "relu": plain.relu,
    "gelu": plain.gelu,
    "gelu_new": plain.gelu_new,
    "silu": plain.silu,
    "softmax": plain.softmax,
    "log_softmax": plain.log_softmax,
    "layer_norm": plain.layer_norm,
    "add_layer_norm": plain.add_layer_norm,
    "add_layer_norm dropout": lambda x, r, w, b: plain.add_layer_norm(x, r, w, b, dropout_mask=mask(r.shape, 0.3, 7)),
    "embedding": lambda w, ids: plain.embedding(ids, w),
    "embedding sparse": lambda w, ids: plain.embedding(ids, w),
    "dropout": lambda x: plain.dropout(x, mask(x.shape, 0.3, 7)),
    "attention": lambda q, k, v: plain.attention(q, k, v, 2),
    "attention mask": lambda q, k, v, attention_mask: plain.attention(q, k, v, 2, attention_mask),
    "attention mask, bias, dropout": with_everything,
    "attention of other tokens, causal": lambda q, k, v, seen: plain.attention(q, k, v, 2, seen, is_causal=True),
    "mean_pool": plain.mean_pool,
    "normalize": plain.normalize,
    "cross_entropy": plain.cross_entropy,
    "cross_entropy weights, smoothing": lambda x, target, w: plain.cross_entropy(x, target, w, label_smoothing=0.1),
    "mse_loss": plain.mse_loss,
    "binary_cross_entropy_with_logits": lambda x, y, w: plain.binary_cross_entropy_with_logits(x, y, pos_weight=w),
}

# One for each row of `cases.LAYERS` that is a layer of `nn`: the parameters by name, then the inputs.
PLAIN_LAYERS = {
    "Linear": lambda w, x: plain.linear(x, w["weight"], w["bias"]),
    "Embedding": lambda w, ids: plain.embedding(ids, w["weight"]),
    "LayerNorm": lambda w, x: plain.layer_norm(x, w["weight"], w["bias"]),
    "Dropout": lambda w, x: plain.dropout(x, mask(x.shape, 0.3, 0)),
    "SinusoidalPosition": lambda w, x: (
        math.sqrt(6) * x + plain.sinusoidal_table(5, 6)[: x.shape[1]].astype(np.float32).astype(x.dtype)
    ),
    "LearnedPosition": lambda w, x: x + plain.embedding(np.arange(x.shape[1]), w["weight"]),
    "RelativePositionBias": lambda w, ids: plain.relative_position_bias(ids.shape[1], w["weight"]),
    "Pooling mean": lambda w, x, attention_mask: plain.mean_pool(x, attention_mask),
    "Normalize": lambda w, x: plain.normalize(x),
    "MultiHeadAttention mask, bias, dropout": lambda w, x, bias, attention_mask: plain.multi_head_attention(
        x, w, 2, attention_mask=attention_mask, bias=bias, dropout_mask=weights_mask(x, 2, 0.2, 0)
    ),
    "FeedForward relu": lambda w, x: plain.feed_forward(x, w, "relu"),
    "FeedForward gelu": lambda w, x: plain.feed_forward(x, w),
    "TransformerBlock post-norm": block(norm_first=False),
    "TransformerBlock pre-norm": block(norm_first=True),
    "TransformerEncoder pre-norm": encoder,
}
ROWS = {case.name: case for case in [*OPS, *LAYERS]}


def assert_same_gradients(fused, twin, inputs, copies, seed=2):
    """Value and gradients under a random cotangent: `fused(*inputs)` beside `twin(*copies)`."""
    y, expected = fused(*inputs), twin(*copies)
    np.testing.assert_allclose(y.data, expected.data, rtol=1e-11, atol=1e-12)
    assert y.shape == expected.shape
    dy = np.random.default_rng(seed).normal(size=y.shape)
    y.backward(dy)
    expected.backward(dy)
    for i, (x, copy) in enumerate(zip(inputs, copies, strict=True)):
        if isinstance(x, Tensor):
            np.testing.assert_allclose(x.grad, copy.grad, rtol=1e-9, atol=1e-11, err_msg=f"gradient of input {i}")


@pytest.mark.parametrize("sizes", [SIZES, ODD_SIZES, SINGLE], ids=["table", "odd", "single"])
@pytest.mark.parametrize("name", PLAIN_OPS)
def test_a_fused_op_is_its_plain_twin(name, sizes):
    case = ROWS[name]
    if sizes is SINGLE and name.startswith("cross_entropy"):
        sizes = {**sizes, "N": 2}  # the second target is ignored
    call, inputs = case.build(sizes)
    assert_same_gradients(call, PLAIN_OPS[name], inputs, case.build(sizes)[1])


@pytest.mark.parametrize("sizes", [SIZES, ODD_SIZES, SINGLE], ids=["table", "odd", "single"])
@pytest.mark.parametrize("name", PLAIN_LAYERS)
def test_a_layer_is_its_plain_twin(name, sizes):
    case = ROWS[name]
    names = [parameter for parameter, _ in case.make(np.random.default_rng(0)).named_parameters()]
    call, inputs = case.build(sizes)
    copies = case.build(sizes)[1]

    def twin(*copies):
        count = len(copies) - len(names)
        return PLAIN_LAYERS[name](dict(zip(names, copies[count:], strict=True)), *copies[:count])

    assert_same_gradients(call, twin, inputs, copies)


# -- the twins are complete ------------------------------------------------------------------------------------


OPS_OF = (functional.__name__, activations.__name__, losses.__name__)


def fused_ops():
    public = {
        name: f
        for module in (functional, losses)
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ in OPS_OF and name != "elementwise" and name[0] != "_"
    }
    return {name: f for name, f in public.items() if inspect.signature(f).return_annotation in (Tensor, "Tensor")}


def test_every_fused_op_has_a_plain_twin_of_its_name_and_a_row_here():
    assert len(fused_ops()) > 10
    assert [name for name in fused_ops() if not hasattr(plain, name)] == []
    assert set(fused_ops()) - {name.split()[0] for name in PLAIN_OPS} == set()
    rows = {case.name for case in OPS if case.name.split()[0] in {*fused_ops(), "sparse_linear"}}
    assert rows == set(PLAIN_OPS)


def test_every_layer_has_a_row_here():
    primitive = {"Pooling cls", "Pooling max", "Dense"}  # of primitive ops themselves
    primitive |= {"RotaryAttention", "GatedFeedForward", "ModernBlock"}  # test_modernbert.py and test_pretrained.py
    primitive |= {case.name for case in LAYERS if case.name.startswith("RarePooling")}  # test_layers.py has torch's
    of_nn = {
        case.name for case in LAYERS if type(case.make(np.random.default_rng(0))).__module__.startswith("minitx.nn")
    }
    assert of_nn - primitive == set(PLAIN_LAYERS)


def test_the_docstring_of_every_fused_op_names_its_twin():
    named = {name: re.findall(r"Plain:\s+`learn\.plain\.(\w+)`", f.__doc__) for name, f in fused_ops().items()}
    assert named == {name: [name] for name in named}


# -- what a table cannot say -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_attention_under_any_mask(seed, monkeypatch):
    """Scattered real tokens, samples with none, odd sizes, and whichever samples are taken at a time."""
    rng = np.random.default_rng(seed)
    B, T, H, K = rng.integers(1, 6, size=4)
    attention_mask = rng.random((B, T)) < rng.choice([0.3, 0.7])
    attention_mask[rng.integers(B)] = False
    monkeypatch.setattr(F, "SCORES_IN_CACHE", int(rng.choice([1, 2 * H * T * T, 10**6])))
    shapes = [(B, T, H * K)] * 3 + [(H, T, T)]
    arrays = [rng.normal(size=shape) for shape in shapes]
    inputs, copies = ([Tensor(a, requires_grad=True) for a in arrays] for _ in range(2))
    assert_same_gradients(
        lambda q, k, v, bias: F.attention(q, k, v, int(H), attention_mask, bias),
        lambda q, k, v, bias: plain.attention(q, k, v, int(H), attention_mask, bias),
        inputs,
        copies,
        seed,
    )
    hidden = ~attention_mask.any(axis=1)
    assert hidden.any()
    y = plain.attention(*copies[:3], int(H), attention_mask, copies[3])
    assert not y.data[hidden].any()
    assert not copies[0].grad[hidden].any()


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "layer_norm", "attention mask", "mean_pool", "normalize"])
def test_the_twins_keep_float32(name):
    case = ROWS[name]
    inputs = case.build(dtype=np.float32)[1]
    y = PLAIN_OPS[name](*inputs)
    y.backward(np.ones_like(y.data))
    assert y.dtype == inputs[0].grad.dtype == np.float32


def test_normalize_of_zero_and_of_tiny_vectors():
    x = np.array([[0.0, 0, 0], [3e-13, 0, 4e-13], [3, 0, 4]])
    assert_same_gradients(
        F.normalize, plain.normalize, [Tensor(x, requires_grad=True)], [Tensor(x, requires_grad=True)]
    )


def test_a_block_with_a_bias_another_activation_and_eps(rng):
    fused = TransformerBlock(6, 3, 8, "relu", 0.0, layer_norm_eps=1e-2, rng=rng).to(np.float64)
    names = [name for name, _ in fused.named_parameters()]
    arrays = [rng.normal(size=(4, 5, 6)), rng.normal(size=(3, 5, 5)), *(p.data for p in fused.parameters())]
    x, bias, *copies = (Tensor(a.copy(), requires_grad=True) for a in arrays)
    own = [Tensor(arrays[0], requires_grad=True), Tensor(arrays[1], requires_grad=True)]
    attention_mask = np.arange(5) < np.array([5, 0, 2, 1])[:, None]
    assert_same_gradients(
        lambda x, bias, *parameters: fused(x, attention_mask, bias),
        lambda x, bias, *parameters: plain.transformer_block(
            x, dict(zip(names, parameters, strict=True)), 3, "relu", eps=1e-2, attention_mask=attention_mask, bias=bias
        ),
        [*own, *fused.parameters()],
        [x, bias, *copies],
    )


# -- positions and optimisers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 7, 16])
def test_sinusoids(dim):
    np.testing.assert_allclose(sinusoidal_table(50, dim), plain.sinusoidal_table(50, dim), atol=1e-7)


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(4, 8), (8, 128), (32, 128), (32, 64), (64, 100)])
@pytest.mark.parametrize("length", [0, 1, 9, 300])
def test_buckets(length, num_buckets, max_distance):
    expected = plain.relative_buckets(length, num_buckets, max_distance)
    np.testing.assert_array_equal(relative_buckets(length, num_buckets, max_distance), expected)


adamw_step = partial(plain.adam_step, decoupled=True)
ALL = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
STEPS = {
    "SGD": (SGD, plain.sgd_step, {"lr": 0.1}),
    "SGD momentum, decay": (SGD, plain.sgd_step, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "Adam": (Adam, plain.adam_step, {}),
    "Adam with all": (Adam, plain.adam_step, ALL),
    "AdamW": (AdamW, adamw_step, {"weight_decay": 1e-2}),
    "AdamW with all": (AdamW, adamw_step, ALL),
}


@pytest.mark.parametrize("name", STEPS)
def test_an_optimisers_step(name, rng):
    kind, step, options = STEPS[name]
    x = rng.normal(size=(5, 3))
    parameter, state = Parameter(x.copy()), [np.zeros_like(x)] * (1 if kind is SGD else 2)
    optimizer = kind([parameter], **options)
    for t in range(1, 8):
        parameter.grad = rng.normal(size=x.shape)
        count = [] if kind is SGD else [t]
        x, *state = step(x, parameter.grad.copy(), *state, *count, **options)
        optimizer.step()
        np.testing.assert_allclose(parameter.data, x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e3])
def test_clipping(max_norm, rng):
    parameters = [Parameter(rng.normal(size=shape)) for shape in [(3, 4), (5,)]]
    for p in parameters:
        p.grad = rng.normal(size=p.shape)
    expected, length = plain.clip_by_norm([p.grad for p in parameters], max_norm)
    assert clip_grad_norm_(parameters, max_norm) == pytest.approx(length, rel=1e-12)
    for p, g in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(p.grad, g, rtol=1e-5)  # a millionth is added to the length before dividing by it
    assert math.sqrt(sum(np.sum(g**2) for g in expected)) == pytest.approx(min(length, max_norm))
