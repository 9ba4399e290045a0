"""Reads JSON of a checkpoint, strictly: what one reader takes one way and another reader another way is refused."""

import json
import math
from pathlib import Path
from typing import Any

from compiler.checkpoint.text_file import MIB, read_bytes
from compiler.errors import GemletError

# Each comma, [ and { of a text makes at most one value more, of some 100 bytes; Gemma's tokenizer.json has 1.9 million.
MOST_VALUES = 4_000_000
LONGEST_NAME = 256
NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def read_json_object(path: Path, most: int = 16 * MIB) -> dict[str, Any]:
    """The object in that file. Raises GemletError where the file is missing, larger than `most` bytes, unparsable or
    holds anything else."""
    return parse_json_object(read_bytes(path, most), path)


def parse_json_object(content: bytes, path: Path, what: str = "") -> dict[str, Any]:
    """The object in `content`, which comes from that file; `what`: which part of it, for messages.

    Raises GemletError for a text that is no JSON, states a key of one object twice, holds half a surrogate pair, or nests
    deeper or holds more values than any checkpoint's. NaN and Infinity are numbers here, as for transformers.
    """
    where = f"{path}: {what}" if what else f"{path}:"
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise GemletError(f"{where} more than {MOST_VALUES} values; no Gemma has as many. Download the file again.")
    try:
        text = content.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise GemletError(f"{where} not valid JSON: it nests too deeply. Download the file again.") from None
    except UnicodeEncodeError:
        raise GemletError(f"{where} not valid JSON: half a surrogate pair. Download the file again.") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, _object's, and int's for thousands of digits
        raise GemletError(f"{where} not valid JSON: {error}. Download the file again.") from None
    if not isinstance(value, dict):
        raise GemletError(f"{where} expected a JSON object, found {shown(value)}.")
    return value


def typed(value: Any, kind: type, where: str) -> Any:
    """`value`, if JSON or GGUF metadata holds it as that type; `where`: file and key, for the GemletError otherwise raised.

    A bool is no number, a whole number is a float too, and no float is NaN or infinite.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float:
        fits = is_number and abs(value) < 2**1023  # false for NaN, and a float can hold it
    else:
        fits = isinstance(value, kind) and (kind is not int or is_number)
    if not fits:
        raise GemletError(f"{where}: expected {NAMES[kind]}, found {shown(value)}.")
    return value


def list_of(value: Any, kind: type, where: str) -> list[Any]:
    """`value`, if it is a list whose items are all of that type. Raises as `typed` does."""
    if isinstance(value, list) and set(map(type, value)) == {kind} and (kind is not float or all(map(math.isfinite, value))):
        return value  # a vocabulary has 262,144 of them
    return [typed(item, kind, where) for item in typed(value, list, where)]


def printable(name: str, where: str) -> str:
    """`name` of a tensor, as messages show it. Raises GemletError where it is longer than any or does not print."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise GemletError(f"{where}: a tensor is called {shown(name)}; expected at most {LONGEST_NAME} printable characters.")
    return name


def shown(value: Any) -> str:
    """A value in a message: only how large it is, where it is large."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        short = len(value) <= 4 and not any(isinstance(item, dict | list) for item in value)
        return f"[{', '.join(map(shown, value))}]" if short else f"a list of {len(value)} entries"
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write very many digits
        return f"a number of {value.bit_length()} bits"
    return repr(value) if not isinstance(value, str) or len(value) <= 80 else f"{value[:80]!r}..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shown(twice)} is there twice")
    return value
