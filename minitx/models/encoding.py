"""Many sequences through a model in eval mode: every core at work, and nothing padded.

Sequences of one length need no padding, no mask and no care, and are one batch. A piece of work is several batches of
different lengths, as many as keep a core's cache warm: only attention looks at them one by one, everything else takes
all their tokens at once. Each thread takes whole pieces and has one BLAS thread, as in `training.parallel`: what is not
a matrix product is then spread over the cores too. The longest sequences go first, so that all threads end at about the
same time.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minitx.autograd.engine import no_grad
from minitx.system import usable_cores

TOKENS_IN_CACHE = 768  # of one piece of work: more is no faster, and would leave the cores unevenly loaded


def equal_length_batches(lengths: np.ndarray, batch_size: int) -> list[list[np.ndarray]]:
    """Pieces of work, longest sequences first: each a list of batches, which are row numbers (B,) of one length.

    At most `batch_size` rows to a batch, and about 768 tokens to a piece. Sequences without a token are in none.
    """
    order = np.argsort(-lengths, kind="stable")
    pieces: list[list[np.ndarray]] = []
    room = 0
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        while len(group) and (length := int(lengths[group[0]])):
            if room < length:
                pieces.append([])
                room = max(TOKENS_IN_CACHE, length)
            rows, group = np.split(group, [min(batch_size, room // length)])
            pieces[-1].append(rows)
            room -= len(rows) * length
    return pieces


def run_batches(
    sequences: Sequence[Sequence[int]],
    batch_size: int,
    work: Callable[[list[np.ndarray], list[np.ndarray]], None],
    show_progress_bar: bool | None = None,
) -> None:
    """Call `work(rows, ids)` for every piece, in several threads and without a graph.

    `rows` holds an array (B,) for each batch of the piece, which sequences they are, and `ids` their (B, T). With
    `show_progress_bar` None, a bar appears on a terminal, and only for what takes longer than a second.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)

    def run(piece: list[np.ndarray]) -> int:
        with no_grad():
            work(piece, [np.array([sequences[row] for row in rows], np.int64) for rows in piece])
        return sum(map(len, piece))

    pieces = equal_length_batches(lengths, batch_size)
    threads = min(usable_cores(), len(pieces))
    delay = 1.0 if show_progress_bar is None else 0.0
    disable = None if show_progress_bar is None else not show_progress_bar
    with tqdm(total=len(sequences), unit=" texts", disable=disable, delay=delay, leave=bool(show_progress_bar)) as bar:
        if threads <= 1:  # BLAS then has all cores
            for piece in pieces:
                bar.update(run(piece))
            return
        pool = ThreadPoolExecutor(threads)
        try:
            with threadpool_limits(1, user_api="blas"):
                for done in pool.map(run, pieces):
                    bar.update(done)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, only what has begun is finished
