"""The one exception that means "what you gave me cannot be used", as opposed to a defect in minitx."""

import difflib
from collections.abc import Sequence
from typing import Any


class InputError(ValueError):
    """A file, a value or a combination of options that cannot be used.

    The message is one line: what is wrong, where, and what is accepted. The command line prints it as
    ``error: ...`` and exits with code 2; a caller of the library catches it as a `ValueError`. What a file or a name
    brings into it, such as a line end or an escape sequence, is spelt out.
    """

    def __str__(self) -> str:
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in super().__str__())


def expect(value: Any, kind: Any, words: str) -> Any:
    """The value itself; `InputError`, saying what is expected, unless it is of a kind."""
    if not isinstance(value, kind):
        raise InputError(f"expected {words}, not {value!r:.60}")
    return value


def suggestion(wrong: str, known: Sequence[str], otherwise: str = "") -> str:
    """The end of a message about a misspelt name: the known name it begins or resembles, or `otherwise`, or all names.

    Two dashes are no likeness, and neither are three letters of five: "none" is not cosine.

    >>> suggestion("sentimnt", ["sentiment", "topic"]), suggestion("x", ["sentiment", "topic"])
    ('did you mean sentiment?', 'choose from sentiment, topic')
    """
    word, bare = wrong.lstrip("-"), {name.lstrip("-"): name for name in known}
    begun = [name for name in bare if len(word) > 3 and name.startswith(word)]
    near = begun[:1] or difflib.get_close_matches(word, bare, n=1, cutoff=0.61)
    return f"did you mean {bare[near[0]]}?" if near else otherwise or f"choose from {', '.join(known)}"
