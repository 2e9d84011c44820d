"""The plain twins: every fused op and every layer built on one, written the way a teacher would on a board.

These are short, slow and easy to check by eye. They are made of primitive ops (`autograd.tensor`) and leave all
derivatives to the engine, or of plain NumPy where no gradient is needed. They serve three purposes: the tests hold
the fused ops of `autograd.functional`, the layers of `nn` and the steps of `training.optim` to them; the lessons
show them; and a learner can compare code of their own with them, before going on to the fast version.

Letters: B batch, T tokens, D model width, H heads, K = D // H, F feed-forward width, V vocabulary, C classes.

A layer with parameters takes them as a dict, by the names that `named_parameters()` gives them:

>>> from minitx.nn.attention import MultiHeadAttention
>>> layer = MultiHeadAttention(6, 2, rng=np.random.default_rng(0))
>>> x = Tensor(np.random.default_rng(1).normal(size=(1, 3, 6)), dtype=np.float32)
>>> y = multi_head_attention(x, dict(layer.named_parameters()), num_heads=2)
>>> bool(np.allclose(y.data, layer(x).data, atol=1e-6))
True
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minitx.autograd.tensor import Tensor, where

Weights = Mapping[str, Tensor]
Array = np.ndarray | float


# -- activations -------------------------------------------------------------------------------------------------


def erf(x: Tensor) -> Tensor:
    """erf(x) = 2 / √π times the integral of exp(-t²) from 0 to x; its derivative is 2 / √π exp(-x²). Any shape."""
    y = np.array([math.erf(value) for value in x.data.ravel()], x.dtype).reshape(x.shape)
    return Tensor.from_op(y, (x,), lambda dy: (dy * (2 / math.sqrt(math.pi)) * np.exp(-(x.data**2)),))


def relu(x: Tensor) -> Tensor:
    """y = x where x > 0, else 0. Any shape. Nair & Hinton 2010."""
    return x * (x.data > 0)


def gelu(x: Tensor) -> Tensor:
    """y = x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2. Any shape. Hendrycks & Gimpel 2016."""
    return x * (1 + erf(x / math.sqrt(2))) / 2


def silu(x: Tensor) -> Tensor:
    """y = x σ(x) = x / (1 + exp(-x)). Any shape. Elfwing et al. 2017."""
    return x / (1 + (-x).exp())


def gelu_new(x: Tensor) -> Tensor:
    """y = x (1 + tanh(√(2 / π) (x + 0.044715 x³))) / 2. Any shape. Hendrycks & Gimpel 2016, section 2."""
    return x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh()) / 2


def softmax(x: Tensor) -> Tensor:
    """y = exp(x) / sum(exp(x)) over the last axis: (..., C) -> (..., C). Bridle 1990.

    Subtracting a row's largest value first changes nothing: numerator and denominator are divided by the same number.
    """
    e = (x - x.data.max(axis=-1, keepdims=True)).exp()
    return e / e.sum(dim=-1, keepdim=True)


def log_softmax(x: Tensor) -> Tensor:
    """y = x - log(sum(exp(x))) over the last axis: (..., C) -> (..., C); finite where the softmax underflows to 0."""
    x = x - x.data.max(axis=-1, keepdims=True)
    return x - x.exp().sum(dim=-1, keepdim=True).log()


# -- layers ------------------------------------------------------------------------------------------------------


def linear(x: Tensor, w: Tensor, b: Tensor | None = None, activation: str | None = None) -> Tensor:
    """y = act(x wᵀ + b): x (..., D), w (F, D), b (F,) -> (..., F); act is the name of one of the above. As in torch."""
    y = x @ w.T if b is None else x @ w.T + b
    return y if activation is None else {"relu": relu, "gelu": gelu, "gelu_new": gelu_new, "silu": silu}[activation](y)


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    """y = w (x - mean) / √(variance + eps) + b over the last axis: x (..., D), w and b (D,). Ba et al. 2016, eq. 4."""
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred * centred).mean(dim=-1, keepdim=True)
    return w * centred / (variance + eps).sqrt() + b


def dropout(x: Tensor, dropout_mask: Array) -> Tensor:
    """y = x mask; the mask, of x's shape, is 0 with probability p and 1 / (1 - p) otherwise. Srivastava et al. 2014."""
    return x * dropout_mask


def add_layer_norm(x: Tensor, r: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5, dropout_mask: Array = 1.0) -> Tensor:
    """y = layer_norm(x + dropout(r)): x, r and the dropout mask (..., D), w and b (D,). Vaswani et al. 2017, 5.4."""
    return layer_norm(x + dropout(r, dropout_mask), w, b, eps)


