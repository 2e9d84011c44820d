"""The one exception that means "what you gave me cannot be used", as opposed to a defect in minitx."""


class InputError(ValueError):
    """A file, a value or a combination of options that cannot be used.

    The message is one line: what is wrong, where, and what is accepted. The command line prints it as
    ``error: ...`` and exits with code 2; a caller of the library catches it as a `ValueError`.
    """
