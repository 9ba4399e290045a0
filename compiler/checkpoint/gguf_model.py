"""Opens a GGUF model as a checkpoint: llama.cpp's keys and tensor names become transformers' own."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.gguf_architecture import Architecture, stated_token
from compiler.checkpoint.gguf_gemma3 import GEMMA3
from compiler.checkpoint.gguf_gemma4 import GEMMA4
from compiler.checkpoint.gguf_split import model_stem, read_gguf_model
from compiler.checkpoint.json_file import typed
from compiler.checkpoint.license import gguf_license
from compiler.checkpoint.template_choice import gguf_template
from compiler.checkpoint.tensor import Tensor
from compiler.checkpoint.tied_head import settle_head
from compiler.errors import GemletError

ARCHITECTURES = {"gemma3": GEMMA3, "gemma4": GEMMA4}
ENCODERS = ("clip", "mtmd")
LONGEST_TITLE = 200
TOWERS = ("v.", "a.", "mm.")  # of images and sound; llama.cpp writes them into a file of their own


def open_gguf(path: Path) -> Checkpoint:
    """Opens a GGUF file, or any part of a split one.

    Raises GemletError for an unknown architecture, missing metadata, an unknown tensor, or an unsound file.
    """
    model = read_gguf_model(path)
    fields = model.fields
    architecture = _architecture(fields, path)
    config = architecture.config(model)
    named = (_canonical(tensor, architecture) for tensor in model.tensors.values())
    tensors = {tensor.name: tensor for tensor in named if tensor is not None}
    settle_head(tensors, config)
    template, notes = gguf_template(fields, path)
    stop = [stated_token(fields, kind, path) for kind in ("eos", "eot", "eom")]
    return Checkpoint(
        path=path,
        title=_title(fields, path),
        config=config,
        tensors=tensors,
        generation={
            "eos_token_id": list(dict.fromkeys(token for token in stop if token is not None)),
            "bos_token_id": config["bos_token_id"],
            "pad_token_id": config["pad_token_id"],
        },
        chat_template=template,
        license=gguf_license(fields, config["model_type"], path),
        gguf_fields=fields,
        notes=tuple(notes),
    )


def _architecture(fields: dict[str, Any], path: Path) -> Architecture:
    """How to read the file. Raises GemletError, saying what the file is, where it holds no Gemma."""
    stated = [fields.get(key, default) for key, default in (("general.architecture", None), ("general.type", "model"))]
    if stated[0] in ENCODERS or stated[1] == "mmproj":
        raise GemletError(
            f"{path}: {stated[0]}: this is the part of a model that turns images or sound into tokens (mmproj), without the model itself. "
            "Give the GGUF file of the text model."
        )
    if stated[1] == "adapter":
        raise GemletError(
            f"{path}: this is an adapter (LoRA) for a model, not a model. Merge it into its model first: llama-export-lora of llama.cpp."
        )
    if stated[1] != "model":
        raise GemletError(f"{path}: metadata general.type is {stated[1]!r}; expected 'model'. Give the GGUF file of the model itself.")
    if not isinstance(stated[0], str) or stated[0] not in ARCHITECTURES:
        raise GemletError(f"{path}: unknown GGUF architecture {stated[0]!r}; expected one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[stated[0]]


def _title(fields: dict[str, Any], path: Path) -> str:
    """What the model is called. Raises GemletError where that is no text."""
    name = typed(fields.get("general.name", ""), str, f"{path}: metadata general.name").strip()
    return name[:LONGEST_TITLE] if name.isprintable() and name else model_stem(path)


def _canonical(tensor: Tensor, architecture: Architecture) -> Tensor | None:
    """The same tensor under its canonical name; None for one that is not kept."""
    if tensor.source_name.startswith(TOWERS):
        return None
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", tensor.source_name)
    if layer and layer[2] in architecture.layer_tensor_names:
        return replace(tensor, name=f"model.layers.{layer[1]}.{architecture.layer_tensor_names[layer[2]]}")
    if tensor.source_name.endswith((".lora_a", ".lora_b")):
        raise GemletError(
            f"{tensor.file}: tensor {tensor.source_name} is one of an adapter (LoRA), which changes what the model answers. "
            "Merge it into its model first: llama-export-lora of llama.cpp."
        )
    if tensor.source_name not in architecture.tensor_names:
        raise GemletError(
            f"{tensor.file}: tensor {tensor.source_name} is not one of a {architecture.title} text model. "
            "Take another file of this model."
        )
    name = architecture.tensor_names[tensor.source_name]
    return None if name is None else replace(tensor, name=name)
