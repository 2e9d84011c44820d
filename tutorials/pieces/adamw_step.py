"""A step of AdamW, its inputs, and the commonest wrong answers."""

import numpy as np

from minitx.learn import plain
from minitx.learn.piece import Piece, slips


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    """One step t = 1, 2, ... of AdamW for an array x with the gradient g: returns the new (x, m, v).

    First the decay, x = x - lr weight_decay x. Then, with (b1, b2) = betas,
    m = b1 m + (1 - b1) g ;  v = b2 v + (1 - b2) g² ;  x = x - lr m' / (√v' + eps)
    and the bias correction m' = m / (1 - b1^t) ;  v' = v / (1 - b2^t). Arrays of one shape; none is changed in place.
    """
    return plain.adam_step(x, g, m, v, t, lr, betas, eps, weight_decay, decoupled=True)


def _inputs():
    rng = np.random.default_rng(0)

    def inputs(*shape, t=3, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1, scale=1.0):
        x, g, m, v = (scale * rng.normal(size=shape) for _ in range(4))
        started = t > 1
        return x, g, m * started, np.abs(v) * scale * started, t, lr, betas, eps, weight_decay

    return {
        "the first step": inputs(2, 3, t=1),
        "step 3": inputs(2, 3),
        "step 100, other betas": inputs(4, t=100, betas=(0.8, 0.95)),
        "without decay": inputs(3, weight_decay=0.0),
        "tiny gradients, where eps counts": inputs(3, scale=1e-6, eps=1e-4),
        "a large decay and rate": inputs(3, lr=0.5, weight_decay=0.5),
        "three axes": inputs(2, 2, 3, t=7, lr=0.1, betas=(0.5, 0.9), weight_decay=0.01),
        "one number": inputs(1),
    }


def _step(**slip):
    s = {"correct": "mv", "decay": "own", "eps": "outside", "square": "g²", "root": True, "sign": -1, "off": 0}
    s |= {"new": "mv", "betas": ""} | slip

    def wrong(x, g, m, v, t, lr, betas, eps, weight_decay):
        b1, b2 = {"": betas, "exchanged": betas[::-1], "b1": (betas[0],) * 2, "b2": (betas[1],) * 2}[s["betas"]]
        t = t + s["off"]
        old = x
        if s["decay"] == "own":
            x = x - lr * weight_decay * x
        elif s["decay"] == "without lr":
            x = x - weight_decay * x
        elif s["decay"] == "plus":
            x = x + lr * weight_decay * x
        elif s["decay"] == "gradient":
            g = g + weight_decay * x
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * {"g²": g**2, "g": g, "|g|": np.abs(g)}[s["square"]]
        m_hat = m / (1 - b1**t) if s["correct"] in ("mv", "m") else m
        v_hat = v / (1 - b2**t) if s["correct"] in ("mv", "v") else v
        if s["correct"] == "no power":
            m_hat, v_hat = m / (1 - b1), v / (1 - b2)
        elif s["correct"] == "times":
            m_hat, v_hat = m * (1 - b1**t), v * (1 - b2**t)
        root = np.sqrt(v_hat) if s["root"] else v_hat
        move = m_hat / (np.sqrt(v_hat + eps) if s["eps"] == "inside" else root + (eps if s["eps"] == "outside" else 0))
        if s["decay"] == "in the move":
            move = move + weight_decay * old
        x = x + s["sign"] * lr * move
        if s["decay"] == "after":
            x = x - lr * weight_decay * x
        return (x, m_hat, v_hat) if s["new"] == "hats" else (x, m, v)

    return wrong


def _eps_first(x, g, m, v, t, lr, betas, eps, weight_decay):
    _, m, v = plain.adam_step(x, g, m, v, t, lr, betas, eps, weight_decay, decoupled=True)
    b1, b2 = betas
    move = m / (1 - b1**t) * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
    return x - lr * weight_decay * x - lr * move, m, v


def _without_momentum(x, g, m, v, t, lr, betas, eps, weight_decay):
    _, m, v = plain.adam_step(x, g, m, v, t, lr, betas, eps, weight_decay, decoupled=True)
    return x - lr * weight_decay * x - lr * g / (np.sqrt(v / (1 - betas[1] ** t)) + eps), m, v


def _unmoved(x, g, m, v, *others):
    return plain.adam_step(x, g, m, v, *others, decoupled=True)[0], m, v


def _accumulated(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    new_x, *_ = plain.adam_step(x, g, m, v, t, lr, betas, eps, weight_decay, decoupled=True)
    return new_x, b1 * m + g, b2 * v + g**2


ADAMW_STEP = Piece(
    adamw_step,
    _inputs,
    slips(
        {
            "no bias correction: divide m by 1 - b1^t and v by 1 - b2^t": (_step(correct=""),),
            "only m is corrected for its bias, not v": (_step(correct="m"),),
            "only v is corrected for its bias, not m": (_step(correct="v"),),
            "the decay is part of the gradient, as in Adam with L2; AdamW's acts on the weights": (
                _step(decay="gradient"),
            ),
            "the decay is not multiplied by the learning rate": (_step(decay="without lr"),),
            "the decay is taken after the step, from the new weights, not first": (_step(decay="after"),),
            "the decay is missing": (_step(decay="none"),),
            "the decay grows the weights: a sign": (_step(decay="plus"),),
            "eps is inside the root": (_step(eps="inside"),),
            "eps is missing": (_step(eps="none"),),
            "the gradient is not squared in v": (_step(square="g"), _step(square="|g|")),
            "divided by v', without the root": (_step(root=False),),
            "the bias correction lacks the power t: 1 - b, not 1 - b^t": (_step(correct="no power"),),
            "multiplied by 1 - b^t, where it must be divided": (_step(correct="times"),),
            "eps is added before the bias correction of v": (_eps_first,),
            "the results come in another order than x, m, v": (
                lambda *a: [plain.adam_step(*a, decoupled=True)[i] for i in (1, 2, 0)],
                lambda *a: [plain.adam_step(*a, decoupled=True)[i] for i in (0, 2, 1)],
            ),
            "the gradient itself makes the step, not its mean m": (_without_momentum,),
            "the step goes uphill: a sign": (_step(sign=1),),
            "t is counted from 0 in the bias correction": (_step(off=-1),),
            "t is one too large in the bias correction": (_step(off=1),),
            "the corrected m' and v' are returned, and would be corrected again in the next step": (_step(new="hats"),),
            "the two betas are exchanged": (_step(betas="exchanged"),),
            "one beta for both m and v": (_step(betas="b1"), _step(betas="b2")),
            "m and v are returned as they came": (_unmoved,),
            "1 - b is missing in m and v: they grow without end": (_accumulated,),
        }
    ),
)

PIECES = [ADAMW_STEP]
