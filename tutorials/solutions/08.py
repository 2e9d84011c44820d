"""08. Solutions: a block with its norms before or after, and dropout."""

import numpy as np

from minitx import Tensor
from minitx.learn.piece import Mistake, Piece


def pre_norm_block(x, attend, feed_forward, norm1, norm2, dropout):
    """A block with the norms in front of its sublayers: Tensor (B, T, D) -> Tensor (B, T, D)."""
    # Idea: x itself is only ever added to; each sublayer reads a normalised copy.
    # Line: x = x + dropout(attend(norm1(x))), and the second sublayer likewise.
    x = x + dropout(attend(norm1(x)))
    return x + dropout(feed_forward(norm2(x)))


def post_norm_block(x, attend, feed_forward, norm1, norm2, dropout):
    """A block with a norm after each addition: Tensor (B, T, D) -> Tensor (B, T, D)."""
    # Idea: add first, then normalise the sum; what is dropped is dropped before it is added.
    # Line: x = norm1(x + dropout(attend(x))), and the second sublayer likewise.
    x = norm1(x + dropout(attend(x)))
    return norm2(x + dropout(feed_forward(x)))


def dropout(x, p, noise, training):
    """x with the elements 0 whose noise is below p, the others divided by 1 - p; x itself if not training."""
    # Idea: dropout is a product with a mask, so the Tensor's own * has the right gradient.
    # Line: the mask is (noise >= p) / (1 - p): 0 with probability p, larger than 1 otherwise.
    if not training:
        return x
    return x * (noise >= p) / (1 - p)


# -- what the commonest mistakes compute -------------------------------------------------------------------------


def _pre_drops_the_stream(x, attend, feed_forward, norm1, norm2, dropout):
    x = dropout(x + attend(norm1(x)))
    return dropout(x + feed_forward(norm2(x)))


def _pre_adds_to_the_copy(x, attend, feed_forward, norm1, norm2, dropout):
    x = norm1(x)
    x = norm2(x + dropout(attend(x)))
    return x + dropout(feed_forward(x))


def _pre_parallel(x, attend, feed_forward, norm1, norm2, dropout):
    return x + dropout(attend(norm1(x))) + dropout(feed_forward(norm2(x)))


def _pre_one_norm(x, attend, feed_forward, norm1, norm2, dropout):
    return pre_norm_block(x, attend, feed_forward, norm1, norm1, dropout)


def _post_drops_the_norm(x, attend, feed_forward, norm1, norm2, dropout):
    x = dropout(norm1(x + attend(x)))
    return dropout(norm2(x + feed_forward(x)))


def _post_drops_the_sum(x, attend, feed_forward, norm1, norm2, dropout):
    x = norm1(dropout(x + attend(x)))
    return norm2(dropout(x + feed_forward(x)))


def _post_norms_what_is_added(x, attend, feed_forward, norm1, norm2, dropout):
    x = x + norm1(dropout(attend(x)))
    return x + norm2(dropout(feed_forward(x)))


def _post_replaces(x, attend, feed_forward, norm1, norm2, dropout):
    x = norm1(dropout(attend(x)))
    return norm2(dropout(feed_forward(x)))


def _unscaled(x, p, noise, training):
    return x * (noise >= p) if training else x


def _paper_of_2014(x, p, noise, training):
    return x * (noise >= p) if training else x * (1 - p)


def _always(x, p, noise, training):
    return x * (noise >= p) / (1 - p)


def _keeps_p(x, p, noise, training):
    return x * (noise < p) / (1 - p) if training else x


def _without_history(x, p, noise, training):
    return Tensor((x.data * (noise >= p) / (1 - p)).astype(x.dtype)) if training else x


# -- the inputs --------------------------------------------------------------------------------------------------


def _norm(scale):
    def norm(x):
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred / ((centred * centred).mean(dim=-1, keepdim=True) + 1e-5).sqrt() * scale

    return norm


