"""How well do two heads answer the question of a third? For one recipe, mpnet-topics, and for whoever copies it.

"positive, a technical complaint or another one" can be learnt as one head with three classes, or be read off two heads:
is it a complaint, and of which kind? `topic = ["sentiment", "complaint"]` under `[two_stage]` reports the second beside
the first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minitx.data.batches import TokenisedRows
from minitx.errors import InputError
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.models.multitask import MultiTaskModel


def check_pairs(pairs: Mapping[str, Any]) -> None:
    """`InputError` unless each head has two others to answer in its place."""
    for head, pair in pairs.items():
        if not isinstance(pair, list | tuple) or [type(name) for name in pair] != [str, str]:
            expected = "expected two heads, as in ['sentiment', 'complaint']"
            raise InputError(f"two_stage.{head}: {expected}, not {pair!r:.60}")


def check_two_stage(pairs: Mapping[str, Any], classes: Mapping[str, tuple[str, ...]]) -> None:
    """`InputError` unless every class of a head is one of `first` or of `then`, and `then` is asked at all."""
    for head, (first, then) in pairs.items():
        for name in (head, first, then):
            if name not in classes:
                raise InputError(f"two_stage: there is no head {name!r}: there is {', '.join(classes)}")
        settled, asked = set(classes[first]) & set(classes[head]), set(classes[then])
        if settled & asked or settled | asked != set(classes[head]) or settled in (set(), set(classes[first])):
            raise InputError(
                f"two_stage: classes of {head} must be those of {then} and some of {first}, none of both: "
                f"{', '.join(classes[head])} of {', '.join(classes[first])} and {', '.join(classes[then])}"
            )


def two_stage_reports(
    pairs: Mapping[str, Any], model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray, texts: Sequence[str]
) -> dict[str, Report]:
    """For each head of `pairs`, the report of two others: `first` decides, unless its class leaves it to `then`.

    A class of `first` that is a class of the head as well settles it ("positive"); otherwise the answer is that of
    `then` ("technical"). `vectors` (N, D) are the encoder's of the rows, `texts` their texts. There is no loss.
    """
    probabilities, reports = model.probabilities(vectors, texts) if pairs else {}, {}
    for head, (first, then) in pairs.items():
        kept, classes = rows.labels[head] >= 0, model.classes
        one, two = (
            np.array(classes[name])[model.answers.decide(name, probabilities[name][kept])] for name in (first, then)
        )
        chosen = np.where(np.isin(one, classes[head]), one, two)
        predicted = np.array([classes[head].index(name) for name in chosen], np.int64)
        confusion = confusion_matrix(rows.labels[head][kept], predicted, len(classes[head]))
        reports[head] = Report(classes[head], confusion, math.nan)
    return reports
