"""13. Solutions: a measure of search, and a loss that leaves known false negatives out."""

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where
from minitx.learn.piece import Mistake, Piece

# -- mean reciprocal rank -------------------------------------------------------------------------------------------


def mean_reciprocal_rank(cosines, answers):
    """How far down stands the right answer? cosines, an array (N, M), and answers, whole numbers (N,) -> a number.

    Question i is answered by column answers[i]. Its rank is 1 if no other column has a higher cosine, 2 if one has, and
    so on: a column with an equal cosine does not push it down. Returns the mean of 1 / rank over the questions.
    """
    # Idea: nothing has to be sorted: the rank is 1 more than the number of cosines above that of the right answer.
    # Line: right = cosines[np.arange(len(cosines)), answers]; then count cosines > right[:, None] along each row.
    right = cosines[np.arange(len(cosines)), answers]
    ranks = 1 + (cosines > right[:, None]).sum(axis=1)
    return float(np.mean(1 / ranks))


def _ranks(cosines, answers):
    return 1 + (cosines > cosines[np.arange(len(cosines)), answers][:, None]).sum(axis=1)


def _reciprocal_of_the_mean(cosines, answers):
    return float(1 / np.mean(_ranks(cosines, answers)))


def _ties_count(cosines, answers):
    return float(np.mean(1 / (cosines >= cosines[np.arange(len(cosines)), answers][:, None]).sum(axis=1)))


def _lowest_first(cosines, answers):
    return mean_reciprocal_rank(-cosines, answers)


def _from_zero(cosines, answers):
    return float(np.mean(1 / np.maximum(_ranks(cosines, answers) - 1, 1)))


def _mean_rank(cosines, answers):
    return float(np.mean(_ranks(cosines, answers)))


def _searches():
    rng = np.random.default_rng(0)
    return {
        "8 questions among 12 texts": (rng.uniform(-1, 1, (8, 12)), rng.integers(12, size=8)),
        "equal cosines": (np.array([[0.5, 0.5, 0.1], [0.2, 0.9, 0.2]]), np.array([1, 2])),
        "one text": (np.array([[-0.3], [0.8]]), np.array([0, 0])),
    }


# -- the loss of a batch without false negatives --------------------------------------------------------------------


def in_batch_loss(a, b, scale, same):
    """The loss of B pairs without false negatives: Tensors a and b (B, D), a number, bools (B, B) -> Tensor ().

    The logit of question i and answer j is scale times the cosine of a[i] and b[j]; no row of a or b is zero. Answer i
    is the right one. Answers j other than i for which same[i, j] is True say the same as answer i, so they do not take
    part in the softmax of question i. The diagonal of `same` may hold anything: the right answer always takes part.
    Returns the mean over the questions of -log(probability of the right answer). The scale may be 1000.
    """
    # Idea: a logit so low that its exp is 0 takes no part; give it to every answer that is the same, but not to i = j.
    # Line: x = where(same & ~np.eye(len(a), dtype=bool), a very low number, scale * the cosines), then log sum exp.
    logits = _without(same & ~np.eye(len(a.data), dtype=bool), _cosines(a, b) * scale)
    return -_log_softmax(logits)[np.arange(len(a.data)), np.arange(len(a.data))].mean()


def _cosines(a, b):
    return _unit(a) @ _unit(b).T


def _unit(x):
    return x / (x * x).sum(dim=-1, keepdim=True).sqrt()


def _without(left_out, logits):
    return where(~left_out, logits, Tensor(np.full(logits.shape, -1e30, logits.dtype)))


def _log_softmax(x):
    x = x - x.data.max(axis=-1, keepdims=True)
    return x - x.exp().sum(dim=-1, keepdim=True).log()


def _mean_of_the_diagonal(x):
    return -x[np.arange(len(x.data)), np.arange(len(x.data))].mean()


def _false_negatives_count(a, b, scale, same):
    return _mean_of_the_diagonal(_log_softmax(_cosines(a, b) * scale))


def _zero_for_a_mask(a, b, scale, same):
    kept = (~same | np.eye(len(same), dtype=bool)).astype(a.dtype)
    return _mean_of_the_diagonal(_log_softmax(_cosines(a, b) * scale * kept))


def _right_answer_left_out(a, b, scale, same):
    return _mean_of_the_diagonal(_log_softmax(_without(same, _cosines(a, b) * scale)))


def _no_cosine(a, b, scale, same):
    return _mean_of_the_diagonal(_log_softmax(_without(same & ~np.eye(len(same), dtype=bool), a @ b.T * scale)))


def _not_shifted(a, b, scale, same):
    e = _without(same & ~np.eye(len(same), dtype=bool), _cosines(a, b) * scale).exp()
    return _mean_of_the_diagonal((e / e.sum(dim=-1, keepdim=True)).log())


def _batches():
    rng = np.random.default_rng(0)

    def pairs(B, D):
        return (Tensor(rng.normal(size=(B, D)), requires_grad=True) for _ in range(2))

    meaning = np.array([0, 1, 0, 2, 1, 3])
    same = meaning[:, None] == meaning
    return {
        "6 pairs of 4 meanings": (*pairs(6, 5), 4.0, same),
        "a diagonal of False": (*pairs(6, 5), 4.0, same & ~np.eye(6, dtype=bool)),
        "all of one meaning": (*pairs(3, 4), 20.0, np.ones((3, 3), bool)),
        "a scale of 1000": (*pairs(6, 5), 1000.0, same),
    }


EXERCISES = [
    Piece(
        right=mean_reciprocal_rank,
        examples=_searches,
        mistakes=(
            Mistake(
                "the reciprocal of the mean rank, not the mean of the reciprocals",
                _reciprocal_of_the_mean,
                lambda yours, right, *_: f"{yours:.3f}: one question far down spoils all; the mean is {right:.3f}",
            ),
            Mistake(
                "texts with an equal cosine are counted as better",
                _ties_count,
                lambda yours, right, *_: f"{yours:.3f} instead of {right:.3f}, where two cosines are equal",
            ),
            Mistake("the lowest cosine is taken for the best", _lowest_first, "the first place has rank 1"),
            Mistake(
                "ranks are counted from 0, and 0 taken for 1", _from_zero, "the second place counts like the first"
            ),
            Mistake(
                "the mean rank, not turned over",
                _mean_rank,
                lambda yours, right, *_: f"{yours:.2f}; the mean of 1 / rank is at most 1",
            ),
        ),
    ),
    Piece(
        right=in_batch_loss,
        examples=_batches,
        mistakes=(
            Mistake(
                "answers that say the same still count as wrong",
                _false_negatives_count,
                lambda yours, right, *_: f"loss {yours:.3f}, without them {right:.3f}",
            ),
            Mistake(
                "what is left out gets the logit 0, and exp(0) is 1",
                _zero_for_a_mask,
                "a cosine of 0 is an answer like any other: give it a very low logit",
            ),
            Mistake(
                "the right answer is left out where the diagonal of `same` is True",
                _right_answer_left_out,
                lambda yours, right, *_: f"loss {yours:.3g}, not {right:.3f}",
            ),
            Mistake(
                "products of the vectors, not cosines", _no_cosine, "a longer vector would be nearer to everything"
            ),
            Mistake(
                "exp of logits that may be 1000",
                _not_shifted,
                "it is infinite: subtract each row's largest logit first",
            ),
        ),
    ),
]
