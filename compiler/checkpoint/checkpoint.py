"""What every kind of checkpoint is read into."""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from compiler.checkpoint.mobile import MobileQuantization
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError

SIMILAR = 3  # names that a message lists


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
    notes: tuple[str, ...] = ()  # what the user should know of files and tensors that were left out

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
            similar = get_close_matches(name, [found.source_name for found in self.tensors.values()], SIMILAR)
            found = f"names like it: {', '.join(similar)}" if similar else f"among them {', '.join(list(self.tensors)[:SIMILAR])}"
            raise GemletError(
                f"{self.path}: tensor {name} is missing; expected shape {tuple(shape)}. "
                f"The checkpoint has {len(self.tensors)} tensors, {found}: is it complete, and does its config belong to it?"
            )
        if tensor.shape != tuple(shape):
            raise GemletError(
                f"{tensor.file}: tensor {tensor.source_name} has the wrong shape: expected {tuple(shape)}, "
                f"found {tensor.shape}. Check that the config belongs to these weights."
            )
        return tensor
