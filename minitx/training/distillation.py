"""Distillation: a small encoder learns to give the vectors of a large one, from any texts, without labels."""

import re
from dataclasses import replace

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor, cat
from minitx.data.batches import Batch, pad
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.search import cos_sim
from minitx.training.pretraining import Objective

PIECE, ALL = 32, 6  # most tokens of a piece; texts of fewer tokens are not cut up


class Distillation(Objective):
    """The student's vectors shall be the teacher's: of tokens, of texts, and as they stand to each other.

        loss = mean_i( |s_i - t_i|² + mean_u |x_iu - y_iu|² + sum_j (cos(s_i, s_j) - cos(t_i, t_j))² )

    s and t (B, D) are the vectors of texts, student's and teacher's, x and y (B, T, D) those of their tokens u. Tokens
    say most: some twenty targets for each text. The last term asks who is near whom, which is what vectors are for.

    Half of the texts are asked as a whole, half as a random run of their tokens, drawn anew each time: the teacher
    answers while the student learns, so a few thousand texts hold more questions than are ever asked.

    First term: Reimers & Gurevych 2020, "Making Monolingual Sentence Embeddings Multilingual using Knowledge
    Distillation", section 2; sentence-transformers: `losses.MSELoss`, which takes the mean over D as well. Second: Jiao
    et al. 2020, "TinyBERT", equation 8, of the last layer. Third: Tung & Mori 2019, "Similarity-Preserving Knowledge
    Distillation", equation 2, there of other layers.
    """

    def __init__(self, student: SentenceEncoder, teacher: SentenceEncoder) -> None:
        super().__init__(student)
        self.answer = teacher.token_embeddings, teacher.pool  # methods, so that the teacher is no part that learns

    def ask(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The texts, half of them cut to 3 to 32 tokens between their first and last one, [CLS] and [SEP]."""
        asked = []
        for ids, real in zip(batch.ids, batch.attention_mask, strict=True):
            kept = ids[real].tolist()
            inner = len(kept) - 2
            if inner >= ALL and rng.random() < 0.5:
                length = int(rng.integers(3, min(inner, PIECE) + 1))
                start = int(rng.integers(1, inner - length + 2))
                kept = [kept[0], *kept[start : start + length], kept[-1]]
            asked.append(kept)
        ids, attention_mask = pad(asked, self.encoder.config.pad_id)
        return replace(batch, ids=ids, attention_mask=attention_mask)

    def outputs(self, share: Batch) -> Tensor:
        """Both vectors of each text, and what its tokens are off by: (n, 2 D + 1)."""
        mask = share.attention_mask
        x = self.encoder.token_embeddings(share.ids, mask)
        with inference():
            embed, pool = self.answer
            y = embed(share.ids, mask)
            t = pool(y, mask)
        gap = (x - y) * Tensor(mask[:, :, None].astype(x.dtype))
        off = (gap * gap).sum(dim=(1, 2)) / Tensor(np.maximum(1, mask.sum(axis=1)).astype(x.dtype))
        return cat([self.encoder.pool(x, mask), t, off.unsqueeze(1)], 1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over all texts of the batch."""
        D = outputs.shape[1] // 2
        s, t, off = outputs[:, :D], outputs[:, D : 2 * D].detach(), outputs[:, 2 * D]
        a, b = F.normalize(s), F.normalize(t)
        return off.mean() + sum(((gap * gap).sum(dim=-1).mean() for gap in (s - t, a @ a.T - b @ b.T)), Tensor(0.0))


def student_of(teacher: SentenceEncoder, layers: int, *, rng: np.random.Generator) -> SentenceEncoder:
    """An encoder that begins with the teacher's embeddings and some of its blocks, evenly spaced from first to last.

    Of 6 blocks, 2 layers take the first and the last. sentence-transformers: the example `model_distillation.py`,
    "layer reduction". `InputError` unless there are from 1 to one less than the teacher's layers.
    """
    total = teacher.config.num_layers
    if not 1 <= layers < total:
        few = "a single one has no smaller student" if total == 1 else f"a student has from 1 to {total - 1}"
        raise InputError(f"{layers} layers: the encoder has {total}, and {few}")
    student = SentenceEncoder(replace(teacher.config, num_layers=layers), teacher.tokenizer, rng=rng)
    kept, weights = [round(block) for block in np.linspace(0, total - 1, layers)], teacher.state_dict()

    def theirs(name: str) -> str:
        return re.sub(r"(?<=^transformer\.blocks\.)\d+", lambda number: str(kept[int(number[0])]), name)

    student.load_state_dict({name: weights[theirs(name)] for name in student.state_dict()})
    student.max_seq_length, student.similarity_fn_name = teacher.max_seq_length, teacher.similarity_fn_name
    student.eval()
    return student


def neighbour_overlap(a: np.ndarray, b: np.ndarray, k: int = 10) -> float:
    """The share of each text's `k` nearest others by a (N, D) that are also among its nearest by b (N, E); the mean.

    By cosine. By chance it is k / (N - 1), so `k` is at most half of that; NaN for fewer than three texts.
    """
    k, near = min(k, (len(a) - 1) // 2), []
    if k < 1:
        return np.nan
    for vectors in (a, b):
        scores = cos_sim(vectors, vectors)
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)]))
