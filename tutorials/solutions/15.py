"""15. Solutions: who reads what, the two rounds of a ring, the mean of means mended."""

import numpy as np

from minitx.learn.piece import Mistake, Piece, slips

# -- who reads what -------------------------------------------------------------------------------------------------


def rows_of(rank, size, n, batch_size, seed):
    """The rows that process `rank` of `size` reads in an epoch: a list of lists of row numbers, one for each batch.

    All processes shuffle the rows 0 .. n-1 alike, with np.random.default_rng(seed).permutation(n), and cut them into
    batches of batch_size, of which the last may be smaller. Of each batch, process r reads the rows at r, r + size,
    r + 2 size, ...; that may be none.
    """
    # Idea: the batches are those of one process alone; only then are the rows of each dealt out.
    # Line: [order[start : start + batch_size][rank::size].tolist() for start in range(0, n, batch_size)]
    order = np.random.default_rng(seed).permutation(n)
    return [order[start : start + batch_size][rank::size].tolist() for start in range(0, n, batch_size)]


def _own_seed(rank, size, n, batch_size, seed):
    return rows_of(rank, size, n, batch_size, seed + rank)


def _dealt_before_cut(rank, size, n, batch_size, seed):
    order = np.random.default_rng(seed).permutation(n)[rank::size]
    return [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]


