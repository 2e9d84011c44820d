"""How good is a model on labelled rows?"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minitx.data.batches import TokenisedRows
from minitx.evaluation.metrics import Report, report_heads
from minitx.models.multitask import MultiTaskModel


def evaluate(
    model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray | None = None, texts: Sequence[str] | None = None
) -> dict[str, Report]:
    """A report for each head over `rows`, without dropout or a graph, on every core.

    `vectors` (N, D), if the encoder's sentence vectors of the rows are known, spare running it; the `texts` are needed
    if the model counts words as well (`MultiTaskModel.answers`), and then each report has those of its two
    `parts`, which say their most probable class whatever thresholds the whole has, but weigh its costs as it does.
    """
    if vectors is None:
        vectors = model.encoder.encode_ids(rows.sequences, show_progress_bar=False)
    answers, decide = model.answers, model.answers.decide
    costs = {head: answers.of(head).costs for head in model.classes}
    ordered = [head for head, kind in model.kinds.items() if kind != "softmax"]
    reports = report_heads(rows.labels, model.probabilities(vectors, texts), model.classes, decide, costs, ordered)
    if answers.words and texts is not None:
        alone = answers.without_words().probabilities(model.logits(vectors))
        parts = {"its encoder alone": alone, "its words alone": answers.words.predict_proba(texts)}
        each = {n: report_heads(rows.labels, p, model.classes, None, costs, ordered) for n, p in parts.items()}
        reports = {h: replace(r, parts={name: part[h] for name, part in each.items()}) for h, r in reports.items()}
    return reports
