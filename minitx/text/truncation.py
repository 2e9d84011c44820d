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


def warn_of_cut(count: int, of: int, max_length: int, truncation: str = "head") -> None:
    """One TruncationWarning, to the caller's caller, if `count` of so many texts were cut."""
    if count:
        kept = truncation.replace("_", " and ")
        message = f"{count} of {of} texts longer than {max_length} tokens were cut, keeping the {kept}"
        warnings.warn(TruncationWarning(message, count), stacklevel=3)
