"""Fused ops: one derived gradient in place of a chain of primitive ones.

An op is fused for a reason, which its docstring gives: *stability* (the composed form overflows or divides 0 by
0), *cost* (fewer passes over memory: every large temporary array is paid for in page faults) or *scatter* (the
gradient adds into rows). The composed forms live in `minitx/learn/plain.py`, a few lines of primitive ops for each op
here: read them first. The tests hold these ops to them.

Letters: B batch, T tokens, D model width, H heads, K = D // H, V vocabulary, C classes; `x w b` in, `y` out,
`dy` in, `dx dw db` out. Every op returns the dtype it was given.
"""

import math
from collections.abc import Callable

import numpy as np

from minitx.autograd.activations import elementwise, gelu_new as gelu_new, gelu_new_, silu as silu, silu_
from minitx.autograd.engine import Gradients
from minitx.autograd.erf import erf
from minitx.autograd.habits import float_data, product, real_tokens
from minitx.autograd.losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    mse_loss as mse_loss,
)
from minitx.autograd.rows import RowGradient
from minitx.autograd.tensor import Tensor, is_recorded

# What several passes work on at a time, so that it stays in a core's cache between them: elements.
ELEMENTS_IN_CACHE = 128 * 1024
MAX_DROPOUT = 65535 / 65536  # masks are drawn as 16-bit numbers; above, nothing would be left to scale up
SCORES_IN_CACHE = 64 * 1024  # in attention: whole samples, (H, T, T) scores each


