"""04. Solutions: ln C first, then down."""

import numpy as np

from minitx import Tensor


def cross_entropy(logits, targets):
    """The mean of -ln softmax(logits)[i, targets[i]]: Tensor (N, C), integer array (N,) -> Tensor of shape ().

    Rows whose target is -100 do not count, neither in the sum nor in the number of rows. If no row counts, it is 0.
    Logits may be as large as -10,000 or 10,000.
    """
    # Idea: ln softmax(x) is x - max - ln(sum(exp(x - max))): no exp overflows, and no logarithm of 0 is taken.
    # Line: the share of the logits is dy * (softmax - onehot) / number of rows that count, and 0 in the other rows.
    rows = np.flatnonzero(targets != -100)
    count = max(len(rows), 1)
    log_p = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))

    def backward(dy):
        dx = np.zeros_like(log_p)
        dx[rows] = np.exp(log_p[rows])
        dx[rows, targets[rows]] -= 1
        return (dy * dx / count,)

    return Tensor.from_op(-log_p[rows, targets[rows]].sum() / count, (logits,), backward)


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    """One step of AdamW: arrays x, g, m, v of one shape -> the new (x, m, v). Step t = 1, 2, ..., gradient g.

    Decay first: x = x - lr weight_decay x. Then, with b1, b2 = betas,

        m = b1 m + (1 - b1) g ;  v = b2 v + (1 - b2) g² ;  x = x - lr m' / (sqrt(v') + eps)
        m' = m / (1 - b1^t) ;  v' = v / (1 - b2^t)

    The arrays given are left as they are.
    """
    # Idea: m and v start at 0 and are too small at first, by just the factor that m' and v' divide by.
    # Line: x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps): eps is added after the root.
    b1, b2 = betas
    x = x - lr * weight_decay * x
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    return x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps), m, v


EXERCISES = ["cross_entropy", "adamw_step"]
