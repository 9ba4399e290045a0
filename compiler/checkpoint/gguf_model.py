"""Opens a GGUF model as a checkpoint: llama.cpp's keys and tensor names become transformers' own."""

import re
from dataclasses import replace
from pathlib import Path

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.gguf_architecture import Architecture
from compiler.checkpoint.gguf_gemma3 import GEMMA3
from compiler.checkpoint.gguf_gemma4 import GEMMA4
from compiler.checkpoint.gguf_split import model_stem, read_gguf_model
from compiler.checkpoint.license import license_named
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError

ARCHITECTURES = {"gemma3": GEMMA3, "gemma4": GEMMA4}
TOWERS = ("v.", "a.", "mm.")  # of images and sound; llama.cpp writes them into a file of their own


def open_gguf(path: Path) -> Checkpoint:
    """Opens a GGUF file, or any part of a split one.

    Raises GemletError for an unknown architecture, missing metadata, an unknown tensor, or an unsound file.
    """
    model = read_gguf_model(path)
    fields = model.fields
    architecture = ARCHITECTURES.get(fields.get("general.architecture"))
    if architecture is None:
        raise GemletError(
            f"{path}: unknown GGUF architecture {fields.get('general.architecture')!r}; expected one of "
            f"{', '.join(ARCHITECTURES)}."
        )
    config = architecture.config(model)
    named = (_canonical(tensor, architecture) for tensor in model.tensors.values())
    stop = [fields.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot")]
    return Checkpoint(
        path=path,
        title=fields.get("general.name") or model_stem(path),
        config=config,
        tensors={tensor.name: tensor for tensor in named if tensor is not None},
        generation={
            "eos_token_id": list(dict.fromkeys(token for token in stop if token is not None)),
            "bos_token_id": config["bos_token_id"],
            "pad_token_id": config["pad_token_id"],
        },
        chat_template=fields.get("tokenizer.chat_template"),
        license=license_named(
            fields.get("general.license"),
            config["model_type"],
            url=fields.get("general.license.link", ""),
        ),
        gguf_fields=fields,
    )


def _canonical(tensor: Tensor, architecture: Architecture) -> Tensor | None:
    """The same tensor under its canonical name; None for one that is not kept."""
    if tensor.source_name.startswith(TOWERS):
        return None
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", tensor.source_name)
    if layer and layer[2] in architecture.layer_tensor_names:
        return replace(tensor, name=f"model.layers.{layer[1]}.{architecture.layer_tensor_names[layer[2]]}")
    if tensor.source_name not in architecture.tensor_names:
        raise GemletError(
            f"{tensor.file}: tensor {tensor.source_name} is not one of a {architecture.title} text model. "
            "Take another file of this model."
        )
    name = architecture.tensor_names[tensor.source_name]
    return None if name is None else replace(tensor, name=name)
