"""SimCSE: a text is its own paraphrase, seen twice through different dropout; all other texts mean something else."""

from minitx.autograd.tensor import Tensor, stack
from minitx.data.batches import Batch
from minitx.training.contrastive import multiple_negatives_ranking_loss
from minitx.training.pretraining import Objective

TEMPERATURE = 0.05


class SimCSE(Objective):
    """loss = mean_i( -log softmax_j( cos(z_i, z'_j) / 0.05 )[i] ), z and z' (B, D) the vectors under two dropout masks.

    It pulls nothing apart that dropout leaves together, and spreads the vectors of different texts over the sphere
    (Wang & Isola 2020). Without dropout there is nothing to learn from a text's own pair, so it is judged with it.

    Gao et al. 2021, "SimCSE", section 3, equation 4; there with one more layer while it trains. sentence-transformers:
    `MultipleNegativesRankingLoss` on pairs (text, text), `scale=20`.
    """

    noisy, fewest = True, 2

    def outputs(self, share: Batch) -> Tensor:
        """Both vectors of each text, (n, 2, D)."""
        return stack([self.encoder(share.ids, share.attention_mask) for _ in range(2)], dim=1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Which second vector belongs to the first?"""
        return multiple_negatives_ranking_loss(outputs[:, 0], outputs[:, 1], scale=1 / TEMPERATURE)
