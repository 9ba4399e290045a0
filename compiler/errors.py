"""The one error type that users see."""


class GemletError(Exception):
    """Something the user can act on.

    The message says what was wrong and where (file, tensor), what was expected and what was found, and what to
    do about it. The command line prints the message and exits with status 1.
    """