def _rank_rows_of_each(rank, size, n, batch_size, seed):
    order, own = np.random.default_rng(seed).permutation(n)[rank::size], max(1, batch_size // size)
    return [order[start : start + own].tolist() for start in range(0, len(order), own)]


def _empty_ones_left_out(rank, size, n, batch_size, seed):
    return [rows for rows in rows_of(rank, size, n, batch_size, seed) if rows]


def _last_batch_dropped(rank, size, n, batch_size, seed):
    return rows_of(rank, size, n, batch_size, seed)[: n // batch_size]


def _in_halves(rank, size, n, batch_size, seed):
    return [np.array_split(batch, size)[rank].tolist() for batch in rows_of(0, 1, n, batch_size, seed)]


def _all_of_it(rank, size, n, batch_size, seed):
    return rows_of(0, 1, n, batch_size, seed)


def _epochs():
    return {
        "10 rows for 2 processes": (1, 2, 10, 4, 7),
        "9 rows for 2, the last batch has one": (0, 2, 9, 4, 3),
        "nothing left of the last batch": (1, 2, 9, 4, 3),
        "batches of 5 for 2": (0, 2, 10, 5, 7),
        "more processes than rows": (3, 4, 5, 8, 0),
        "one process": (0, 1, 6, 3, 1),
    }


# -- a ring ---------------------------------------------------------------------------------------------------------


def ring_sum(arrays):
    """Arrays (n,), one of each of p processes -> (the list of what each has at the end, how many numbers each sent).

    At the end all have the sum of all arrays. Each cuts a copy of its own into p pieces, np.array_split(copy, p). There
    are p - 1 steps in which process r sends piece (r - step) % p to process (r + 1) % p, which adds it to its own; then
    p - 1 in which process r sends piece (r + 1 - step) % p to the same one, which puts it in the place of its own. step
    counts from 0 in both rounds. The second list has a whole number for each process.
    """
    # Idea: after the first round, process r has the whole sum of piece r + 1; the second round hands these out.
    # Line: pieces[(r + 1) % p][(r - step) % p] += pieces[r][(r - step) % p]; what r + 1 sends then is another piece
    p = len(arrays)
    pieces, sent = [np.array_split(array.copy(), p) for array in arrays], [0] * p
    for step in range(p - 1):
        for r in range(p):
            place = (r - step) % p
            pieces[(r + 1) % p][place] += pieces[r][place]
            sent[r] += pieces[r][place].size
    for step in range(p - 1):
        for r in range(p):
            place = (r + 1 - step) % p
            pieces[(r + 1) % p][place] = pieces[r][place]
            sent[r] += pieces[r][place].size
    return [np.concatenate(own) for own in pieces], sent


def _ring(arrays, rounds=2, adds=(True, False), ahead=0):
    p = len(arrays)
    pieces, counts = [[piece.copy() for piece in np.array_split(array, p)] for array in arrays], [0] * p
    for number in range(rounds):
        for step in range(p - 1):
            places = [(r + number * (1 + ahead) - step) % p for r in range(p)]
            sent = [pieces[r][place].copy() for r, place in enumerate(places)]
            for r, (place, message) in enumerate(zip(places, sent, strict=True)):
                there = pieces[(r + 1) % p]
                there[place] = there[place] + message if adds[number] else message
                counts[r] += message.size
    return [np.concatenate(own) for own in pieces], counts


def _one_round(arrays):
    return _ring(arrays, rounds=1)


def _rest_left_out(arrays):
    even = len(arrays[0]) // len(arrays) * len(arrays)
    sums, counts = ring_sum([array[:even] for array in arrays])
    return [np.concatenate([own, array[even:]]) for own, array in zip(sums, arrays, strict=True)], counts


def _added_twice(arrays):
    return _ring(arrays, adds=(True, True))


def _same_pieces_again(arrays):
    return _ring(arrays, ahead=-1)


def _pieces_of_equal_size(arrays):
    p, n = len(arrays), len(arrays[0])
    return ring_sum(arrays)[0], [2 * (p - 1) * n // p] * p


def _everything_to_everybody(arrays):
    total = np.sum(arrays, axis=0)
    return [total.copy() for _ in arrays], [(len(arrays) - 1) * len(array) for array in arrays]


def _gradients():
    rng = np.random.default_rng(0)

    def of(p, n):
        return ([rng.normal(size=n) for _ in range(p)],)

    return {
        "3 processes, 6 numbers": of(3, 6),
        "4 processes, pieces of unequal size": of(4, 7),
        "2 processes": of(2, 4),
        "one process, which sends nothing": of(1, 3),
    }


# -- the mean of means, mended --------------------------------------------------------------------------------------


def joint_loss(sums, counts):
    """The mean loss of a batch, from each process's sum of losses and its count of labels: two lists -> a float.

    Some processes may have no label at all (their sum is 0.0); if nobody has, the loss is 0.0.
    """
    # Idea: a label counts the same, whoever has it.
    # Line: sum(sums) / max(sum(counts), 1)
    return sum(sums) / max(sum(counts), 1)


def _mean_of_means(sums, counts):
    return sum(total / max(count, 1) for total, count in zip(sums, counts, strict=True)) / len(sums)


def _mean_of_means_of_all(sums, counts):
    return float(np.mean([total / count for total, count in zip(sums, counts, strict=True)]))


def _mean_of_means_in_numpy(sums, counts):
    return float(np.mean(np.array(sums) / np.array(counts)))


def _mean_of_means_of_those_with_labels(sums, counts):
    means = [total / count for total, count in zip(sums, counts, strict=True) if count]
    return sum(means) / max(len(means), 1)


def _losses_of_0_left_out(sums, counts):
    pairs = [(total, count) for total, count in zip(sums, counts, strict=True) if total]
    return sum(total for total, _ in pairs) / max(sum(count for _, count in pairs), 1)


def _by_processes(sums, counts):
    return sum(sums) / len(sums)


def _divided_by_nothing(sums, counts):
    return sum(sums) / sum(counts)


def _shares():
    return {
        "4 labels and 1": ([2.0, 3.0], [4, 1]),
        "a process without labels": ([2.0, 0.0, 1.0], [3, 0, 1]),
        "nobody has a label": ([0.0, 0.0], [0, 0]),
        "a process whose losses are 0": ([2.0, 0.0], [1, 3]),
    }


EXERCISES = [
    Piece(
        right=rows_of,
        examples=_epochs,
        mistakes=(
            Mistake("each process shuffles with a seed of its own", _own_seed, "some rows are read twice, some never"),
            Mistake(
                "dealt first, cut into batches afterwards",
                _dealt_before_cut,
                "each process has whole batches of its own: the sum over all is no batch of one process alone",
            ),
            Mistake(
                "dealt first, and own batches cut afterwards",
                _rank_rows_of_each,
                "a batch that cannot be dealt evenly ends elsewhere: cut first",
            ),
            Mistake(
                "a batch of which nothing is left for this process is left out",
                _empty_ones_left_out,
                "the others wait for its gradients in that step, for ever: let it have an empty list",
            ),
            Mistake(
                "the last, smaller batch is left out",
                _last_batch_dropped,
                lambda yours, right, *_: f"{len(yours)} batches, not {len(right)}",
            ),
            Mistake("blocks of a batch, not every size-th row", _in_halves, "right also, but not what was asked"),
            Mistake("every process reads every row", _all_of_it, "[rank::size] of each batch is its share"),
        ),
    ),
    Piece(
        right=ring_sum,
        examples=_gradients,
        mistakes=(
            Mistake("only the first round", _one_round, "each has one piece of the sum; now it goes round once more"),
            Mistake("what n // p leaves over is not sent", _rest_left_out, "np.array_split makes unequal pieces"),
            Mistake("the second round adds, too", _added_twice, "a whole sum takes the place of what was there"),
            Mistake(
                "the second round begins with the piece of the first",
                _same_pieces_again,
                "process r has the whole sum of piece r + 1, not of piece r",
            ),
            Mistake(
                "everything is sent to everybody",
                _everything_to_everybody,
                lambda yours, right, arrays: f"{yours[1][0]} numbers each; in a ring it is {right[1][0]}",
            ),
            Mistake(
                "counted as if all pieces had the same size",
                _pieces_of_equal_size,
                lambda yours, right, arrays: f"the sums are right; sent were {right[1]} numbers, not {yours[1]}",
            ),
        ),
    ),
    Piece(
        right=joint_loss,
        examples=_shares,
        mistakes=(
            *slips(
                {
                    "a mean of means | one label counts as much as many": (
                        _mean_of_means,
                        _mean_of_means_of_all,
                        _mean_of_means_in_numpy,
                    )
                }
            ),
            Mistake(
                "a mean of the means of those that have labels",
                _mean_of_means_of_those_with_labels,
                "one label still counts as much as many",
            ),
            Mistake(
                "a process whose losses are 0 is left out, with its labels",
                _losses_of_0_left_out,
                "what is answered perfectly counts too",
            ),
            Mistake("divided by the number of processes", _by_processes, "the loss grows with the batch"),
            Mistake("0 / 0 where nobody has a label", _divided_by_nothing, "nothing to learn is a loss of 0.0"),
        ),
    ),
]
