"""Attention, in one head and in several: the inputs, and the commonest wrong answers.

A wrong answer is the right one with a slip, as short as it can be written.
"""

import math
from collections.abc import Sequence

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import cat, where
from minitx.learn import plain
from minitx.learn.piece import Mistake, Piece, draw, given, mask, slips


def attention(q: Tensor, k: Tensor, v: Tensor, attention_mask: np.ndarray) -> Tensor:
    """softmax(q kᵀ / √K) v over the real tokens: Tensors (B, T, K), mask (B, T), True = real -> Tensor (B, T, K).

    A sample without a real token gives zeros.
    """
    return plain.attention(q, k, v, 1, attention_mask)


def _attention_inputs():
    def inputs(*shape: int, scale: float = 1.0) -> tuple[Tensor, ...]:
        return tuple(draw(*shape, seed=seed, scale=scale if seed < 3 else 1.0) for seed in (1, 2, 3))

    return {
        "two samples of 4 and 2 real tokens": (*inputs(2, 4, 6), mask("1111", "1100")),
        "everything real, T = K": (*inputs(1, 4, 4), mask("1111")),
        "T = 1": (*inputs(2, 1, 4), mask("1", "1")),
        "padding in the middle, three samples": (*inputs(3, 5, 3), mask("10110", "11111", "00010")),
        "padding at the front": (*inputs(1, 3, 4), mask("011")),
        "a sample without a real token": (*inputs(2, 3, 4), mask("110", "000")),
        "scores of ±10,000": (*inputs(1, 4, 4, scale=100.0), mask("1110")),
        "scores of -200,000, and +200,000 at the padding": (
            given([[1000.0, 1000]] * 3),
            given([[-140.0, -140], [-140.001, -140], [140, 140]]),
            draw(1, 3, 2),
            mask("110"),
        ),
        "scores that are all 0": (given([[0.0, 0, 0]] * 3), draw(1, 3, 3, seed=2), draw(1, 3, 3), mask("110")),
    }


def _attend(**slip):
    """Attention with a slip; `mask` says what is masked, "after" the softmax or "scores" multiplied by it."""
    s = {"divisor": lambda K, T: math.sqrt(K), "fill": -1e30, "mask": "asked", "over": -1, "zero": True, "shift": True}
    s |= {"again": False, "divisor_after": lambda K: 1.0, "rows": False, "causal": False}
    s |= slip

    def wrong(q: Tensor, k: Tensor, v: Tensor, attention_mask: np.ndarray) -> Tensor:
        tokens = attention_mask.astype(bool)
        real = tokens[:, :, None] if s["mask"] == "asking" else tokens[:, None, :]
        scores = q @ k.transpose(-1, -2) / s["divisor"](k.shape[-1], k.shape[1])
        if s["mask"] in ("asked", "asking"):
            scores = where(np.broadcast_to(real, scores.shape), scores, Tensor(np.asarray(s["fill"], q.dtype)))
        scores = (
            scores * real if s["mask"] == "scores" else scores + s["fill"] * ~real if s["mask"] == "add" else scores
        )
        if s["causal"]:
            scores = where(np.tri(q.shape[1], dtype=bool), scores, Tensor(np.asarray(-1e30, q.dtype)))
        e = (scores - scores.data.max(axis=s["over"], keepdims=True)).exp() if s["shift"] else scores.exp()
        weights = e / e.sum(dim=s["over"], keepdim=True)
        weights = weights * real if s["mask"] == "after" or s["again"] else weights
        weights = weights * s["divisor_after"](k.shape[-1])
        weights = weights * tokens[:, :, None] if s["rows"] else weights
        return (weights * tokens.any(axis=1)[:, None, None] if s["zero"] else weights) @ v

    return wrong


def _both(**slip):
    """With and without zeros for a sample that has no real token."""
    return _attend(**slip), _attend(**slip, zero=False)


def _weights(q, k, m):
    real = np.broadcast_to(m.astype(bool)[:, None, :], (*q.shape[:2], k.shape[1]))
    scores = where(real, q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), Tensor(np.asarray(-1e30, q.dtype)))
    return plain.softmax(scores) * m.astype(bool).any(axis=1)[:, None, None]


def _weights_alone(q, k, v, m):
    return _weights(q, k, m)


