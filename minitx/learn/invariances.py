"""What must not change a model's answer, and does not: checked on the model itself, whatever it is made of."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import no_grad
from minitx.autograd.tensor import Tensor
from minitx.data.batches import pad
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.tokenizer import Tokenizer
from minitx.training.groups import Optimizer
from minitx.training.optim import SGD, Adam, AdamW, clip_grad_norm_

Model = SentenceEncoder | MultiTaskModel

TEXTS = (
    "Great app, works every time and the new search finally does what it should.",
    "no",
    "It crashes whenever I open my list. Please fix it!",
    "Too expensive for what you get, and the adverts are back again after every single update; I have cancelled.",
    "ok I guess",
)
LOSS_TOLERANCE = 0.01  # nats from ln(C): fresh heads are 0.001 away at most, heads of torch's default size often 0.05
OPTIMIZERS: tuple[Callable[[list[Tensor]], Optimizer], ...] = (
    lambda parameters: SGD(parameters, lr=0.01, momentum=0.9, weight_decay=0.1),
    lambda parameters: Adam(parameters, lr=0.01, weight_decay=0.1),
    lambda parameters: AdamW(parameters, lr=0.01, weight_decay=0.1),
)


class InvarianceError(RuntimeError):
    """An invariance does not hold; the message lists each one with what was found."""


class Invariance(NamedTuple):
    """One property, how far it is from holding, and how far is allowed."""

    name: str
    worst: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Within the tolerance; NaN is not."""
        return self.worst <= self.tolerance


def check_invariances(
    model: Model,
    tokenizer: Tokenizer,
    *,
    texts: Sequence[str] = TEXTS,
    untrained: bool = True,
    steps: int = 3,
    raise_exception: bool = True,
    seed: int = 0,
) -> list[Invariance]:
    """Check what must not matter; the model is left as it was.

    * A sentence's vector is the same alone, beside others, in batches of another size or order, and behind any length
      and content of padding: to 100 times the rounding error of the model's dtype, relative to the largest entry.
    * Frozen parameters keep their bits through `steps` steps of SGD with momentum, Adam and AdamW, all with weight
      decay and clipping, begun before they were frozen; all other parameters move.
    * A head that has learned nothing is undecided: averaged over all labels, its loss is ln(C) within `LOSS_TOLERANCE`.

    Args:
        model: a SentenceEncoder, or a MultiTaskModel, whose heads are then checked as well.
        tokenizer: turns `texts`, of different lengths, into ids.
        untrained: whether the heads are fresh; False leaves out the last point.
        steps: of each optimizer. seed: of the padding, the labels and the loss.
        raise_exception: False to return the list even if something fails.

    Raises:
        InvarianceError: something fails.
        ValueError: fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"a batch needs at least two texts, not {len(texts)}")
    rng = np.random.default_rng(seed)
    encoder = model.encoder if isinstance(model, MultiTaskModel) else model
    sequences, _ = tokenizer.encode_and_cut(texts, encoder.config.max_length)
    ids, mask = pad(sequences, encoder.config.pad_id)
    trial = copy.deepcopy(model)  # before eval(): training modes differ between parts, and dropout has its own state
    with no_grad():
        found = _vectors(copy.deepcopy(encoder), sequences, ids, mask, rng)
    found += [result for make in OPTIMIZERS for result in _frozen(copy.deepcopy(trial), make, ids, mask, steps, rng)]
    if isinstance(trial, MultiTaskModel) and untrained:
        trial.eval()
        with no_grad():
            logits = trial(ids, mask)
        for name, x in logits.items():
            N, C = x.shape
            losses = [F.cross_entropy(x, np.full(N, label)).item() for label in range(C)]
            found.append(
                Invariance(
                    f"first loss of {name} is ln({C})", float(abs(np.mean(losses) - math.log(C))), LOSS_TOLERANCE
                )
            )
    broken = [f"{i.name}: {i.worst:.3g}, allowed {i.tolerance:.3g}" for i in found if not i.holds]
    if broken and raise_exception:
        raise InvarianceError("; ".join(broken))
    return found


def _vectors(
    encoder: SentenceEncoder,
    sequences: Sequence[Sequence[int]],
    ids: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
) -> list[Invariance]:
    """Every way of batching against each sentence alone."""
    config, B = encoder.config, len(sequences)
    encoder.eval()

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return encoder(ids, mask).data

    def batched(order: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Vectors of all sentences, taken `size` at a time in this order; in their own order again."""
        vectors = np.empty_like(alone)
        for start in range(0, B, size):
            rows = list(order[start : start + size])
            vectors[rows] = run(*pad([sequences[row] for row in rows], config.pad_id))
        return vectors

    alone = np.concatenate([run(*pad([sequence], config.pad_id)) for sequence in sequences])
    T = min(config.max_length, ids.shape[1] + 7)
    longer = np.zeros((B, T), bool)
    longer[:, : mask.shape[1]] = mask
    noise = rng.integers(config.vocab_size, size=(B, T))
    noise[longer] = ids[mask]
    ways = {
        "one batch of all": run(ids, mask),
        "batch size": np.stack([batched(range(B), size) for size in range(2, B)] or [alone]),
        "batch order": np.stack([batched(rng.permutation(B), B), batched(range(B)[::-1], 2)]),
        "length of padding": run(np.where(longer, noise, config.pad_id), longer),
        "content of padding": run(noise, longer),
    }
    tolerance = 100 * float(np.finfo(alone.dtype).eps)
    largest = float(np.abs(alone).max()) or 1.0
    return [
        Invariance(f"a vector does not depend on: {way}", float(np.abs(vectors - alone).max()) / largest, tolerance)
        for way, vectors in ways.items()
    ]


def _frozen(
    model: Model,
    make: Callable[[list[Tensor]], Optimizer],
    ids: np.ndarray,
    mask: np.ndarray,
    steps: int,
    rng: np.random.Generator,
) -> list[Invariance]:
    """Train with every second parameter frozen after one step, so that momentum is there to be ignored."""
    model.train().unfreeze()
    parameters = list(model.parameters())
    optimizer = make([*parameters])
    frozen = parameters[::2]
    for step in range(steps + 1):
        outputs = model(ids, mask)
        terms = outputs.values() if isinstance(outputs, dict) else [outputs]
        # A random linear function of the vectors or logits: every parameter has a part in it.
        losses = [(y * Tensor(rng.normal(size=y.shape).astype(y.dtype))).sum() for y in terms]
        optimizer.zero_grad()
        sum(losses[1:], losses[0]).backward()
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if not step:
            for parameter in frozen:  # its gradient of this step stays, and must not matter any more
                parameter.requires_grad = False
            before = [parameter.data.copy() for parameter in parameters]
    same = [a.tobytes() == p.data.tobytes() for a, p in zip(before, parameters, strict=True)]
    name = type(optimizer).__name__
    return [
        Invariance(f"frozen parameters that {name} moved", float(len(frozen) - sum(same[::2])), 0),
        Invariance(f"trainable parameters that {name} did not move", float(sum(same[1::2])), 0),
    ]