def embedding(ids: np.ndarray, w: Tensor) -> Tensor:
    """y = onehot(ids) w, which is w[ids]: integers of any shape, w (V, D) -> (*ids.shape, D). Bengio et al. 2003."""
    one_hot = np.eye(len(w), dtype=w.dtype)[ids]
    return one_hot @ w


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    attention_mask: Array = 1.0,
    bias: Tensor | float = 0.0,
    dropout_mask: Array = 1.0,
    is_causal: bool = False,
) -> Tensor:
    """softmax(q kᵀ / √K + bias) v in each of H heads: q (B, T, D), k, v (B, S, D) -> (B, T, D). Vaswani et al. 2017.

    attention_mask (B, S) or (B, T, S) is 1 for a real token: the others get a score so low that its exp is 0, and what
    sees no real token gives zeros. The last axes of bias (H, T, S) and dropout_mask (B, H, T, S): asking token, asked
    token. With `is_causal`, token t asks those up to t alone.
    """
    (B, T, D), S = q.shape, k.shape[1]
    K = D // num_heads
    q, k, v = (x.reshape(*x.shape[:2], num_heads, K).transpose(1, 2) for x in (q, k, v))  # (B, H, T, K)
    mask = np.asarray(attention_mask, bool)
    real = np.broadcast_to(mask[:, None] if mask.ndim == 2 else mask, (B, T, S))[:, None]
    if is_causal:
        real = real & np.tri(T, S, dtype=bool)
    scores = where(real, q @ k.transpose(-1, -2) / math.sqrt(K) + bias, Tensor(np.asarray(-1e30, q.dtype)))
    weights = softmax(scores) * real.any(axis=-1, keepdims=True)  # (B, H, T, T)
    return (dropout(weights, dropout_mask) @ v).transpose(1, 2).reshape(B, T, D)


def multi_head_attention(x: Tensor, w: Weights, num_heads: int, **options: Any) -> Tensor:
    """attention(x Wq, x Wk, x Wv) Wo, each product with a bias: x (B, T, D) -> (B, T, D). Vaswani et al. 2017, 3.2.2.

    The options are those of `attention`: attention_mask, bias of the scores, dropout_mask of the weights.
    """
    q, k, v = (linear(x, *of(w, name)) for name in ("query", "key", "value"))
    return linear(attention(q, k, v, num_heads, **options), *of(w, "out"))


def feed_forward(x: Tensor, w: Weights, activation: str = "gelu") -> Tensor:
    """y = act(x W1ᵀ + b1) W2ᵀ + b2: x (..., D), W1 (F, D), W2 (D, F) -> (..., D). Vaswani et al. 2017, 3.3."""
    return linear(linear(x, *of(w, "linear1"), activation), *of(w, "linear2"))


def transformer_block(
    x: Tensor,
    w: Weights,
    num_heads: int,
    activation: str = "gelu",
    norm_first: bool = False,
    eps: float = 1e-5,
    dropout_masks: tuple[Array, Array] = (1.0, 1.0),
    **options: Any,
) -> Tensor:
    """Attention, then feed-forward, each added to x: (B, T, D) -> (B, T, D).

        post-norm     x = norm1(x + attention(x)) ;  y = norm2(x + feed_forward(x))        Vaswani et al. 2017
        pre-norm      x = x + attention(norm1(x)) ;  y = x + feed_forward(norm2(x))        Xiong et al. 2020

    The dropout masks are those of attention's result and of feed-forward's; the options are those of `attention`.
    """

    def attend(x: Tensor) -> Tensor:
        return dropout(multi_head_attention(x, below(w, "attention"), num_heads, **options), dropout_masks[0])

    def transform(x: Tensor) -> Tensor:
        return dropout(feed_forward(x, below(w, "feed_forward"), activation), dropout_masks[1])

    if norm_first:
        x = x + attend(layer_norm(x, *of(w, "norm1"), eps))
        return x + transform(layer_norm(x, *of(w, "norm2"), eps))
    x = layer_norm(x + attend(x), *of(w, "norm1"), eps)
    return layer_norm(x + transform(x), *of(w, "norm2"), eps)


