"""The one exception that means "what you gave me cannot be used", as opposed to a defect in minitx."""

import difflib
from collections.abc import Sequence


class InputError(ValueError):
    """A file, a value or a combination of options that cannot be used.

    The message is one line: what is wrong, where, and what is accepted. The command line prints it as
    ``error: ...`` and exits with code 2; a caller of the library catches it as a `ValueError`. What a file or a name
    brings into it, such as a line end or an escape sequence, is spelt out.
    """

    def __str__(self) -> str:
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in super().__str__())


def suggestion(wrong: str, known: Sequence[str], otherwise: str = "") -> str:
    """The end of a message about a misspelt name: the known name it resembles, or `otherwise`, or all known names.

    >>> suggestion("sentimnt", ["sentiment", "topic"]), suggestion("x", ["sentiment", "topic"])
    ('did you mean sentiment?', 'choose from sentiment, topic')
    """
    bare = {name.lstrip("-"): name for name in known}  # two dashes are no likeness
    near = difflib.get_close_matches(wrong.lstrip("-"), bare, n=1)
    return f"did you mean {bare[near[0]]}?" if near else otherwise or f"choose from {', '.join(known)}"
