"""Distillation: a small encoder learns to give the vectors of a large one, from any texts, without labels."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.search import cos_sim
from minitx.training.pretraining import Objective

PIECE, ALL = 32, 6  # most tokens of a piece; texts of fewer tokens are not cut up


class Distillation(Objective):
    """The student's vectors s (B, D) shall be the teacher's t (B, D), and stand to each other as those do:

        loss = mean_i( |s_i - t_i|² + sum_j (cos(s_i, s_j) - cos(t_i, t_j))² )

    Who is near whom is what vectors are used for. The second term asks for it: to be off in a direction that all
    vectors share costs little there, and to swap two neighbours much.

    First term: Reimers & Gurevych 2020, "Making Monolingual Sentence Embeddings Multilingual using Knowledge
    Distillation", section 2; sentence-transformers: `losses.MSELoss`, which takes the mean over D as well. Second term:
    Tung & Mori 2019, "Similarity-Preserving Knowledge Distillation", equation 2, there of other layers.

    The teacher's vectors are computed once, and come as `labels["vector"]`.
    """

    def outputs(self, share: Batch) -> Tensor:
        """The student's vectors, (n, D)."""
        return self.encoder(share.ids, share.attention_mask)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """`labels["vector"]` (B, D) are the teacher's."""
        teacher = Tensor(batch.labels["vector"])
        s, t = F.normalize(outputs), F.normalize(teacher)
        return sum(((gap * gap).sum(dim=-1).mean() for gap in (outputs - teacher, s @ s.T - t @ t.T)), Tensor(0.0))


def student_of(teacher: SentenceEncoder, layers: int, *, rng: np.random.Generator) -> SentenceEncoder:
    """An encoder that begins with the teacher's embeddings and some of its blocks, evenly spaced from first to last.

    Of 6 blocks, 2 layers take the first and the last. sentence-transformers: the example `model_distillation.py`,
    "layer reduction". `InputError` unless there are from 1 to one less than the teacher's layers.
    """
    total = teacher.config.num_layers
    if not 1 <= layers < total:
        raise InputError(f"{layers} layers: the student of an encoder with {total} has from 1 to {total - 1}")
    student = SentenceEncoder(replace(teacher.config, num_layers=layers), teacher.tokenizer, rng=rng)
    kept, weights = [round(block) for block in np.linspace(0, total - 1, layers)], teacher.state_dict()

    def theirs(name: str) -> str:
        return re.sub(r"(?<=^transformer\.blocks\.)\d+", lambda number: str(kept[int(number[0])]), name)

    student.load_state_dict({name: weights[theirs(name)] for name in student.state_dict()})
    student.max_seq_length, student.similarity_fn_name = teacher.max_seq_length, teacher.similarity_fn_name
    student.eval()
    return student


def pieces(sequences: Sequence[Sequence[int]], each: int, rng: np.random.Generator) -> list[list[int]]:
    """`each` random runs of 3 to 32 tokens out of every text, between its first and last token, [CLS] and [SEP].

    The teacher has a vector for anything, so that a few thousand texts can ask some ten thousand questions.
    """
    found = []
    for first, *inner, last in sequences:
        for _ in range(each if len(inner) >= ALL else 0):
            length = int(rng.integers(3, min(len(inner), PIECE) + 1))
            start = int(rng.integers(0, len(inner) - length + 1))
            found.append([first, *inner[start : start + length], last])
    return found


def neighbour_overlap(a: np.ndarray, b: np.ndarray, k: int = 10) -> float:
    """The share of each text's `k` nearest others by a (N, D) that are also among its nearest by b (N, E); the mean.

    By cosine; `k` is N - 1 if there are no more. By chance it is k / (N - 1).
    """
    k, near = min(k, len(a) - 1), []
    for vectors in (a, b):
        scores = cos_sim(vectors, vectors)
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)]))
