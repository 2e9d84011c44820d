"""A question that two heads answer together: the first decides and, unless its class settles it, the second."""

import math
from collections.abc import Mapping

import numpy as np

from minitx.errors import InputError
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.models.multitask import MultiTaskModel
from minitx.training.trainer import TokenisedRows, predict


def check_two_stage(classes: Mapping[str, tuple[str, ...]], head: str, first: str, then: str) -> None:
    """`InputError` unless every class of `head` is one of `first` or of `then`, and `then` is asked at all."""
    for name in (head, first, then):
        if name not in classes:
            raise InputError(f"two_stage: there is no head {name!r}: there is {', '.join(classes)}")
    settled, asked = set(classes[first]) & set(classes[head]), set(classes[then])
    if settled & asked or settled | asked != set(classes[head]) or settled in (set(), set(classes[first])):
        raise InputError(
            f"two_stage: classes of {head} must be those of {then} and some of {first}, none of both: "
            f"{', '.join(classes[head])} of {', '.join(classes[first])} and {', '.join(classes[then])}"
        )


def two_stage_report(
    model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray, head: str, first: str, then: str
) -> Report:
    """How well two heads answer the question of a third: `first` decides and, unless its class settles it, `then`.

    `vectors` (N, D) are the encoder's of the rows.
    A class of `first` that is a class of `head` as well settles it ("positive"); else the answer is `then`'s ("a
    technical complaint"). There is no loss.
    """
    names = model.classes
    kept = rows.labels[head] >= 0
    logits = predict(model, rows.sequences, vectors)
    answers = {name: logits[name][kept].argmax(axis=1) for name in (first, then)}
    predicted = np.array(
        [
            names[head].index(names[first][one] if names[first][one] in names[head] else names[then][two])
            for one, two in zip(answers[first], answers[then], strict=True)
        ],
        dtype=np.int64,
    )
    return Report(names[head], confusion_matrix(rows.labels[head][kept], predicted, len(names[head])), math.nan)
