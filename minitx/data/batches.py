"""How do sequences of unequal length become one array? The only place that pads and that makes a mask.

Half of all reviews have fewer than ten words and a few have a hundred, so padding everything to the longest wastes four
fifths of the work. Batches of similar lengths waste a few per cent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minitx.errors import InputError

WINDOW = 50  # batches that are sorted by length together: more waste less padding, fewer mix the rows better


@dataclass
class Batch:
    """B sequences padded at the end to the longest of them, T tokens."""

    ids: np.ndarray  # (B, T) int64
    attention_mask: np.ndarray  # (B, T) bool, True = a real token
    labels: dict[str, np.ndarray]  # head -> (B,) int64
    rows: np.ndarray  # (B,) int64, where each sequence stood: `result[batch.rows] = ...` restores the order

    def __len__(self) -> int:
        return len(self.rows)


class TokenisedRows(NamedTuple):
    """Rows ready for batching: tokenised once, batched anew each epoch."""

    sequences: Sequence[Sequence[int]]  # N lists of ids
    labels: Mapping[str, np.ndarray]  # head -> (N,) int64


def pad(sequences: Sequence[Sequence[int] | np.ndarray], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad at the end with `pad_id`: ids (B, T) int64 and attention_mask (B, T) bool, True = a real token.

    T is the longest length, but at least 1, so that a batch of empty sequences is still an array one can compute with:
    its rows are masked throughout. The mask comes from the lengths, never from the ids, since `pad_id` may be a word.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    attention_mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    ids = np.full(attention_mask.shape, pad_id, dtype=np.int64)
    if lengths.any():
        ids[attention_mask] = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
    return ids, attention_mask


def length_batches(
    sequences: Sequence[Sequence[int] | np.ndarray],
    labels: Mapping[str, np.ndarray],
    *,
    batch_size: int,
    pad_id: int,
    rng: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Every sequence once, in ceil(N / batch_size) batches of similar length, each padded when it is asked for.

    With `rng`: shuffled, sorted by length within windows of 50 batches, then the batches shuffled, all anew at each
    call. Without: sorted by length, for evaluation and encoding; equal lengths keep their order.
    `sequences` are N lists of ids, or better arrays, made once and not changed here; `labels` maps a head to (N,)
    int64 and may be empty. Raises InputError for a batch size below 1, ValueError for labels of another length.
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}: expected at least 1")
    for head, values in labels.items():
        if len(values) != len(sequences):
            raise ValueError(f"{len(values)} labels of {head} for {len(sequences)} sequences")
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    order = np.arange(len(sequences)) if rng is None else rng.permutation(len(sequences))
    window = max(1, len(order)) if rng is None else WINDOW * batch_size
    order = order[np.lexsort((lengths[order], np.arange(len(order)) // window))]  # by window, in it by length; stable
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if rng is not None:
        rng.shuffle(batches)

    def batch(rows: np.ndarray) -> Batch:
        ids, attention_mask = pad([sequences[row] for row in rows], pad_id)
        return Batch(ids, attention_mask, {head: values[rows] for head, values in labels.items()}, rows)

    return map(batch, batches)
