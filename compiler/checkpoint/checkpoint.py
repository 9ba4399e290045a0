"""What every kind of checkpoint is read into."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.checkpoint.mobile import MobileQuantization
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError


@dataclass(frozen=True)
class License:
    """Licence of the weights: its name, its address ("" where none is known) and its text or notice."""

    name: str
    url: str
    text: str


@dataclass(frozen=True)
class Checkpoint:
    """A text model: its configuration in transformers' key names and its tensors in canonical names.

    `config` can be passed to `transformers.Gemma3TextConfig` or `Gemma4TextConfig`, whichever `model_type` says.
    Tensors that are norm weights read as the factor that the norm multiplies with, whatever the file stores.
    """

    path: Path  # the file or folder that was opened, for messages
    title: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    generation: dict[str, Any]  # eos_token_id: a list; bos_token_id, pad_token_id; sampling defaults where stated
    chat_template: str | None
    license: License
    gguf_fields: dict[str, Any] = field(repr=False)  # metadata of a GGUF file; empty for other checkpoints
    hub_id: str | None = None  # owner/name, where it came from the hub
    revision: str | None = None  # commit there
    quantization: MobileQuantization | None = None  # what a mobile checkpoint's config says of its weights

    @property
    def name(self) -> str:
        """The title as a folder name: lower-case letters, digits, dots, dashes and underscores."""
        return re.sub(r"[^a-z0-9._]+", "-", self.title.lower()).strip("-._") or "model"

    @property
    def folder(self) -> Path:
        """The folder that holds the checkpoint's files."""
        return self.path if self.path.is_dir() else self.path.parent

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor of that canonical name. Raises GemletError where it is missing or has another shape."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise GemletError(
                f"{self.path}: tensor {name} is missing; expected shape {shape}. "
                f"The checkpoint has {len(self.tensors)} tensors: is it complete, and does its config belong to it?"
            )
        if tensor.shape != tuple(shape):
            raise GemletError(
                f"{tensor.file}: tensor {tensor.source_name} has the wrong shape: expected {tuple(shape)}, "
                f"found {tensor.shape}. Check that the config belongs to these weights."
            )
        return tensor
