"""How good is a model on labelled rows?"""

import numpy as np

from minitx.data.batches import TokenisedRows
from minitx.evaluation.metrics import Report, report_heads
from minitx.models.multitask import MultiTaskModel


def evaluate(model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray | None = None) -> dict[str, Report]:
    """A report for each head over `rows`, without dropout or a graph, on every core.

    `vectors` (N, D), if the encoder's sentence vectors of the rows are known, spare running it.
    """
    if vectors is None:
        vectors = model.encoder.encode_ids(rows.sequences, show_progress_bar=False)
    return report_heads(rows.labels, model.probabilities(vectors), model.classes)
