"""Two texts as one input: a question and a passage, or two sentences that are compared."""

from typing import Any, NamedTuple

from minitx.errors import InputError


class Pair(NamedTuple):
    """Ids of two texts with their special tokens, and for each which of the two token types it has."""

    ids: list[int]
    type_ids: list[int]


def encode_pair(
    tokenizer: Any, text: str, pair: str, *, max_length: int | None = None, allow_special: bool | None = None
) -> Pair:
    """Two texts as one input, framed as the file of the tokenizer, a `Tokenizer`, says.

    Of what is longer than `max_length`, special tokens included, the longer text loses its tail first, and when both
    are of one length both do.

    Raises:
        InputError: one of them is no text, or `max_length` leaves no room for text.

    Equivalent: `transformers.AutoTokenizer(...)(text, pair, truncation="longest_first", max_length=max_length)`.
    """
    spec = tokenizer.spec
    texts = [tokenizer.encode(part, add_special_tokens=False, allow_special=allow_special) for part in (text, pair)]
    template = spec.pair_template()
    if max_length is not None:
        room = max_length - len(template) + 2
        if room < 1:
            raise InputError(f"max_length {max_length} leaves no room for text beside the special tokens")
        shorter, longer = sorted(texts, key=len)
        if len(shorter) + len(longer) > room:
            half = room // 2 if 2 * len(shorter) > room else len(shorter)
            del longer[room - half :], shorter[half:]
    parts = iter(texts)
    rows = [(next(parts) if token is None else [spec.vocab[token]], type_id) for token, type_id in template]
    return Pair([id for ids, _ in rows for id in ids], [type_id for ids, type_id in rows for _ in ids])
