"""Gemma 4, text: E2B, E4B, 31B, and the mixture of experts 26B-A4B."""
from .config import Config
from .model import TextModel

__all__ = ["Config", "TextModel"]