def of(w: Weights, layer: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of one layer."""
    return w[f"{layer}.weight"], w[f"{layer}.bias"]


def below(w: Weights, part: str) -> Weights:
    """The parameters of one part, by the names they have inside it: `attention.out.bias` becomes `out.bias`."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in w.items() if name.startswith(f"{part}.")}


# -- one vector for each sentence, and the loss ------------------------------------------------------------------


def mean_pool(x: Tensor, attention_mask: np.ndarray) -> Tensor:
    """Sum of the real tokens / their number: x (B, T, D), attention_mask (B, T) -> (B, D). Reimers & Gurevych 2019, 3.

    A sample without a real token gives zeros.
    """
    m = attention_mask[:, :, None].astype(x.dtype)
    return (x * m).sum(dim=1) / np.maximum(m.sum(axis=1), 1)


def normalize(x: Tensor, eps: float = 1e-12) -> Tensor:
    """y = x / max(|x|, eps) along the last axis: (..., D) -> (..., D).

    |x| = √(x · x). The maximum is taken before the root, whose slope at 0 is infinite. As in torch.
    """
    square = (x * x).sum(dim=-1, keepdim=True)
    return x / where(square.data > eps**2, square, Tensor(np.asarray(eps**2, x.dtype))).sqrt()


def cross_entropy(
    logits: Tensor, target: np.ndarray, weight: Array = 1.0, ignore_index: int = -100, label_smoothing: float = 0.0
) -> Tensor:
    """Mean of -log softmax(logits)[target]: logits (N, C), target (N,) -> a scalar.

        loss = -sum(a log p) / sum(weight[target]) ;  p = softmax(logits) ;  a = weight ((1 - e) onehot(target) + e / C)

    with e = label_smoothing (Szegedy et al. 2016, section 7) and class weights (C,). Rows whose target is ignore_index
    are left out of both sums; with no row left the loss is 0.
    """
    kept, C = target != ignore_index, logits.shape[1]
    w = np.broadcast_to(weight, C).astype(logits.dtype)
    one_hot = np.eye(C, dtype=logits.dtype)[target[kept]]
    a = w * ((1 - label_smoothing) * one_hot + label_smoothing / C)
    return -(log_softmax(logits)[kept] * a).sum() / ((one_hot * w).sum().item() or 1)


def mse_loss(x: Tensor, target: Tensor) -> Tensor:
    """Mean of (x - target)², of one shape -> a scalar."""
    return ((x - target) ** 2).mean()


def binary_cross_entropy_with_logits(x: Tensor, y: Array, weight: Array = 1.0, pos_weight: Array = 1.0) -> Tensor:
    """Mean of -w (p y log σ(x) + (1 - y) log(1 - σ(x))): logits x (N, C), y (N, C) from 0 to 1 -> a scalar."""
    log_yes, log_no = x.sigmoid().log(), (-x).sigmoid().log()  # 1 - σ(x) = σ(-x)
    return -((log_yes * pos_weight * y + log_no * (1 - np.asarray(y))) * np.asarray(weight, x.dtype)).mean()


# -- positions: plain NumPy --------------------------------------------------------------------------------------


def sinusoidal_table(max_length: int, dim: int) -> np.ndarray:
    """(max_length, dim): row t holds sin and cos of t / 10000^(2i / dim) in columns 2i and 2i + 1.

    Vaswani et al. 2017, section 3.5.
    """
    table = np.empty((max_length, dim))
    for t in range(max_length):
        for column in range(dim):
            angle = t / 10000 ** (column // 2 * 2 / dim)
            table[t, column] = math.sin(angle) if column % 2 == 0 else math.cos(angle)
    return table


def relative_buckets(length: int, num_buckets: int, max_distance: int = 128) -> np.ndarray:
    """(length, length): the bucket of the distance from token i to token j. Raffel et al. 2020, 2.1.

    Half of the buckets are for j after i. In each half, the first E = num_buckets / 4 distances have a bucket each;
    the others share the next E, whose widths grow by the same factor up to max_distance.
    """
    E = num_buckets // 4

    def bucket(distance: int) -> int:
        if distance < E:
            return distance
        return min(E + int(E * math.log2(distance / E) / math.log2(max_distance / E)), 2 * E - 1)

    table = [[bucket(abs(j - i)) + 2 * E * (j > i) for j in range(length)] for i in range(length)]
    return np.array(table, np.int64).reshape(length, length)


def relative_position_bias(length: int, w: Tensor) -> Tensor:
    """bias[h, i, j] = w[bucket(i, j), h]: w (num_buckets, H) -> (H, length, length). Raffel et al. 2020, 2.1."""
    return embedding(relative_buckets(length, len(w)), w).permute(2, 0, 1)


# -- one step of an optimizer, for one array x with the gradient g: plain NumPy ----------------------------------


def sgd_step(
    x: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """v = momentum v + (g + weight_decay x) ;  x = x - lr v. The new x and v; v starts at 0. Polyak 1964."""
    v = momentum * v + g + weight_decay * x
    return x - lr * v, v


def adam_step(
    x: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step t = 1, 2, ...: the new x, m and v; m and v start at 0. Kingma & Ba 2015, algorithm 1.

        m = b1 m + (1 - b1) g ;  v = b2 v + (1 - b2) g² ;  x = x - lr m' / (√v' + eps)
        m' = m / (1 - b1^t) ;  v' = v / (1 - b2^t)

    Weight decay is part of the gradient, g + weight_decay x; if `decoupled`, it is a step of its own, x = x - lr
    weight_decay x (AdamW: Loshchilov & Hutter 2019, algorithm 2).
    """
    b1, b2 = betas
    x, g = (x - lr * weight_decay * x, g) if decoupled else (x, g + weight_decay * x)
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    return x - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def clip_by_norm(gradients: Sequence[np.ndarray], max_norm: float) -> tuple[list[np.ndarray], float]:
    """Each g times max_norm / norm if the joint length, norm, is more than max_norm; and norm. Pascanu et al. 2013."""
    norm = math.sqrt(sum(float(np.sum(g**2)) for g in gradients))
    scale = max_norm / norm if norm > max_norm else 1.0
    return [scale * g for g in gradients], norm


# -- the engine's bookkeeping: plain NumPy -----------------------------------------------------------------------


def topological_order(result: Any) -> list[Any]:
    """All nodes that `result` was made from, itself first, and every node before its `parents`. Kahn 1962.

    A node is listed when everything that was made from it has been listed.
    """
    waits_for, found = Counter[Any](), [result]  # node -> consumers that are not listed yet
    for node in found:
        found += [parent for parent in dict.fromkeys(node.parents) if not waits_for[parent]]
        waits_for.update(node.parents)
    order = [result]
    for node in order:
        waits_for.subtract(node.parents)
        order += [parent for parent in dict.fromkeys(node.parents) if not waits_for[parent]]
    return order


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over every axis that broadcasting an array of `shape` to `gradient.shape` has added or stretched."""
    added = gradient.ndim - len(shape)
    return gradient.sum(axis=(*range(added), *(added + i for i, n in enumerate(shape) if n == 1))).reshape(shape)


def embedding_gradient(dy: np.ndarray, ids: np.ndarray, num_rows: int) -> np.ndarray:
    """onehot(ids)ᵀ dy: dy (*ids.shape, D), integers ids of any shape -> (V, D). A row used twice gets two shares."""
    return np.eye(num_rows, dtype=dy.dtype)[ids.ravel()].T @ dy.reshape(ids.size, dy.shape[-1])


# -- text and rows: plain Python ---------------------------------------------------------------------------------


def join_pair(word: Sequence[int], pair: tuple[int, int], new: int) -> list[int]:
    """`new` in place of every `pair` of neighbours, from left to right; occurrences do not overlap."""
    tokens: list[int] = []
    for token in word:
        if tokens and (tokens[-1], token) == pair:
            tokens[-1] = new
        else:
            tokens.append(token)
    return tokens


def bpe_merges(words: Mapping[tuple[int, ...], int], num_merges: int) -> list[tuple[int, int]]:
    """Again and again the most frequent pair, on a tie the smallest, becomes the token 256, 257, ... Sennrich 2016."""
    pieces = [(list(word), count) for word, count in words.items()]
    merges: list[tuple[int, int]] = []
    while len(merges) < num_merges:
        counts = Counter[tuple[int, int]]()
        for word, count in pieces:
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        pieces = [(join_pair(word, best, 256 + len(merges)), count) for word, count in pieces]
        merges.append(best)
    return merges


def length_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Row numbers by length, shortest first and equal lengths in the order they came, cut into batches."""
    rows = sorted(range(len(lengths)), key=lambda row: lengths[row])
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def row_groups(texts: Sequence[str], ids: Sequence[str | None]) -> list[int]:
    """A number for each row, equal for rows that share a text, up to case and white space, or an id; or reach another.

    A group is numbered by its first row. None shares nothing.
    """
    group = list(range(len(texts)))
    for keys in ([" ".join(text.casefold().split()) for text in texts], ids):
        first: dict[str, int] = {}
        for row, key in enumerate(keys):
            if key is not None:
                a, b = group[first.setdefault(key, row)], group[row]
                group = [min(a, b) if number in (a, b) else number for number in group]
    return group


def leak_free_split(
    texts: Sequence[str], ids: Sequence[str | None], test_fraction: float, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Train and test rows, ascending: groups in random order go to test while it has fewer than its share of rows."""
    group = np.unique(row_groups(texts, ids), return_inverse=True)[1]
    test: list[int] = []
    for number in rng.permutation(len(set(group.tolist()))):
        if len(test) < test_fraction * len(texts):
            test += np.flatnonzero(group == number).tolist()
    return sorted(set(range(len(texts))) - set(test)), sorted(test)
