"""Masked language model: guess the tokens that are hidden, from what stands around them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.nn.module import Parameter
from minitx.training.pretraining import Objective

CHOSEN, MASKED, OTHER = 0.15, 0.8, 0.1  # share of the tokens to guess; of these, masked, and replaced by any other
MASK_NAMES = ("<mask>", "[MASK]")  # RoBERTa's and MPNet's; BERT's and minitx's own


class MaskedLanguageModel(Objective):
    """Cross-entropy of the hidden tokens: the mean over chosen places t of -log softmax(E h[t] / r + b)[token t].

    h (B, T, D) are the encoder's token vectors, E (V, D) its embeddings, r the mean length of E's rows at the start, if
    above 1 (minitx writes its embeddings times √D), b (V,) a bias that is only needed here. Of
    the tokens that stand for text, 15 % are chosen, at least one of each text; of these 80 % are replaced by the mask
    token and 10 % by a random one, and 10 % stay, since nobody masks the texts that the encoder is used on. They
    are chosen anew each time (Liu et al. 2019, "RoBERTa", section 4.1). Logits are computed at the chosen places alone.

    Devlin et al. 2019, "BERT", section 3.1. transformers: `BertForMaskedLM` with `DataCollatorForLanguageModeling`;
    it puts one more layer before E.

    Args:
        encoder: with a tokenizer that has a mask token: one that minitx has learned, or BERT's, has [MASK]. None of its
            special tokens is ever chosen, or put in a token's place.
        sequences: the ids to learn from; b starts at the logarithm of how often each token occurs.

    Raises:
        InputError: there is no tokenizer, or it has no mask token.
    """

    def __init__(self, encoder: SentenceEncoder, sequences: Sequence[Sequence[int]]) -> None:
        super().__init__(encoder)
        vocab = encoder.tokenizer.get_vocab() if encoder.tokenizer else {}
        self.mask_id = next((vocab[name] for name in MASK_NAMES if name in vocab), -1)
        if not encoder.tokenizer or self.mask_id < 0:
            raise InputError(f"a tokenizer with a mask token is needed; looked for {' and '.join(MASK_NAMES)}")
        special = [self.mask_id, *(token.id for token in encoder.tokenizer.spec.special_tokens)]
        self.ordinary = np.setdiff1d(list(vocab.values()), special)  # stand for text
        self.is_ordinary = np.isin(np.arange(encoder.config.vocab_size), self.ordinary)
        flat = np.concatenate([np.asarray(ids, np.int64) for ids in sequences])
        count = 1 + np.bincount(flat, minlength=len(self.is_ordinary))
        self.shrink = 1 / max(1.0, float(np.linalg.norm(encoder.embedding.weight.data, axis=1).mean()))
        self.bias = Parameter(np.log(count / count.sum()).astype(encoder.embedding.weight.dtype))

    def ask(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The batch with tokens hidden; `labels["token"]` (B, T) has what stood there, and -100 elsewhere."""
        may = self.is_ordinary[batch.ids] & batch.attention_mask
        draw = np.where(may, rng.random(may.shape), 2.0)
        chosen = may & (draw <= np.maximum(CHOSEN, draw.min(axis=1, keepdims=True)))  # the lowest of each text always
        fate, other = rng.random(may.shape), rng.choice(self.ordinary, may.shape)
        shown = np.where(fate < MASKED, self.mask_id, np.where(fate < MASKED + OTHER, other, batch.ids))
        labels = {"token": np.where(chosen, batch.ids, -100)}
        return replace(batch, ids=np.where(chosen, shown, batch.ids), labels=labels)

    def outputs(self, share: Batch) -> Tensor:
        """The share's sum of -log p, (1,)."""
        target = share.labels["token"][:, : share.ids.shape[1]]
        logits = self.logits(share.ids, share.attention_mask, target >= 0)
        return F.cross_entropy(logits, target[target >= 0], divisor=1.0).reshape(1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Over all chosen places of the batch."""
        return outputs.sum() / max(1.0, float((batch.labels["token"] >= 0).sum()))

    def logits(self, ids: np.ndarray, attention_mask: np.ndarray, places: np.ndarray) -> Tensor:
        """ids (B, T) and places (B, T), M of which are True -> (M, V)."""
        h = self.encoder.token_embeddings(ids, attention_mask)[places]
        return F.linear(h * self.shrink, self.encoder.embedding.weight, self.bias)

    def guess(self, ids: Sequence[int], place: int) -> np.ndarray:
        """The probability of every token (V,) at a place of one text, which is masked there."""
        shown = np.array([ids])
        shown[0, place] = self.mask_id
        with inference():
            return F.softmax(self.logits(shown, shown >= 0, np.arange(len(ids))[None] == place)).data[0]