def _product(side, matrix):
    def mix(x):
        m = Tensor(matrix.astype(x.dtype))
        return (m @ x if side == "tokens" else x @ m).tanh()

    return mix


def _blocks():
    rng = np.random.default_rng(0)
    B, T, D = 2, 3, 4
    attend, feed_forward = _product("tokens", rng.normal(size=(T, T))), _product("width", rng.normal(size=(D, D)))
    kept = (rng.random((B, T, D)) > 0.25) / 0.75

    def x():
        return Tensor(3 + 2 * rng.normal(size=(B, T, D)), requires_grad=True)

    def drop(x):
        return x * kept.astype(x.dtype)

    def keep(x):
        return x

    def nothing(x):
        return x * 0.0

    norms = _norm(1.0), _norm(0.5)
    return {
        "a block with dropout": (x(), attend, feed_forward, *norms, drop),
        "a block without dropout": (x(), attend, feed_forward, *norms, keep),
        "sublayers that give 0": (x(), nothing, nothing, *norms, drop),
    }


def _noise():
    rng = np.random.default_rng(1)

    def case(p, training):
        return Tensor(rng.normal(size=(4, 5)), requires_grad=True), p, rng.random((4, 5)), training

    return {"training, p = 0.3": case(0.3, True), "in use, p = 0.3": case(0.3, False), "p = 0": case(0.0, True)}


def _spread(yours, right, *_):
    return f"the standard deviation of your output is {yours.std():.2f}, right is {right.std():.2f}"


def _zeros(yours, right, *_):
    return f"{np.mean(yours == 0):.0%} of your output is 0"


def _total(yours, right, x, *_):
    return f"absolute values that added up to {np.abs(x.data).sum():.1f} now make {np.abs(yours).sum():.1f}"


EXERCISES = [
    Piece(
        right=pre_norm_block,
        examples=_blocks,
        mistakes=(
            Mistake("the norms stand after the additions: this is post-norm", post_norm_block, _spread),
            Mistake("dropout is on the stream; it belongs on what is added", _pre_drops_the_stream, _zeros),
            Mistake(
                "you add to the normalised copy; what a sublayer gives is added to x itself",
                _pre_adds_to_the_copy,
                _spread,
            ),
            Mistake(
                "the feed-forward network reads the x from before attention",
                _pre_parallel,
                "the second line has to use the x of the first",
            ),
            Mistake("norm1 is used twice", _pre_one_norm, "norm2 has weights of its own"),
        ),
    ),
    Piece(
        right=post_norm_block,
        examples=_blocks,
        mistakes=(
            Mistake("the norms come before the sublayers of the sublayers: this is pre-norm", pre_norm_block, _spread),
            Mistake(
                "dropout is after the norm, on the stream; it belongs on what is added", _post_drops_the_norm, _zeros
            ),
            Mistake(
                "dropout is on the sum; it belongs on what is added, before the addition",
                _post_drops_the_sum,
                "the path that should arrive whole is dropped as well",
            ),
            Mistake("you normalise what is added; the norm is of the sum", _post_norms_what_is_added, _spread),
            Mistake(
                "the sublayer's result replaces x; it is to be added to x",
                _post_replaces,
                "without the addition, no gradient gets to the lower blocks unchanged",
            ),
        ),
    ),
    Piece(
        right=dropout,
        examples=_noise,
        mistakes=(
            Mistake("what is kept is not divided by 1 - p", _unscaled, _total),
            Mistake(
                "you multiply by 1 - p in use, as the first paper did; here, training divides and use changes nothing",
                _paper_of_2014,
                _total,
            ),
            Mistake("elements are dropped at evaluation, too", _always, _zeros),
            Mistake("you keep where the noise is below p: the share p should be dropped", _keeps_p, _zeros),
            Mistake(
                "the result has no history: a new Tensor is made of the data alone",
                _without_history,
                "multiply the Tensor itself by the mask, and the gradient finds its way",
            ),
        ),
    ),
]
