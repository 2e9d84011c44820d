"""Where does a model go wrong, and what misled it? Its most confident mistakes, and how it does on texts by length."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd

from minitx.data.split import LabelledTexts, normalise
from minitx.evaluation.attribution import token_contributions
from minitx.evaluation.metrics import report_probabilities
from minitx.evaluation.statistics import wilson_interval
from minitx.models.multitask import MultiTaskModel
from minitx.text.tokenizer import Tokenizer

SHOWN = 20  # mistakes for each head


@dataclass(frozen=True)
class Piece:
    """Some characters of a text and what their tokens contributed; None between tokens and beyond what is read."""

    text: str
    contribution: float | None


@dataclass(frozen=True)
class Mistake:
    """A row that was predicted wrong."""

    row: int
    copies: int  # other rows with the same text and the same mistake
    true: str
    predicted: str
    confidence: float  # probability of the predicted class
    true_probability: float
    pieces: list[Piece]  # together, the text
    special: float  # what the special tokens contributed, which stand for no character
    words: Mapping[str, float] = field(default_factory=dict)  # term -> its contribution, if words count


def worst_mistakes(
    model: MultiTaskModel, data: LabelledTexts, head: str, probabilities: np.ndarray, limit: int = SHOWN
) -> list[Mistake]:
    """The wrong predictions with the highest probability (N, C), most confident first; equal ones in row order.

    Rows with the same text, up to `normalise`, and the same classes are shown once and counted.
    """
    target, predicted = data.labels[head], model.answers.decide(head, probabilities)
    wrong = np.flatnonzero((target >= 0) & (predicted != target))
    alike: dict[tuple[str, int, int], list[int]] = {}  # in the order of confidence
    for row in wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")].tolist():
        alike.setdefault((normalise(data.texts[row]), target[row], predicted[row]), []).append(row)
    groups = list(alike.values())[:limit]
    rows = np.array([group[0] for group in groups], dtype=np.int64)
    texts = [data.texts[row] for row in rows]
    sequences, _ = model.encoder.tokenize_and_cut(texts)  # the caller has reported those that were cut
    tokenizer = cast(Tokenizer, model.encoder.tokenizer)  # tokenizing refuses an encoder without one
    contributions = token_contributions(model, sequences, head, predicted[rows])
    mistakes = []
    for group, text, values in zip(groups, texts, contributions, strict=True):
        row, pieces = group[0], _pieces(text, tokenizer, values)
        mistakes.append(
            Mistake(
                row=row,
                copies=len(group) - 1,
                true=model.classes[head][target[row]],
                predicted=model.classes[head][predicted[row]],
                confidence=float(probabilities[row, predicted[row]]),
                true_probability=float(probabilities[row, target[row]]),
                pieces=pieces,
                special=float(values.sum() - sum(piece.contribution or 0.0 for piece in pieces)),
                words=model.answers.evidence(text, head, int(predicted[row])),
            )
        )
    return mistakes


def _pieces(text: str, tokenizer: Tokenizer, contributions: np.ndarray) -> list[Piece]:
    """The text cut where its tokens begin and end; tokens that share a character, such as an emoji's, are one piece."""
    offsets = tokenizer.encode_with_offsets(text).offsets
    after = next((i for i, span in enumerate(reversed(offsets)) if span != (0, 0)), 0)  # special tokens at the end
    kept = offsets[: len(contributions) - after]  # fewer if the text was too long: it was cut before those
    pieces: list[Piece] = []
    done = 0
    for (start, end), value in zip(kept, contributions.tolist(), strict=False):
        if end == 0:  # a special token
            continue
        if start < done:
            last = pieces.pop()
            pieces.append(Piece(last.text + text[done:end], (last.contribution or 0.0) + value))
        else:
            if start > done:
                pieces.append(Piece(text[done:start], None))
            pieces.append(Piece(text[start:end], value))
        done = max(done, end)
    return [*pieces, Piece(text[done:], None)] if done < len(text) else pieces


def length_table(
    data: LabelledTexts,
    head: str,
    probabilities: np.ndarray,
    bag_of_words: np.ndarray | None = None,
    said: np.ndarray | None = None,
) -> pd.DataFrame:
    """How a head does on the shortest quarter of texts, by words, the next, and so on: a row for each.

    `probabilities` (N, C) are the model's, `bag_of_words` those of the rival, `said` (N,) the model's classes, by
    default the most probable. Texts of one length stay together, so there may be fewer than four rows, and they may be
    of unequal sizes.
    """
    words, classes = np.array([len(text.split()) for text in data.texts]), data.classes[head]
    edges = np.unique(np.quantile(words, (0.25, 0.5, 0.75, 1), method="lower"))
    table, first = {}, int(words.min())
    for number, last in enumerate(edges.tolist()):
        rows = np.searchsorted(edges, words) == number
        target = data.labels[head][rows]
        report = report_probabilities(target, probabilities[rows], classes, None if said is None else said[rows])
        rival = None if bag_of_words is None else report_probabilities(target, bag_of_words[rows], classes)
        low, high = wilson_interval(int(np.trace(report.confusion)), report.rows)
        table[f"{first:,} to {last:,}" if first < last else f"{last:,}"] = {
            "rows": report.rows,
            "accuracy": report.accuracy,
            "95 % interval": f"{low:.3f} to {high:.3f}" if report.rows else "n/a",
            "bag of words": rival.accuracy if rival else np.nan,
            "largest class": report.majority,
            "macro-F1": report.macro_f1,
        }
        first = last + 1
    return pd.DataFrame(list(table.values()), list(table))