def _k_by_reshape(right):
    def wrong(q: Tensor, k: Tensor, v: Tensor, attention_mask: np.ndarray) -> Tensor:
        B, T, K = k.shape
        return right(q, k.reshape(B, K, T).transpose(1, 2), v, attention_mask)

    return wrong


def _nan_replaced(q, k, v, m):
    y = _attend(fill=-np.inf, zero=False)(q, k, v, m)
    return where(~np.isnan(y.data), y, Tensor(np.asarray(0.0, q.dtype)))


def _by_hand(**slip):
    """The right attention with its backward written out, with a slip."""
    s = {"ds": "right", "scale": None, "dv": "pT", "exchanged": False} | slip

    def wrong(q: Tensor, k: Tensor, v: Tensor, attention_mask: np.ndarray) -> Tensor:
        root = 1 / math.sqrt(q.shape[-1])
        p = _weights(q.detach(), k.detach(), attention_mask).data

        def backward(dy):
            dp = dy @ v.data.swapaxes(1, 2)
            right = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
            ds = {"right": right, "p dp": p * dp, "p (1 - p) dp": p * (1 - p) * dp}[s["ds"]] * (s["scale"] or root)
            dq, dk = ds @ k.data, ds.swapaxes(1, 2) @ q.data
            dv = (p if s["dv"] == "p" else p.swapaxes(1, 2)) @ dy
            return (dk, dq, dv) if s["exchanged"] else (dq, dk, dv)

        return Tensor.from_op(p @ v.data, (q, k, v), backward)

    return wrong


def _weight_left(yours, right, q, k, v, m):
    weights = plain.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).data * m[:, None, :]
    return f"rows sum to {weights.sum(axis=-1)[~m.astype(bool).all(axis=1)].min():.2g}, not 1"


ATTENTION = Piece(
    attention,
    _attention_inputs,
    tuple(Mistake("the mask comes after the softmax", wrong, _weight_left) for wrong in _both(mask="after"))
    + slips(
        {
            "masked scores become 0, which is not minus infinity | exp(0) is 1": (
                *_both(mask="scores"),
                *_both(fill=0.0),
            ),
            "padding still gets weight: there is no mask, or it is on the queries": (
                *_both(mask="none"),
                *_both(mask="asking"),
                *_both(mask="asking", fill=-1e9),
            ),
            "the rows of padding queries are set to zero: the mask is for the keys only": (
                *_both(rows=True),
                lambda q, k, v, m: attention(q, k, v, m) * m[:, :, None],
            ),
            "a causal mask: tokens do not see those after them": _both(causal=True),
            "q and k are exchanged": (lambda q, k, v, m: attention(k, q, v, m),),
            "k is reshaped, which mixes its numbers, where a transpose is needed": (
                _k_by_reshape(attention),
                _k_by_reshape(_attend(zero=False)),
            ),
            "the weights are returned, not the mixture of v": (_weights_alone,),
            "v is not mixed by the weights but by their transpose": (
                lambda q, k, v, m: _weights(q, k, m).transpose(-1, -2) @ v,
            ),
            "divided by √K after the softmax, where the weights must add up to 1": (
                *_both(divisor=lambda K, T: 1.0, divisor_after=lambda K: 1 / math.sqrt(K)),
            ),
            "NaN is replaced by zeros at the end, and the gradients stay NaN": (_nan_replaced,),
            "the mask is inverted: the real tokens are masked": (
                lambda q, k, v, m: _attend(zero=False)(q, k, v, 1 - m.astype(np.int64)),
                lambda q, k, v, m: attention(q, k, v, 1 - m.astype(np.int64)),
            ),
            "the gradient through the softmax lacks the row's sum": (_by_hand(ds="p dp"),),
            "the gradient through the softmax has the diagonal only": (_by_hand(ds="p (1 - p) dp"),),
            "the gradient of q and k lacks the factor 1 / √K": (_by_hand(scale=1.0),),
            "the gradient of v takes the weights, not their transpose": (_by_hand(dv="p"),),
            "the gradients of q and k are exchanged": (_by_hand(exchanged=True),),
            "the scores are not divided by √K: the weights are too sharp": _both(divisor=lambda K, T: 1.0),
            "the scores are divided by K, not √K: the weights are too even": _both(divisor=lambda K, T: float(K)),
            "the scores are divided by √T, the number of tokens": _both(divisor=lambda K, T: math.sqrt(T)),
            "the scores are multiplied by √K": _both(divisor=lambda K, T: 1 / math.sqrt(K)),
            "the softmax goes over the queries, the wrong axis": (
                *_both(over=-2),
                *_both(over=-2, again=True),
                *_both(over=-2, mask="none"),
            ),
            "a sample without a real token is NaN: -inf less -inf | should be zeros": (
                _attend(fill=-np.inf, zero=False),
            ),
            "a sample without a real token attends to its padding | should be zeros": (
                _attend(zero=False),
                *(_attend(fill=f, mask="add", zero=False) for f in (-1e9, -1e10, -1e20)),
            ),
            "the masked score is not low enough | real scores may be lower": (
                *(
                    _attend(fill=f, mask=m, zero=z)
                    for f in (-1e2, -1e3, -1e4, -3e4, -1e5)
                    for m in ("asked", "add")
                    for z in (1, 0)
                ),
            ),
            "exp without subtracting the largest score first | exp(10000) is infinite": _both(shift=False),
        }
    ),
)


