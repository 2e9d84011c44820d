"""10. Solutions: a loss for labels that are missing, and task weights that are learned."""

import numpy as np

from minitx import Tensor
from minitx.learn.piece import Mistake, Piece

# -- the loss of several heads ------------------------------------------------------------------------------------


def multitask_loss(logits, labels):
    """The sum of the heads' losses: logits, a dict of Tensors (B, C), and labels, a dict of arrays (B,) -> a Tensor ().

    Both dicts have the same keys, the heads; C may differ from head to head. A head's loss is the mean of
    -log(softmax(logits)[i, labels[i]]) over its labelled rows. A row labelled -100 has no label for that head, and
    counts neither in the sum nor in the number of rows. A head without any labelled row adds 0. Logits are moderate:
    there is no need to guard against overflow.
    """
    # Idea: for each head take only its labelled rows, before anything else; then the mean is the usual one.
    # Line: kept = np.flatnonzero(labels[head] != -100), and the sum is divided by max(len(kept), 1).
    losses = []
    for head, x in logits.items():
        kept = np.flatnonzero(labels[head] != -100)
        x = x[kept]
        log_p = x - x.exp().sum(dim=-1, keepdim=True).log()
        losses.append(-log_p[np.arange(len(kept)), labels[head][kept]].sum() / max(len(kept), 1))
    return sum(losses[1:], start=losses[0])


def _row_losses(x, target):
    """-log p of each row (B,); rows without a label as if they had the last class."""
    log_p = x - x.exp().sum(dim=-1, keepdim=True).log()
    return -log_p[np.arange(len(target)), np.where(target == -100, x.shape[1] - 1, target)]


def _last_class(logits, labels):
    return sum(_row_losses(x, labels[head]).mean() for head, x in logits.items())


def _mean_over_all_rows(logits, labels):
    return sum((_row_losses(x, labels[head]) * (labels[head] != -100)).mean() for head, x in logits.items())


def _mean_over_heads(logits, labels):
    return multitask_loss(logits, labels) / len(logits)


def _row_dropped_for_all(logits, labels):
    missing = np.any([target == -100 for target in labels.values()], axis=0)
    return multitask_loss(logits, {head: np.where(missing, -100, target) for head, target in labels.items()})


def _not_a_number(logits, labels):
    kept = {head: (target != -100).astype(np.float64) for head, target in labels.items()}
    rows = {head: (_row_losses(x, labels[head]) * kept[head]).sum() for head, x in logits.items()}
    return sum(total / kept[head].sum() for head, total in rows.items())


def _batches():
    rng = np.random.default_rng(0)

    def logits(B):
        return {
            head: Tensor(rng.normal(size=(B, C)), requires_grad=True) for head, C in (("sentiment", 3), ("topic", 4))
        }

    def labels(sentiment, topic):
        return {"sentiment": np.array(sentiment), "topic": np.array(topic)}

    return {
        "6 rows, some labels missing": (logits(6), labels([0, -100, 2, 1, 1, 0], [3, 0, -100, -100, 1, 2])),
        "every label there": (logits(4), labels([0, 1, 2, 1], [3, 0, 1, 2])),
        "a head without any label": (logits(3), labels([2, 0, -100], [-100, -100, -100])),
        "one row, labelled for one head": (logits(1), labels([1], [-100])),
    }


def _both(yours, right, *_):
    return f"yours is {float(yours):.3f}, right is {float(right):.3f}"


# -- weights that are learned -------------------------------------------------------------------------------------


def uncertainty_loss(losses, log_variance):
    """Task weights that are learned: Tensors losses (tasks,) and log_variance (tasks,) -> a Tensor ().

    With L a task's loss and s its log variance: the sum over the tasks of exp(-s) L + s / 2 (Kendall, Gal & Cipolla
    2018). A loss of exactly 0 is that of a task without a label in this batch: the task adds nothing, and neither its
    loss nor its s gets a gradient.
    """
    # Idea: write the formula for all tasks at once, and multiply it by an array that is 0 where there was no label.
    # Line: labelled = (losses.data != 0).astype(losses.dtype) keeps float32, and has no gradient.
    labelled = (losses.data != 0).astype(losses.dtype)
    return (((-log_variance).exp() * losses + log_variance / 2) * labelled).sum()


def _labelled(losses):
    return (losses.data != 0).astype(losses.dtype)


def _without_the_second_term(losses, log_variance):
    return ((-log_variance).exp() * losses).sum()


def _sign(losses, log_variance):
    return ((log_variance.exp() * losses + log_variance / 2) * _labelled(losses)).sum()


def _not_halved(losses, log_variance):
    return (((-log_variance).exp() * losses + log_variance) * _labelled(losses)).sum()


def _for_regression(losses, log_variance):
    return (((-log_variance).exp() * losses + log_variance) / 2 * _labelled(losses)).sum()


def _unlabelled_tasks_too(losses, log_variance):
    return ((-log_variance).exp() * losses + log_variance / 2).sum()


def _tasks():
    def tensor(values):
        return Tensor(np.array(values), requires_grad=True)

    return {
        "three tasks": (tensor([1.2, 0.4, 0.9]), tensor([0.3, -0.5, 0.8])),
        "log variances of 0": (tensor([1.2, 0.4]), tensor([0.0, 0.0])),
        "a task without a label": (tensor([0.8, 0.0, 2.0]), tensor([0.5, 0.7, -0.2])),
    }


EXERCISES = [
    Piece(
        right=multitask_loss,
        examples=_batches,
        mistakes=(
            Mistake("-100 is counted as a label, the last class", _last_class, _both),
            Mistake("the sum is divided by all rows, not by the labelled ones", _mean_over_all_rows, _both),
            Mistake("the mean over the heads, not the sum", _mean_over_heads, _both),
            Mistake(
                "a row is dropped for all heads as soon as one of its labels is missing", _row_dropped_for_all, _both
            ),
            Mistake("a head without a label is 0 / 0", _not_a_number, "it adds 0, not NaN"),
        ),
    ),
    Piece(
        right=uncertainty_loss,
        examples=_tasks,
        mistakes=(
            Mistake(
                "s / 2 is left out",
                _without_the_second_term,
                "nothing keeps s from growing without end, until no task counts",
            ),
            Mistake("exp(s) in place of exp(-s)", _sign, "a task with a large variance would count more, not less"),
            Mistake("s is not halved", _not_halved, _both),
            Mistake("exp(-s) L is halved: the formula for regression", _for_regression, _both),
            Mistake(
                "a task without a label in the batch is in the sum", _unlabelled_tasks_too, "its s moves all the same"
            ),
        ),
    ),
]
