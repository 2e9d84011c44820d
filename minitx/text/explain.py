"""Byte-level BPE for the eye: what a token holds, and how merges made it. `minitx tokenize` prints these lines."""

from collections.abc import Callable, Sequence


def readable(token: bytes) -> str:
    """A token for the eye: a space as a middle dot, line ends escaped, bytes short of a character as <E2>.

    >>> readable(b" caf\\xc3\\xa9\\n"), readable(b"\\xc3")
    ('·café\\\\n', '<C3>')
    """
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in token)
    return "".join("·" if char == " " else char if char.isprintable() else repr(char)[1:-1] for char in text)


def explain_merges(
    word: str,
    start: str,
    steps: Sequence[tuple[int, str]],
    pairs: Sequence[str],
    made: Sequence[str],
    spell: Callable[[int], str],
) -> list[str]:
    """The lines that show how one word became tokens: its ids, its bytes, then one line for each merge.

    Args:
        word: as it stands in the text.
        start: its bytes as tokens. Here and below each token is one character, `chr(id)`.
        steps: for each merge that was applied its rank, and the word after it.
        pairs, made: rank -> the pair of a merge, and the token it becomes.
        spell: id -> how to show that token.
    """
    rows = [" ".join(spell(ord(token)) for token in row) for row in (start, *(row for _, row in steps))]
    width = max(map(len, rows))
    ids = " ".join(str(ord(token)) for token in (steps[-1][1] if steps else start))
    lines = [f"{word!r} -> {ids}", f"  {rows[0]}"]
    for (rank, _), row in zip(steps, rows[1:], strict=True):
        joined = " + ".join(spell(ord(token)) for token in pairs[rank])
        lines.append(f"  {row:{width}}   merge {rank}: {joined} = id {ord(made[rank])}")
    return lines
