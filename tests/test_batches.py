"""Batches: every row exactly once, the mask equals the lengths, the order is set by the generator."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minitx.app.prepare import padding_waste
from minitx.data.batches import Batch, length_batches, pad
from minitx.errors import InputError

PAD = 7  # also an ordinary id below: a mask made from the ids would be wrong

ragged = st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=60)


def batches_of(sequences: list[list[int]], batch_size: int, seed: int | None = None) -> list[Batch]:
    rng = None if seed is None else np.random.default_rng(seed)
    labels = {"row": np.arange(len(sequences)), "double": 2 * np.arange(len(sequences))}
    return list(length_batches(sequences, labels, batch_size=batch_size, pad_id=PAD, rng=rng))


def test_pad_by_hand() -> None:
    ids, mask = pad([[1, 2, PAD], [], np.array([5])], PAD)
    assert ids.tolist() == [[1, 2, PAD], [PAD, PAD, PAD], [5, PAD, PAD]]
    assert mask.tolist() == [[True, True, True], [False, False, False], [True, False, False]]
    assert (ids.dtype, mask.dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize("empty", [[[]], [[], []], [np.array([], dtype=np.int64)]])
def test_only_empty_sequences_give_one_masked_column(empty: list) -> None:
    ids, mask = pad(empty, PAD)
    assert ids.tolist() == [[PAD]] * len(empty)
    assert not mask.any()
    assert mask.shape == ids.shape


@given(ragged, st.integers(1, 9), st.none() | st.integers(0, 3))
def test_every_row_once_with_its_own_ids_mask_and_labels(sequences: list, batch_size: int, seed: int | None) -> None:
    batches = batches_of(sequences, batch_size, seed)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(sequences)))
    assert len(batches) == -(-len(sequences) // batch_size)
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert batch.ids.shape == batch.attention_mask.shape == (len(batch), max(1, batch.attention_mask.sum(1).max()))
        for row, ids, mask in zip(batch.rows, batch.ids, batch.attention_mask, strict=True):
            length = len(sequences[row])
            assert mask.tolist() == [True] * length + [False] * (len(mask) - length)
            assert ids.tolist() == sequences[row] + [PAD] * (len(mask) - length)
        np.testing.assert_array_equal(batch.labels["row"], batch.rows)
        np.testing.assert_array_equal(batch.labels["double"], 2 * batch.rows)


def test_without_rng_sorted_by_length_and_rows_restore_the_order() -> None:
    sequences = [[1] * length for length in (5, 0, 3, 3, 9, 1)]
    batches = batches_of(sequences, 4)
    assert [row for batch in batches for row in batch.rows] == [1, 5, 2, 3, 0, 4]
    result = np.empty(6, dtype=np.int64)
    for batch in batches:
        result[batch.rows] = batch.attention_mask.sum(axis=1)
    assert result.tolist() == [5, 0, 3, 3, 9, 1]


def many(n: int = 3000) -> list[list[int]]:
    return [[1] * int(length) for length in np.random.default_rng(0).geometric(0.05, n)]


def test_order_is_set_by_the_generator_and_differs_between_epochs() -> None:
    sequences, rng = many(), np.random.default_rng(1)
    epochs = [
        np.concatenate([b.rows for b in length_batches(sequences, {}, batch_size=8, pad_id=0, rng=rng)])
        for _ in range(2)
    ]
    again = np.concatenate([batch.rows for batch in batches_of(sequences, 8, seed=1)])
    np.testing.assert_array_equal(epochs[0], again)
    assert (epochs[0] != epochs[1]).mean() > 0.9


def test_batches_do_not_come_in_order_of_length() -> None:
    widths = np.array([batch.ids.shape[1] for batch in batches_of(many(320), 8, seed=0)])  # within one window
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.3


def test_rows_of_equal_length_meet_others_each_epoch() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        {frozenset(batch.rows.tolist()) for batch in length_batches([[1]] * 100, {}, batch_size=4, pad_id=0, rng=rng)}
        for _ in range(2)
    )
    assert len(first & second) < 3


def test_waste_is_small_and_counted_right() -> None:
    sequences = many()
    lengths = np.array([len(sequence) for sequence in sequences])
    all_in_one = batches_of(sequences, len(sequences))
    assert padding_waste(all_in_one) == pytest.approx(1 - lengths.mean() / lengths.max())
    assert padding_waste(all_in_one) > 0.7
    assert padding_waste(batches_of(sequences, 32, seed=0)) < 0.1
    assert padding_waste(batches_of([[1], [1, 2, 3, 4]], 2)) == 3 / 8
    assert padding_waste([]) == 0.0


def test_bad_arguments_raise_at_the_call() -> None:
    with pytest.raises(InputError, match="batch size 0: expected at least 1"):
        length_batches([[1]], {}, batch_size=0, pad_id=0)
    with pytest.raises(ValueError, match="2 labels of head for 1 sequences"):
        length_batches([[1]], {"head": np.zeros(2, dtype=np.int64)}, batch_size=1, pad_id=0)
