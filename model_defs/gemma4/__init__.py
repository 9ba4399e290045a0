"""Gemma 4, text, dense: E2B, E4B and 31B."""
from .config import Config
from .model import TextModel

__all__ = ["Config", "TextModel"]
