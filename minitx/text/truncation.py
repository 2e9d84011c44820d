"""Texts that are too long for a model: which of their tokens are kept?"""

import warnings

from minitx.errors import InputError


class TruncationWarning(UserWarning):
    """Some texts, `count` of them, were longer than `max_length` and lost a part."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def truncate(ids: list[int], max_length: int, truncation: str = "head") -> list[int]:
    """Keep `max_length` ids: the first ("head"), the last ("tail"), or half from each end ("head_tail").

    >>> truncate([1, 2, 3, 4, 5, 6], 3, "head"), truncate([1, 2, 3, 4, 5, 6], 3, "tail")
    ([1, 2, 3], [4, 5, 6])
    >>> truncate([1, 2, 3, 4, 5, 6], 3, "head_tail")
    [1, 2, 6]
    """
    heads = {"head": max_length, "tail": 0, "head_tail": max_length - max_length // 2}
    if truncation not in heads:
        raise InputError(f"truncation is {truncation!r}; accepted are {', '.join(heads)}")
    if len(ids) <= max_length:
        return ids
    head = heads[truncation]
    return ids[:head] + ids[len(ids) - (max_length - head) :]


def truncate_batch(rows: list[list[int]], max_length: int, reserved: int, truncation: str) -> list[list[int]]:
    """Cut each row to `max_length - reserved` ids; one TruncationWarning, to the caller's caller, counts the cut rows.

    `InputError` if nothing would be left.
    """
    room = max_length - reserved
    if room < 1:
        raise InputError(f"max_length {max_length} leaves no room for text beside the special tokens")
    too_long = sum(len(ids) > room for ids in rows)
    if too_long:
        kept = truncation.replace("_", " and ")
        message = f"{too_long} of {len(rows)} texts longer than {max_length} tokens were cut, keeping the {kept}"
        warnings.warn(TruncationWarning(message, too_long), stacklevel=3)
    return [truncate(ids, room, truncation) for ids in rows]