def linear(x: Tensor, w: Tensor, b: Tensor | None = None, activation: str | None = None) -> Tensor:
    """y = act(x wᵀ + b), with x (..., D), w (F, D), b (F,) -> (..., F); act is None or one of `ACTIVATIONS`.

    Fused for cost: all leading axes become one, so that dw is a single product (composed from `@`, the weight
    gradient of a (B, T, D) input would be (B, D, F) before it is summed), and the activation works in place on what the
    product wrote. Torch: `functional.linear`, then `functional.relu` or `functional.gelu`. Plain: `learn.plain.linear`.
    """
    # h = x wᵀ + b ;  dh = act'(h) dy ;  dx = dh w ;  dw = dhᵀ x ;  db = 1ᵀ dh
    x2 = float_data(x, w.shape[-1]).reshape(-1, x.shape[-1])
    y = x2 @ w.data.T
    if b is not None:
        y += b.data
    parents = (x, w) if b is None else (x, w, b)
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(f"unknown activation {activation!r}: choose from {', '.join(ACTIVATIONS)}")
    slope = None if activation is None else ACTIVATIONS[activation](y, is_recorded(parents))

    def backward(dy: np.ndarray) -> Gradients:
        dh = dy.reshape(y.shape)
        if slope is not None:
            dh = dh * slope
        gradients = (lambda: (dh @ w.data).reshape(x.shape)), (lambda: dh.T @ x2)
        return gradients if b is None else (*gradients, lambda: _sum_rows(dh))

    return Tensor.from_op(y.reshape(*x.shape[:-1], len(w.data)), parents, backward)


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0); dx = dy where x > 0, and 0 at the kink. Torch: `functional.relu`. Plain: `learn.plain.relu`."""
    return elementwise(x, _relu_)


def gelu(x: Tensor) -> Tensor:
    """y = x Φ(x), Φ the normal distribution function: the exact (erf) form, as BERT's and torch's default.

    Hendrycks & Gimpel 2016, "Gaussian Error Linear Units". Fused for cost. Φ is within 1e-7 (float32) or
    1e-13 (float64) of the true one. Torch: `functional.gelu(x, approximate="none")`. Plain: `learn.plain.gelu`.
    """
    return elementwise(x, _gelu_)


def _relu_(x: np.ndarray, want_slope: bool) -> np.ndarray | None:
    """Replace x by max(x, 0); returns its slope, 1 or 0, if that is wanted."""
    np.maximum(x, 0, out=x)
    return x > 0 if want_slope else None


@np.errstate(over="ignore")  # of x²: exp(-∞) is the 0 that it should be
def _gelu_(x: np.ndarray, want_slope: bool) -> np.ndarray | None:
    """Replace x by x Φ(x); returns its slope, Φ(x) + x φ(x) with φ(x) = exp(-x²/2) / √(2π), if that is wanted.

    This takes two dozen passes, so it is done for as many elements at a time as fit into a core's cache.
    """
    slope = np.empty_like(x) if want_slope else None
    flat = x.reshape(-1)
    for start in range(0, x.size, ELEMENTS_IN_CACHE):
        part = flat[start : start + ELEMENTS_IN_CACHE]
        cdf = erf(part * math.sqrt(0.5))  # Φ(x) = (1 + erf(x / √2)) / 2
        cdf += 1
        cdf *= 0.5
        if slope is not None:
            pdf = np.square(part)
            pdf *= -0.5
            np.exp(pdf, out=pdf)
            pdf *= 1 / math.sqrt(2 * math.pi)
            pdf *= part
            np.add(cdf, pdf, out=slope.reshape(-1)[start : start + ELEMENTS_IN_CACHE])
        part *= cdf
    return slope


# Each works in place and returns the slope at every element, or None.
ACTIVATIONS = {"relu": _relu_, "gelu": _gelu_, "gelu_new": gelu_new_, "silu": silu_}


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """y = exp(x) / sum(exp(x)) over `dim`. Torch: `functional.softmax`.

    Fused for stability: it is all shifted by the maximum, which changes nothing and keeps exp from overflowing. Plain:
    `learn.plain.softmax`.
    """
    # dx = y (dy - sum(dy y))      from the Jacobian diag(y) - y yᵀ
    y = np.exp(float_data(x) - x.data.max(axis=dim, keepdims=True, initial=-np.inf))
    y /= y.sum(axis=dim, keepdims=True)
    return Tensor.from_op(y, (x,), lambda dy: (y * (dy - (dy * y).sum(axis=dim, keepdims=True)),))


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """y = x - log(sum(exp(x))) over `dim`. Torch: `functional.log_softmax`.

    Fused for stability: the logarithm of a softmax that underflowed would be -inf. Plain: `learn.plain.log_softmax`.
    """
    # dx = dy - softmax(x) sum(dy)
    y = float_data(x) - x.data.max(axis=dim, keepdims=True, initial=-np.inf)
    y -= np.log(np.exp(y).sum(axis=dim, keepdims=True))
    return Tensor.from_op(y, (x,), lambda dy: (dy - np.exp(y) * dy.sum(axis=dim, keepdims=True),))


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    """y = w (x - mean) / √(var + eps) + b over the last axis; w, b (D,). Torch: `functional.layer_norm`.

    Ba, Kiros & Hinton 2016, equation 4. Fused for cost: the composed gradient is a dozen passes over x. Plain:
    `learn.plain.layer_norm`.
    """
    y, backward = _norm(float_data(x, len(w)).copy(), w, b, eps)
    return Tensor.from_op(y, (x, w, b), lambda dy: backward(dy))


def add_layer_norm(
    x: Tensor,
    r: Tensor,
    w: Tensor,
    b: Tensor,
    eps: float = 1e-5,
    p: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """y = layer_norm(x + dropout(r, p)): a sublayer's result r joins the stream x. All (..., D); w, b (D,).

    The end of every sublayer of a post-norm transformer (Vaswani et al. 2017, section 5.4). Fused for cost: neither
    the sum nor the thinned-out r is kept. Torch: `functional.layer_norm(x + functional.dropout(r, p), ...)`. Plain:
    `learn.plain.add_layer_norm`.
    """
    mask = None
    if p:
        mask = dropout_mask(r.shape, p, rng, r.dtype)
        total = float_data(r) * mask
        total += float_data(x)
    else:
        total = float_data(x) + float_data(r)
    y, norm_backward = _norm(total, w, b, eps)

    def backward(dy: np.ndarray) -> Gradients:
        dtotal, dw, db = norm_backward(dy)
        dx = dtotal()
        return dx, (dx if mask is None else dx * mask), dw, db

    return Tensor.from_op(y, (x, r, w, b), backward)


def _norm(x: np.ndarray, w: Tensor, b: Tensor, eps: float) -> tuple[np.ndarray, Callable[[np.ndarray], Gradients]]:
    """y (the memory of x is used up) and the function that gives, from dy, those that give dx, dw and db."""
    # with n = (x - mean) / √(var + eps) and g = w dy:
    # dx = (g - mean(g) - n mean(g n)) / √(var + eps) ;  dw = sum(dy n) ;  db = sum(dy)
    D = x.shape[-1]
    n = x.reshape(-1, D)
    n -= _mean_of_rows(n)
    scale = 1 / np.sqrt(np.einsum("nd,nd->n", n, n)[:, None] / D + x.dtype.type(eps))
    n *= scale
    y = n * w.data
    y += b.data

    def backward(dy: np.ndarray) -> tuple[Callable[[], np.ndarray], ...]:
        dy2 = dy.reshape(-1, D)

        def dx() -> np.ndarray:
            g = dy2 * w.data
            dx = n * (np.einsum("nd,nd->n", g, n)[:, None] / -D)
            dx += g
            dx -= _mean_of_rows(g)
            dx *= scale
            return dx.reshape(x.shape)

        return dx, (lambda: np.einsum("nd,nd->d", dy2, n)), (lambda: _sum_rows(dy2))

    return y.reshape(x.shape), backward


def embedding(ids: np.ndarray, w: Tensor, sparse: bool = False) -> Tensor:
    """y = w[ids]: rows of the table w (V, D) for integer ids of any shape -> (*ids.shape, D).

    Fused for scatter: a token that occurs twice must receive both derivatives; `dw[ids] += dy` would keep one. With
    `sparse`, w.grad is a `RowGradient`, else an array. Torch: `functional.embedding`. Plain: `learn.plain.embedding`.

    Raises:
        TypeError: `ids` are not integers.
        IndexError: an id is negative (NumPy would count from the end) or not below V.
    """
    ids = np.array(ids)  # a copy: the caller may reuse the array before backward()
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding ids must be integers, not {ids.dtype}")
    for extreme in (ids.min(), ids.max()) if ids.size else ():
        if not 0 <= extreme < len(w):
            raise IndexError(f"embedding id {extreme} is out of range: this table has rows 0 to {len(w) - 1}")

    def backward(dy: np.ndarray) -> Gradients:
        dw = RowGradient(ids.reshape(-1), dy.reshape(-1, w.shape[1]), w.shape)
        return (dw if sparse else dw.to_dense(),)

    return Tensor.from_op(w.data[ids], (w,), backward)


def dropout(x: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    """Zero each element with probability p and divide the others by 1 - p: y = m x, dx = m dy.

    Srivastava et al. 2014. Fused for cost: m is drawn as 16-bit integers, so p is rounded to a multiple of 1/65536.
    Torch: `functional.dropout(x, p, training=True)`. Plain: `learn.plain.dropout`.

    Raises:
        ValueError: p is not in [0, 65535/65536], or there is no `rng`.
    """
    mask = dropout_mask(float_data(x).shape, p, rng, x.dtype)
    return Tensor.from_op(x.data * mask, (x,), lambda dy: (dy * mask,))


def dropout_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator | None, dtype: np.dtype) -> np.ndarray:
    """0 with probability p, else 1 / (1 - p). The only place that draws one; refuses as `dropout` does."""
    if not 0 <= p <= MAX_DROPOUT:
        raise ValueError(f"the dropout probability must be from 0 to {MAX_DROPOUT}, not {p}")
    if rng is None:
        raise ValueError("dropout needs a random generator: pass rng")
    threshold, size = round(p * 65536), math.prod(shape)
    words = rng.integers(2**64 - 1, size=-(-size // 4), dtype=np.uint64, endpoint=True)  # what generators make fastest
    return (words.view(np.uint16)[:size].reshape(shape) >= threshold) * dtype.type(65536 / (65536 - threshold))


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    attention_mask: np.ndarray | None = None,
    bias: Tensor | None = None,
    dropout_p: float = 0.0,
    rng: np.random.Generator | None = None,
    is_causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention, softmax(q kᵀ / √K + bias) v, in each of H heads of width K = D // H.

    Vaswani et al. 2017, section 3.2.1. Every token compares what it looks for (q) with what each token offers (k), and
    takes the average of their contents (v), weighted by how well they match.

    Args:
        q, k, v: (B, T, D), and k and v (B, S, D) if they are of other tokens; head h owns the columns h K to (h + 1) K.
        num_heads: H, a divisor of D.
        attention_mask: (B, S), True or 1 for a real token, or (B, T, S), for what each query may see. Masked tokens are
            never attended to; a query that may see none gives zeros and zero gradients, not NaN.
        bias: (H, T, S), added to the scores of every sample: (head, query position, key position).
        dropout_p, rng: drop attention weights with this probability; `rng` is needed if it is not 0.
        is_causal: query t sees the keys up to position t alone, of those that the mask leaves.

    Returns:
        (B, T, D), heads side by side again.

    Raises:
        ValueError: the mask has another shape, or other numbers, as one that is added to scores has.

    Fused for cost: it works on a few samples at a time, so that their scores stay in a core's cache from the first
    product to the last. Torch: `functional.scaled_dot_product_attention` on (B, H, T, K), where the same mask is
    `attn_mask=attention_mask[:, None, None, :]`. Plain: `learn.plain.attention`.
    """
    # s = q kᵀ / √K + bias ;  p = softmax(s) ;  y = p v
    # dv = pᵀ dy ;  dp = dy vᵀ ;  ds = p dp - p sum(p dp), and sum(p dp) = dy · y ;  dq = ds k / √K ;  dk = dsᵀ q / √K
    # With dropout, y = p' v and p' is what dp is multiplied with; the softmax itself is still p.
    # Scores are kept transposed, (key, query): NumPy is several times faster at max and sum along an axis that
    # is not the last one.
    (B, T, D), S = q.shape, k.shape[1]
    K = D // num_heads
    step = max(1, SCORES_IN_CACHE // max(1, num_heads * T * S))
    seen = np.ones((B, S), bool) if attention_mask is None else real_tokens(attention_mask, (B, S), (B, T, S))
    if is_causal:
        seen = (seen if seen.ndim == 3 else seen[:, None]) & np.tri(T, S, dtype=bool)
    blocks = [slice(start, start + step) for start in range(0, B, step)]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(*x.shape[:2], num_heads, K).transpose(0, 2, 1, 3)  # (B, H, T, K), a view

    qh, kh, vh = heads(float_data(q) * q.dtype.type(1 / math.sqrt(K))), heads(float_data(k)), heads(float_data(v))
    y = np.empty_like(q.data, order="C")
    yh = heads(y)
    weights, dropped = [], []  # per block: p (b, H, S, T), before and after dropout, kept for the backward pass
    for block in blocks:
        p = kh[block] @ qh[block].swapaxes(-1, -2)
        if bias is not None:
            p += bias.data.swapaxes(-1, -2)
        if not seen[block].all():
            for scores, real in zip(p, seen[block], strict=True):
                scores[:, ~real.T] = -np.inf  # below any score, so that exp() gives exactly 0
        # Where nothing is real, a finite largest score and sum: 0 / tiny, not NaN. Other rows have a sum of at least 1.
        p -= p.max(axis=-2, keepdims=True, initial=np.finfo(p.dtype).min)
        np.exp(p, out=p)
        p /= np.maximum(p.sum(axis=-2, keepdims=True), np.finfo(p.dtype).tiny)
        weights.append(p)
        if dropout_p:
            p = dropout_mask(p.shape, dropout_p, rng, p.dtype)
            p *= weights[-1]
        dropped.append(p)
        np.matmul(p.swapaxes(-1, -2), vh[block], out=yh[block])

    def backward(dy: np.ndarray) -> Gradients:
        dq, dk, dv = (np.empty(x.shape, x.dtype) for x in (q, k, v))
        dqh, dkh, dvh, dyh = heads(dq), heads(dk), heads(dv), heads(dy)
        dbias = None if bias is None else np.zeros_like(bias.data)
        for i, block in enumerate(blocks):
            np.matmul(dropped[i], dyh[block], out=dvh[block])
            ds = vh[block] @ dyh[block].swapaxes(-1, -2)
            ds *= dropped[i]
            ds -= weights[i] * np.einsum("bhtk,bhtk->bht", dyh[block], yh[block])[:, :, None, :]
            np.matmul(ds.swapaxes(-1, -2), kh[block], out=dqh[block])
            np.matmul(ds, qh[block], out=dkh[block])
            if dbias is not None:
                dbias += ds.sum(axis=0).swapaxes(-1, -2)
        dq *= 1 / math.sqrt(K)
        return (dq, dk, dv) if dbias is None else (dq, dk, dv, dbias)

    return Tensor.from_op(y, (q, k, v) if bias is None else (q, k, v, bias), backward)


def mean_pool(x: Tensor, attention_mask: np.ndarray) -> Tensor:
    """Mean of each sample's real tokens: x (B, T, D), attention_mask (B, T) -> (B, D); zeros where none is real.

    Reimers & Gurevych 2019, section 3. Fused for cost: one product with the weights m / sum(m), so padding is
    never copied. sentence-transformers: `Pooling(pooling_mode="mean")`. Plain: `learn.plain.mean_pool`.
    """
    # y = a x  with  a = m / max(sum(m), 1) ;  dx = aᵀ dy
    a = attention_mask.astype(float_data(x).dtype)
    a /= np.maximum(a.sum(axis=1, keepdims=True), 1)
    y = product(a[:, None, :], x.data)[:, 0, :]
    return Tensor.from_op(y, (x,), lambda dy: (a[:, :, None] * dy[:, None, :],))


def normalize(x: Tensor, eps: float = 1e-12) -> Tensor:
    """y = x / max(|x|, eps), unit length along the last axis. Torch: `functional.normalize(x, dim=-1)`.

    Fused for stability: the composed gradient of a zero vector is 0 / 0. Plain: `learn.plain.normalize`.
    """
    # dx = (dy - y (y · dy)) / |x| ;  below eps the length is a constant, so dx = dy / eps
    length = np.sqrt(np.einsum("...d,...d->...", float_data(x), x.data))[..., None]
    clipped = np.maximum(length, max(eps, np.finfo(x.dtype).tiny))  # in float16, 1e-12 is 0
    y = x.data / clipped

    def backward(dy: np.ndarray) -> Gradients:
        along = np.where(length > eps, np.einsum("...d,...d->...", y, dy)[..., None], 0)
        return ((dy - y * along) / clipped,)

    return Tensor.from_op(y, (x,), backward)


def cross_entropy(
    logits: Tensor,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    divisor: float | None = None,
) -> Tensor:
    """Mean of -log softmax(logits)[target]: logits (N, C), target (N,), or (N, C) probabilities y -> a scalar.

    With p = softmax(logits), weights w (C,) and smoothing e, summed over the rows that are not ignored:

        loss = sum( (1 - e) w[t] (-log p[t]) + e / C sum_c w[c] (-log p[c]) ) / sum(w[t])

    and with y in place of the one class, sum_c y[c] w[c] (-log p[c]) first, over N. Rows whose target is `ignore_index`
    are left out, whatever their logits; with no row left the loss is 0 (torch: NaN). For a share of a batch, give the
    `target_weight` of the whole batch as `divisor`, in place of the share's own sum(w[t]).

    Szegedy et al. 2016, section 7, for smoothing. Fused for stability, and because its gradient is so simple.
    Torch: `functional.cross_entropy`. Plain: `learn.plain.cross_entropy`.

    Raises:
        IndexError: a target that is neither a class nor `ignore_index`.
        ValueError: as many targets as rows are needed, and a `label_smoothing` from 0 to 1.
    """
    # Both terms are sum_c a[c] (-log p[c]) with a = (1 - e) w[t] onehot(t) + (e / C) w, so dx = sum(a) p - a
    (N, C), target = float_data(logits, matrix="logits (N, C) first, a Tensor of floats").shape, np.asarray(target)
    if target.shape not in ((N,), (N, C)) or not 0 <= label_smoothing <= 1:
        raise ValueError(f"expected targets (N,) or (N, C) for logits {N, C}, not {target.shape}; smoothing 0 to 1")
    w = np.ones(C, logits.dtype) if weight is None else np.asarray(weight, logits.dtype)
    rows = np.flatnonzero(target != ignore_index) if target.ndim == 1 else np.arange(N)
    a, total = np.tile(label_smoothing / C * w, (len(rows), 1)), float(N)
    if target.ndim == 2:
        a += (1 - label_smoothing) * target.astype(w.dtype) * w
    else:
        classes = target[rows]
        if (len(target) and target.dtype.kind not in "iu") or not np.isin(classes, range(C)).all():
            found = f"{np.unique(target)} of {target.dtype}"
            raise IndexError(f"targets must be integers, the classes 0 to {C - 1} or {ignore_index}, not {found}")
        a[np.arange(len(rows)), classes] += (1 - label_smoothing) * w[classes]
        total = target_weight(target, w, ignore_index)
    a /= w.dtype.type((total if divisor is None else divisor) or 1)  # of no rows: nothing

    log_p = logits.data[rows]
    log_p -= log_p.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    loss = -np.sum(np.multiply(a, log_p, out=np.zeros_like(a), where=a != 0))  # -inf of another class is no harm

    def backward(dy: np.ndarray) -> Gradients:
        dx = np.zeros_like(logits.data)
        dx[rows] = dy * (np.exp(log_p) * a.sum(axis=1, keepdims=True) - a)
        return (dx,)

    return Tensor.from_op(loss, (logits,), backward)


def target_weight(target: np.ndarray, weight: np.ndarray | None = None, ignore_index: int = -100) -> float:
    """sum(w[t]) over the rows that are not ignored: what the mean in `cross_entropy` divides by."""
    kept = target[target != ignore_index]
    return float(len(kept) if weight is None else weight[kept].sum())


# -- helpers ---------------------------------------------------------------------------------------------------


def _sum_rows(x: np.ndarray) -> np.ndarray:
    """(N, D) -> (D,). A product with ones, because BLAS uses every lane and core and `np.sum` does not."""
    return np.ones(len(x), x.dtype) @ x


def _mean_of_rows(x: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 1). A product with ones, for the same reason."""
    return (x @ np.ones(x.shape[1], x.dtype))[:, None] / x.shape[1]
