"""Reads a whole file of a checkpoint, within a bound: nothing but weights has a reason to be large."""

from pathlib import Path

from compiler.errors import GemletError

MIB = 1 << 20


def read_bytes(path: Path, most: int) -> bytes:
    """The file's content. Raises GemletError where it is missing, cannot be read or has more than `most` bytes."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(most + 1)
    except FileNotFoundError:
        raise GemletError(f"{path}: the file is missing. Is this a Hugging Face checkpoint?") from None
    except OSError as error:
        raise GemletError(f"{path}: the file cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise GemletError(
            f"{path}: the file has more than {most} bytes, far more than such a file of a Gemma needs. "
            "Download the file again."
        )
    return content


def read_text(path: Path, most: int = MIB, errors: str = "strict") -> str:
    """The file's content, which is UTF-8. Raises GemletError where it is not, and as `read_bytes` does.

    errors: "replace" puts U+FFFD in place of what is none.
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise GemletError(f"{path}: byte {error.start} is not UTF-8 ({error.reason}). Download the file again.") from None
