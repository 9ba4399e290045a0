"""Gemma 3, text (arXiv 2503.19786)."""
from .config import Config
from .model import TextModel

__all__ = ["Config", "TextModel"]
