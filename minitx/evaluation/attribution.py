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

from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.models.multitask import MultiTaskModel
from minitx.nn.module import Module
from minitx.training.parallel import replicate


class _Cut(Module):
    """A layer whose output is cut out of the graph and made a leaf, so that it keeps its gradient."""

    def __init__(self, layer: Module) -> None:
        self.layer = layer

    def forward(self, ids: np.ndarray) -> Tensor:
        self.output = Tensor(self.layer(ids).data, requires_grad=True)
        return self.output


def token_contributions(
    model: MultiTaskModel, sequences: Sequence[Sequence[int]], head: str, classes: np.ndarray, batch_size: int = 32
) -> list[np.ndarray]:
    """What each token contributed to the logit of `classes[i]` of `head`: (T_i,) for each of N sequences of ids.

    `classes` is (N,) integers, usually what the model predicts. In eval mode; the model, its gradients included, is
    left as it is.
    """
    replica = replicate(model)  # shares the weight arrays
    replica.freeze().eval()  # a gradient of the embeddings, and of nothing else
    cut = _Cut(replica.encoder.embedding)
    replica.encoder.embedding = cut  # type: ignore[assignment]
    contributions: list[np.ndarray] = [np.zeros(0)] * len(sequences)
    for batch in length_batches(sequences, {}, batch_size=batch_size, pad_id=model.encoder.config.pad_id):
        logits = replica(batch.ids, batch.attention_mask)[head]  # (B, C)
        logits[np.arange(len(batch)), classes[batch.rows]].sum().backward()
        assert cut.output.grad is not None
        products = np.einsum("btd,btd->bt", cut.output.data, cut.output.grad)
        for row, values, mask in zip(batch.rows, products, batch.attention_mask, strict=True):
            contributions[row] = values[mask]
    return contributions
