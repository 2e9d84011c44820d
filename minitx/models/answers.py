"""What is between a head's logits and an answer: the bag of words' say, one temperature, noise, and thresholds.

A network is right less often than it says, and on a few thousand texts a bag of words knows what it does not. So, for
each head, with z the head's logits and w the log-probabilities of a bag of words on the same text (0 without one):

    p = (1 - noise) softmax(scale z + words w + biases) + noise / C
    answer = argmax_c (log p_c + offset_c)  or  argmin_k sum_c p_c cost_ck

scale is 1 / temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks", 4.2); with `words` it is a wide &
deep model (Cheng et al. 2016) whose two parts are trained apart and stacked (Wolpert 1992), and biases take back what
class weights did to the classes' shares. noise is the share of labels that no text explains, as if drawn by lot: one
star under "great app". Without it, a few of them pull all probabilities towards the middle (symmetric label noise, as
in Mnih & Hinton 2012, "Learning to Label Aerial Images from Noisy Data"). Offsets are thresholds: they change which
class is said, not how probable it is. `training.stacking` chooses all of them on validation rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError


class Words(Protocol):
    """What gives evidence of its own about a text: `training.baseline.BagOfWords`."""

    def predict_proba(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Head -> (N, C)."""

    def evidence(self, text: str, head: str, c: int) -> dict[str, float]:
        """What each term of a text adds to the logit of class c, above the mean of all classes."""

    def save(self, path: Path) -> None:
        """One file."""


@dataclass(frozen=True)
class Answer:
    """How one head answers; as it stands, with the most probable class of a softmax."""

    alone: float = 1.0  # scale of the head's logits where no words count: 1 / temperature
    alone_noise: float = 0.0  # noise where no words count
    scale: float = 1.0  # of the head's logits
    words: float = 0.0  # of the bag of words' log-probabilities
    noise: float = 0.0  # share of labels that are as if drawn by lot
    biases: tuple[float, ...] = ()  # (C,) of the classes, where words count; () for none
    offsets: tuple[float, ...] = ()  # (C,) added to log-probabilities before the largest is taken; () for none
    costs: tuple[tuple[float, ...], ...] = ()  # (C, C) of saying column where row is true; () if errors cost the same


@dataclass(frozen=True)
class Answers:
    """How all heads answer; those without an `Answer` have a plain one."""

    heads: Mapping[str, Answer] | None = None
    words: Words | None = None

    def of(self, head: str) -> Answer:
        """How a head answers."""
        return (self.heads or {}).get(head, Answer())

    def probabilities(
        self, logits: Mapping[str, np.ndarray], texts: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Logits (N, C) for each head -> probabilities (N, C); `InputError` unless the texts that it needs are N."""
        if self.words and texts is None:
            raise InputError("this model also counts words: the texts are needed as well as their vectors")
        if texts is not None and (isinstance(texts, str) or any(len(z) != len(texts) for z in logits.values())):
            raise InputError("expected a list of as many texts as there are vectors")
        said = self.words.predict_proba(texts) if self.words and texts is not None else {}
        return {head: self.mix(head, z, log(said[head]) if said else z) for head, z in logits.items()}

    def without_words(self) -> "Answers":
        """How the heads answer alone: each with its own temperature and noise, with the most probable class."""
        heads = self.heads or {}
        return Answers({head: Answer(scale=a.alone, noise=a.alone_noise) for head, a in heads.items()})

    def mix(self, head: str, z: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) of a head's logits and of a bag of words' log-probabilities, both (N, C)."""
        answer = self.of(head)
        mixed = z * answer.scale + w * answer.words if answer.words else z * answer.scale
        p = F.softmax(Tensor(mixed + np.array(answer.biases, z.dtype) if answer.biases else mixed)).data
        return p * z.dtype.type(1 - answer.noise) + z.dtype.type(answer.noise / z.shape[1])

    def evidence(self, text: str, head: str, c: int) -> dict[str, float]:
        """What each term of a text contributes to class c by the bag of words; nothing if no words count."""
        weight = self.of(head).words
        found = self.words.evidence(text, head, c) if self.words and weight else {}
        return {term: weight * value for term, value in found.items()}

    def told(self, head: str, classes: Sequence[str]) -> str:
        """In a line: what counts how much, which thresholds are moved, and in which order costs were taken."""
        one = self.of(head)
        moved = ", ".join(f"{name} {offset:+.1f}" for name, offset in zip(classes, one.offsets, strict=False))
        told = f"{head}: logits count {one.scale:.2f}" + f", words {one.words:.2f}" * bool(self.words)
        told += " (the encoder has no say)" * bool(one.words and not one.scale)
        most = 1 - one.noise + one.noise / len(classes)
        told += f"; {one.noise:.1%} of labels taken for noise: no answer is surer than {most:.1%}" * bool(one.noise)
        told += f"; added to log-probabilities to decide: {moved}" * bool(moved)
        return told + f"; costs are of {', '.join(classes)}, in this order" * bool(one.costs)

    def decide(self, head: str, probabilities: np.ndarray) -> np.ndarray:
        """The class (N,) that is said, of probabilities (N, C)."""
        answer = self.of(head)
        if answer.costs:
            return (probabilities @ np.array(answer.costs)).argmin(axis=1)
        return (log(probabilities) + np.array(answer.offsets) if answer.offsets else probabilities).argmax(axis=1)


def log(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, finite even for what underflowed to 0."""
    return np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))