def multi_head_attention(x: Tensor, w: dict[str, Tensor], num_heads: int, attention_mask: np.ndarray) -> Tensor:
    """Attention in H heads between four linear layers: Tensor (B, T, D), mask (B, T) -> Tensor (B, T, D).

    w holds "query.weight" (D, D) and "query.bias" (D,), and the same of key, value and out; a linear layer is
    x @ weight.T + bias. Head h has columns h K to (h + 1) K of query, key and value, K = D / H. The heads stand side by
    side again before the layer `out`. A sample without a real token gives zeros before `out`.
    """
    return plain.multi_head_attention(x, w, num_heads, attention_mask=attention_mask)


def _multi_head_inputs():
    def inputs(B: int, T: int, D: int, H: int, *rows: str, sizes: Sequence[float] = (1.0,)):
        names = [f"{layer}.{part}" for layer in ("query", "key", "value", "out") for part in ("weight", "bias")]
        w = {name: draw(*((D, D) if "weight" in name else (D,)), seed=i, scale=0.5) for i, name in enumerate(names)}
        x = draw(B, T, D, seed=9).data * np.reshape(sizes, (-1, 1, 1))
        return given(*x), w, H, mask(*rows)

    return {
        "two samples, 2 heads": inputs(2, 3, 6, 2, "111", "110"),
        "one head": inputs(1, 3, 4, 1, "110"),
        "as many heads as columns": inputs(1, 3, 4, 4, "111"),
        "T = 1": inputs(2, 1, 4, 2, "1", "1"),
        "3 heads of 2 columns, padding in the middle": inputs(2, 4, 6, 3, "1011", "0111"),
        "T = H": inputs(2, 2, 4, 2, "11", "10"),
        "a sample without a real token": inputs(2, 3, 4, 2, "111", "000"),
        "a second sample with scores of ±300,000": inputs(2, 3, 4, 2, "110", "110", sizes=(1.0, 400.0)),
    }


def _heads(**slip):
    s = {
        "split": "right",
        "merge": True,
        "transpose": True,
        "out": True,
        "bias": "qkvo",
        "divisor": "K",
        "mask": "asked",
    }
    s |= {"heads": 0, "layers": ("query", "key", "value"), "zero": True, "over_heads": False}
    s |= slip

    def wrong(x: Tensor, w: dict[str, Tensor], num_heads: int, attention_mask: np.ndarray) -> Tensor:
        (B, T, D), H = x.shape, s["heads"] or num_heads
        K = D // H

        def layer(x: Tensor, name: str) -> Tensor:
            weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
            return x @ (weight.T if s["transpose"] else weight) + (bias if name[0] in s["bias"] else 0.0)

        def heads(x: Tensor) -> Tensor:
            if s["split"] == "strided":
                return x.reshape(B, T, K, H).permute(0, 3, 1, 2)
            if s["split"] == "first":
                return x[:, :, :K].reshape(B, 1, T, K) + np.zeros((1, H, 1, 1))
            return x.reshape(B, H, T, K) if s["split"] == "reshape" else x.reshape(B, T, H, K).transpose(1, 2)

        q, k, v = (heads(layer(x, name)).reshape(B * H, T, K) for name in s["layers"])
        divisor = {"K": math.sqrt(K), "D": math.sqrt(D), "none": 1.0, "whole K": K, "H": math.sqrt(H)}[s["divisor"]]
        mask = np.repeat(attention_mask, H, axis=0)
        if s["over_heads"]:
            real = np.broadcast_to(attention_mask.astype(bool)[:, None, None, :], (B, H, T, T))
            scores = (q @ k.transpose(-1, -2) / divisor).reshape(B, H, T, T)
            e = where(real, scores, Tensor(np.asarray(-1e30, x.dtype)))
            e = (e - e.data.max(axis=1, keepdims=True)).exp()
            y = e / e.sum(dim=1, keepdim=True) * real.any(axis=-1, keepdims=True) @ v.reshape(B, H, T, K)
            return layer(y.transpose(1, 2).reshape(B, T, D), "out")
        y = _attend(divisor=lambda K, T: divisor, mask=s["mask"], zero=s["zero"])(q, k, v, mask).reshape(B, H, T, K)
        if s["merge"] == "mean":
            return layer(cat([y.mean(dim=1)] * H, dim=-1), "out")
        if s["merge"] == "turned" or (s["merge"] and s["split"] != "reshape"):
            y = y.permute(0, 2, 3, 1) if s["split"] == "strided" else y.transpose(1, 2)
        return layer(y.reshape(B, T, D), "out") if s["out"] else y.reshape(B, T, D)

    return wrong


