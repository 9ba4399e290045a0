"""Reads values of known types out of JSON objects, with errors that name file and field."""

from typing import Any

from compiler.checkpoint.json_file import shown
from compiler.errors import GemletError


class Fields:
    """The keys of one JSON object. where: file and place, as in `config.json: text_config.`"""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def error(self, key: str, expected: str, advice: str = "") -> GemletError:
        """What to raise where the field's value is not as expected."""
        return GemletError(f"{self.where}{key}: expected {expected}, found {shown(self.values.get(key))}.{advice}")

    def whole(self, key: str, least: int, most: int) -> int:
        """A whole number within bounds, both included."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, least: float, most: float) -> float:
        """A finite number within bounds, of which the lower is left out."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least < value <= most:
            raise self.error(key, f"a number above {least:g}, at most {most:g}")
        return value

    def boolean(self, key: str) -> bool:
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.error(key, "a text")
        return value

    def object(self, key: str) -> "Fields":
        """The object there, whose own errors name the way to it."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return Fields(value, f"{self.where}{key}.")

    def is_null(self, key: str) -> bool:
        """Whether the field is absent or null."""
        return self.values.get(key) is None
