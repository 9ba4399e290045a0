"""Reads a JSON object from a file of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from compiler.errors import GemletError


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in that file. Raises GemletError where the file is missing, unparsable or holds anything else."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise GemletError(f"{path}: the file is missing. Is this a Hugging Face checkpoint?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise GemletError(f"{path}: not valid JSON: {error}. Download the file again.") from None
    if not isinstance(value, dict):
        raise GemletError(f"{path}: expected a JSON object, found {type(value).__name__}.")
    return value
