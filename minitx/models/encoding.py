"""Many sequences through a model in eval mode: every core at work, and nothing padded.

Sequences of one length need no padding, no mask and no care: a batch is as many of them as keep a core's cache warm.
Each thread takes whole batches and has one BLAS thread, as in `training.parallel`: what is not a matrix product is then
spread over the cores too. The longest batches go first, so that all threads end at about the same time.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minitx.autograd.engine import no_grad

TOKENS_IN_CACHE = 768  # of one batch: more is no faster, and would leave the cores unevenly loaded


def usable_cores() -> int:
    """Cores this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def equal_length_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Row numbers (N,) in batches of one length each, at most `batch_size` rows or about 768 tokens, largest first."""
    order = np.argsort(lengths, kind="stable")
    batches = []
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if group.size:
            size = min(batch_size, max(1, TOKENS_IN_CACHE // max(1, int(lengths[group[0]]))))
            batches += [group[start : start + size] for start in range(0, len(group), size)]
    return sorted(batches, key=lambda rows: -len(rows) * int(lengths[rows[0]]))


def run_batches(
    sequences: Sequence[Sequence[int]],
    batch_size: int,
    work: Callable[[np.ndarray, np.ndarray], None],
    show_progress_bar: bool | None = None,
) -> None:
    """Call `work(rows, ids)` for every batch, in several threads and without a graph.

    `rows` (B,) says which sequences they are, `ids` (B, T) holds them. With `show_progress_bar` None, a bar appears on
    a terminal, and only for what takes longer than a second.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)

    def run(rows: np.ndarray) -> int:
        with no_grad():
            work(rows, np.array([sequences[row] for row in rows], np.int64))
        return len(rows)

    batches = equal_length_batches(lengths, batch_size)
    threads = min(usable_cores(), len(batches))
    delay = 1.0 if show_progress_bar is None else 0.0
    disable = None if show_progress_bar is None else not show_progress_bar
    with tqdm(total=len(sequences), unit=" texts", disable=disable, delay=delay, leave=bool(show_progress_bar)) as bar:
        if threads <= 1:  # BLAS then has all cores
            for rows in batches:
                bar.update(run(rows))
            return
        pool = ThreadPoolExecutor(threads)
        try:
            with threadpool_limits(1, user_api="blas"):
                for done in pool.map(run, batches):
                    bar.update(done)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, only what has begun is finished
