"""Many sequences through a model that only looks: every core at work, and hardly any padding.

Sequences of similar length need little padding. A batch is as many of them as keep a core's cache warm.
Each thread takes whole batches and has one BLAS thread, as in `training.parallel`: what is not a matrix product is then
spread over the cores too. The longest sequences go first, so that all threads end at about the same time.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minitx.autograd.context import inference, inherit
from minitx.data.batches import pad
from minitx.system import Bar, usable_cores, workers

TOKENS_IN_CACHE = 1024  # of one batch: more is no faster, and would leave the cores unevenly loaded


def batches_by_length(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Row numbers (B,) of each batch, longest sequences first; sequences without a token are in none.

    At most `batch_size` rows to a batch, and about 1,024 tokens; none shorter than nine tenths of the longest, so that
    some 4 % of the tokens are padding.
    """
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    batches, start, ascending = [], 0, -lengths[order]
    while start < len(order):
        longest = -int(ascending[start])
        alike = int(np.searchsorted(ascending, -0.9 * longest, side="right")) - start
        size = min(batch_size, alike, max(1, TOKENS_IN_CACHE // longest))
        batches.append(order[start : start + size])
        start += size
    return batches


def run_batches(
    sequences: Sequence[Sequence[int]],
    batch_size: int,
    pad_id: int,
    work: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    show_progress_bar: bool | None = None,
) -> None:
    """Call `work(rows, ids, attention_mask)` for every batch, in several threads, for inference.

    `rows` (B,) says which sequences they are; ids and attention_mask are (B, T). With `show_progress_bar` None, a bar
    appears on a terminal, and only for what takes longer than a second.
    """

    def run(rows: np.ndarray) -> int:
        with inference():
            work(rows, *pad([sequences[row] for row in rows], pad_id))
        return len(rows)

    batches = batches_by_length(np.array([len(sequence) for sequence in sequences], np.int64), batch_size)
    delay = 1.0 if show_progress_bar is None else 0.0
    disable = None if show_progress_bar is None else not show_progress_bar
    with (
        Bar(total=len(sequences), unit=" texts", disable=disable, delay=delay, leave=bool(show_progress_bar)) as bar,
        workers(usable_cores()) as pool,  # for a single batch too: bits must not depend on what other threads do
    ):
        # A pool starts no thread before it is asked to, and a single batch is not worth one.
        for done in pool.map(inherit(run), batches) if len(batches) > 1 else map(run, batches):
            bar.update(done)
