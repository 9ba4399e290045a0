"""Reads checkpoints (Hugging Face folders, GGUF files, the hub) as named tensors, one block of rows at a time."""

from compiler.checkpoint.checkpoint import Checkpoint, License
from compiler.checkpoint.open import open_checkpoint
from compiler.checkpoint.tensor import Tensor

__all__ = ["Checkpoint", "License", "Tensor", "open_checkpoint"]
