"""Which tokens made a model decide as it did? Gradient times input, at the output of the token embedding.

The logit of a class, as a function of the token embeddings e_1, ..., e_T, changes by about

    contribution[t] = e_t · d logit / d e_t

when e_t is scaled up by a factor 1 + s, divided by s. A positive contribution spoke for the class, a negative one
against it. Were the model linear in its embeddings, the contributions would add up to the logit, but for its bias; a
transformer is not, so they say what a small change would do, not what removing the token would. Simonyan et al. 2014;
Shrikumar et al. 2017, section 2.
"""

from collections.abc import Sequence

import numpy as np

from minitx.autograd.context import running
from minitx.autograd.engine import Sums
from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.models.multitask import MultiTaskModel
from minitx.system import one_blas_thread


def token_contributions(
    model: MultiTaskModel, sequences: Sequence[Sequence[int]], head: str, classes: np.ndarray, batch_size: int = 32
) -> list[np.ndarray]:
    """What each token contributed to the logit of `classes[i]` of `head`: (T_i,) for each of N sequences of ids.

    `classes` is (N,) integers, usually what the model predicts. Dropout is off; nothing is written to the model.
    """
    encoder = model.encoder
    contributions: list[np.ndarray] = [np.zeros(0)] * len(sequences)
    for batch in length_batches(sequences, {}, batch_size=batch_size, pad_id=encoder.config.pad_id):
        mask, gradients = batch.attention_mask, Sums()
        with one_blas_thread(), running(recording=True, inference=True, gradients=gradients):
            e = Tensor(encoder.embedding(batch.ids).data, requires_grad=True)  # cut from what made it: a leaf
            logits = model.classify(encoder.pool(encoder.contextual(e, mask), mask))[head]  # (B, C)
            logits[np.arange(len(batch)), classes[batch.rows]].sum().backward()
        products = np.einsum("btd,btd->bt", e.data, gradients[e])
        for row, values, real in zip(batch.rows, products, mask, strict=True):
            contributions[row] = values[real]
    return contributions
