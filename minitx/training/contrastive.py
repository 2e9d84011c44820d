"""Learning from pairs: texts with the same meaning move together. This is what makes an encoder a *sentence* encoder.

After pretraining alone, the mean of a sentence's token vectors is a poor sentence vector. These losses compare the
vectors of two sentences, by their cosine only. Reimers & Gurevych 2019, "Sentence-BERT".
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import pad
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.system import Bar
from minitx.training.groups import Optimizer
from minitx.training.optim import clip_grad_norm_
from minitx.training.schedules import LambdaLR


def multiple_negatives_ranking_loss(anchors: Tensor, candidates: Tensor, scale: float = 20.0) -> Tensor:
    """Which candidate belongs to anchor i? Cross-entropy over the cosines, candidate i being right -> a scalar.

        loss = mean_i( -log softmax_j( scale cos(anchor_i, candidate_j) )[i] )

    Args:
        anchors: (B, D).
        candidates: (M, D), M >= B: the B partners in the order of the anchors, then hard negatives if there are any.
            Every other candidate is a wrong answer, so a batch of B pairs gives B² - B negatives at no extra cost.
        scale: 1 / temperature. Cosines lie between -1 and 1, too close together for a confident softmax.

    Henderson et al. 2017, section 4.4; van den Oord et al. 2018 (InfoNCE). sentence-transformers:
    `losses.MultipleNegativesRankingLoss`.
    """
    cosines = F.normalize(anchors) @ F.normalize(candidates).T  # (B, M)
    return F.cross_entropy(cosines * scale, np.arange(len(anchors)))


def cosine_similarity_loss(a: Tensor, b: Tensor, target: np.ndarray) -> Tensor:
    """Mean squared error of the cosine of each pair: a (B, D), b (B, D), target (B,) from -1 to 1 -> a scalar.

    For pairs labelled with a degree of similarity. sentence-transformers: `losses.CosineSimilarityLoss`.
    """
    difference = (F.normalize(a) * F.normalize(b)).sum(dim=-1) - Tensor(np.asarray(target, a.dtype))
    return (difference * difference).mean()


def pair_batches(
    pairs: Sequence[tuple[str, str]], batch_size: int, rng: np.random.Generator
) -> Iterator[list[tuple[str, str]]]:
    """Shuffled batches in which no text occurs twice: its other partner, which is right too, would count as wrong.

    A pair with a text that the batch already holds waits for the next batch; only the last batches may be smaller.
    """
    waiting = [pairs[row] for row in rng.permutation(len(pairs))]
    while waiting:
        batch: list[tuple[str, str]] = []
        later: list[tuple[str, str]] = []
        seen: set[str] = set()
        for place, pair in enumerate(waiting):
            if len(batch) == batch_size:
                later += waiting[place:]
                break
            (later if seen & set(pair) else batch).append(pair)
            seen |= set(pair) if batch and batch[-1] is pair else set()
        yield batch
        waiting = later


def fit_pairs(
    encoder: SentenceEncoder,
    pairs: Sequence[tuple[str, str]],
    optimizer: Optimizer,
    *,
    schedule: LambdaLR | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    scale: float = 20.0,
    max_grad_norm: float = 1.0,
    rng: np.random.Generator,
    progress: bool = True,
    on_epoch: Callable[[int, float], None] = lambda number, loss: None,
) -> list[float]:
    """Train `encoder` with `multiple_negatives_ranking_loss` on (anchor, positive) pairs, and leave it in eval mode.

    Args:
        encoder: must have a tokenizer.
        pairs: two texts that belong together: question and answer, title and text, two wordings of one statement.
        optimizer: holds all trainable weights of `encoder` and no others (`Optimizer.check`).
        schedule: stepped after every optimizer step.
        batch_size: pairs in a batch. A larger batch asks a harder question, and usually gives a better encoder.
        scale, max_grad_norm: see `multiple_negatives_ranking_loss`, `optim.clip_grad_norm_`.
        rng: shuffles the pairs.
        progress: show a bar with the running loss.
        on_epoch: called with each epoch's number and mean loss.

    Returns:
        The mean loss of each epoch. An encoder that guesses at random is at about ln(batch_size).

    Raises:
        InputError: there are fewer than two pairs or one is not two texts, `batch_size` is below 2, or there is no
            tokenizer.
        ValueError: the optimizer does not train this encoder, or all of the encoder's weights are frozen.
        FloatingPointError: the loss became NaN or infinite.
    """
    if len(pairs) < 2 or batch_size < 2:
        raise InputError(f"training needs at least 2 pairs, and 2 in a batch, not {len(pairs)} and {batch_size}")
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(f"pair {number} is {pair!r:.60}: expected two texts, as list(zip(anchors, positives)) has")
    optimizer.check(encoder)
    if not encoder.num_parameters(trainable=True):
        raise ValueError("all weights of this encoder are frozen: call encoder.unfreeze() to train it")
    ids = dict(zip(texts := list({text for pair in pairs for text in pair}), encoder.tokenize(texts), strict=True))
    losses = []
    for number in range(1, epochs + 1):
        encoder.train()
        total = 0.0
        with Bar(total=len(pairs), unit=" pairs", disable=not progress, leave=False) as bar:
            bar.set_description(f"epoch {number}/{epochs}")
            for batch in pair_batches(pairs, batch_size, rng):
                optimizer.zero_grad()
                sides = ([ids[text] for text in side] for side in zip(*batch, strict=True))
                anchors, positives = (encoder(*pad(side, encoder.config.pad_id)) for side in sides)
                loss = multiple_negatives_ranking_loss(anchors, positives, scale)
                if not math.isfinite(loss.item()):
                    raise FloatingPointError(f"the loss is {loss.item()} in epoch {number}: lower the learning rate")
                loss.backward()
                clip_grad_norm_(encoder.parameters(), max_grad_norm)
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                total += loss.item() * len(batch)
                bar.update(len(batch))
                bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
        losses.append(total / len(pairs))
        on_epoch(number, losses[-1])
    encoder.eval()
    return losses