def _upside_down(zero):
    def wrong(x, w, num_heads, attention_mask):
        y = _heads(zero=False)(x, w, num_heads, ~attention_mask)
        if not zero:
            return y
        empty = np.broadcast_to(attention_mask.any(axis=1)[:, None, None], y.shape)
        return where(empty, y, w["out.bias"] + np.zeros(y.shape))

    return wrong


MULTI_HEAD_ATTENTION = Piece(
    multi_head_attention,
    _multi_head_inputs,
    slips(
        {
            "the scores are divided by √D, the width of all heads, not √K: the weights are too even": (
                _heads(divisor="D"),
                _heads(divisor="D", zero=False),
            ),
            "the scores are not divided by √K: the weights are too sharp": (_heads(divisor="none"),),
            "the scores are divided by K, not √K": (_heads(divisor="whole K"),),
            "the scores are divided by √H, the number of heads": (_heads(divisor="H"),),
            "reshape to (B, H, T, K) without a transpose, which mixes tokens into heads": (
                _heads(split="reshape"),
                _heads(split="reshape", merge="turned"),
            ),
            "every head takes the first K columns": (_heads(split="first"),),
            "the heads are averaged, not set side by side": (_heads(merge="mean"),),
            "the softmax goes over the heads": (_heads(over_heads=True),),
            "the heads are merged by reshape, without transposing back": (_heads(merge=False),),
            "the heads take every H-th column, not K columns side by side": (_heads(split="strided"),),
            "x @ weight, not x @ weight.T": (_heads(transpose=False),),
            "the layer `out` is missing": (_heads(out=False),),
            "the biases are not used": (_heads(bias=""),),
            "the bias of `out` is not used": (_heads(bias="qkv"),),
            "the bias of `value` is not used": (_heads(bias="qko"),),
            "the bias of `query` is not used": (_heads(bias="kvo"),),
            "the biases of query, key and value are not used": (_heads(bias="o"),),
            "one head of full width": (_heads(heads=1), _heads(heads=1, divisor="H")),
            "padding still gets weight: there is no mask, or it is on the queries": (
                *(_heads(mask=mask, zero=zero) for mask in ("none", "asking") for zero in (True, False)),
            ),
            "the mask comes after the softmax": (_heads(mask="after"),),
            "a sample without a real token attends to its padding | should be zeros": (_heads(zero=False),),
            "query, key and value all go through one layer": (
                *(_heads(layers=(name,) * 3) for name in ("query", "key", "value")),
            ),
            "key and value are exchanged": (_heads(layers=("query", "value", "key")),),
            "the mask is inverted: the real tokens are masked": (*(_upside_down(zero) for zero in (True, False)),),
            "query and key are exchanged": (_heads(layers=("key", "query", "value")),),
            "query and key go through one layer": (
                _heads(layers=("query", "query", "value")),
                _heads(layers=("key", "key", "value")),
            ),
            "key and value go through one layer": (
                _heads(layers=("query", "key", "key")),
                _heads(layers=("query", "value", "value")),
            ),
        }
    ),
)


PIECES = [ATTENTION, MULTI_HEAD_ATTENTION]
