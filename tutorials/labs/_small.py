"""What do the labs train? Models small enough to be trained twice for each seed while somebody waits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitx.data.batches import TokenisedRows, length_batches
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import LabelledTexts
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.groups import Optimizer
from minitx.training.optim import clip_grad_norm_
from minitx.training.parallel import DataParallel, Loss

RATE = 2e-3  # for a random start; a pretrained model is usually given a hundredth of it
THREADS = 2  # whatever the machine has: the last bits depend on their number


def reviews(full: bool) -> LabelledTexts:
    """The built-in synthetic reviews, labelled: made of 4,000 rows, or of 1,000 if not `full`."""
    data, _ = label_reviews(synthetic_reviews(4000 if full else 1000))
    return data


def small_model(
    data: LabelledTexts, seed: int, encoder: type[SentenceEncoder] = SentenceEncoder, texts: Sequence[str] | None = None
) -> MultiTaskModel:
    """A new model with the classes of `data`, 64 wide: one block of four heads. Dropout is on, as in training.

    The tokenizer learns from `texts`, by default those of `data`. `encoder` may be a subclass, with the defect in it.
    """
    tokenizer = BPETokenizer.train(data.texts if texts is None else texts, vocab_size=1000)
    size: dict[str, Any] = {"hidden_size": 64, "num_layers": 1, "num_heads": 4, "intermediate_size": 128}
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, max_length=64, **size)
    rng = np.random.default_rng(seed)
    return MultiTaskModel(encoder(config, tokenizer, rng=rng), data.classes, rng=rng)


def rows_of(model: MultiTaskModel, part: LabelledTexts) -> TokenisedRows:
    """Texts as ids, cut to the model's length."""
    return TokenisedRows(model.encoder.tokenize_and_cut(part.texts)[0], part.labels)


def run_epochs(
    model: MultiTaskModel,
    part: LabelledTexts,
    optimizer: Optimizer,
    epochs: int,
    seed: int,
    task_weights: dict[str, float] | None = None,
) -> None:
    """Train, and keep the last weights. Unlike `trainer.fit`, it checks nothing and leaves all modes as they are."""
    order, dropout = np.random.default_rng(seed).spawn(2)
    rows = rows_of(model, part)
    with DataParallel(model, THREADS, dropout) as parallel:
        for _ in range(epochs):
            for batch in length_batches(*rows, batch_size=32, pad_id=model.encoder.config.pad_id, rng=order):
                optimizer.zero_grad()
                parallel.backward(batch, Loss(factors=task_weights or {}))
                clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()


def judge(model: MultiTaskModel, part: LabelledTexts) -> dict[str, Report]:
    """A report for each head on the rows of `part`, with dropout off."""
    return evaluate(model, rows_of(model, part))


def accuracy(model: MultiTaskModel, part: LabelledTexts) -> float:
    """Share of the rows of `part` whose sentiment is found."""
    return judge(model, part)["sentiment"].accuracy
