"""What the fuzzer tries: everything that `compile` does with a checkpoint before kernels, and, for a few, `plan`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
from gguf import GGUFReader

from compiler.checkpoint import Checkpoint, open_checkpoint
from compiler.checkpoint.texts import Texts, read_texts
from model_defs import FAMILIES
from model_defs.config import ConfigError


@dataclass(frozen=True)
class Imported:
    """digest: of everything that the artifact would be made of."""

    checkpoint: Checkpoint
    texts: Texts
    digest: str


def import_checkpoint(path: Path) -> Imported:
    """Raises GemletError, or ConfigError, which the pipeline turns into one."""
    checkpoint = open_checkpoint(path)
    texts = read_texts(checkpoint)
    FAMILIES[checkpoint.config["model_type"]].Config.from_dict(checkpoint.config)
    digest = hashlib.sha256(texts.tokenizer)
    stated = [checkpoint.config, checkpoint.generation, checkpoint.chat_template, str(checkpoint.license), str(texts.tokens), checkpoint.name]
    digest.update(json.dumps(stated, sort_keys=True, default=str).encode("utf-8"))
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {tensor.shape}".encode())
        digest.update(tensor.values().tobytes())
    return Imported(checkpoint, texts, digest.hexdigest())


def refused_by_definition(error: ConfigError, path: Path) -> str:
    """The message that the pipeline makes of it (compiler/pipeline.py)."""
    return f"{path}: {error}"


def difference(imported: Imported, path: Path) -> str | None:
    """What the format's own library reads otherwise than we did; None where all is alike."""
    files = {tensor.file for tensor in imported.checkpoint.tensors.values()}
    for file in sorted(files):
        ours = {tensor.source_name: tensor for tensor in imported.checkpoint.tensors.values() if tensor.file == file}
        held = gguf_bytes(file) if path.is_file() else safetensors_bytes(file)
        for name, tensor in ours.items():
            raw = b"".join(row.tobytes() for row in [held[name]])
            with open(tensor.file, "rb") as stream:
                stream.seek(tensor.offset)
                if name not in held or stream.read(len(raw)) != raw:
                    return f"{file}: tensor {name}"
    return None


def safetensors_bytes(file: Path) -> dict:
    import numpy as np

    return {name: np.frombuffer(bytes(value["data"]), np.uint8) for name, value in safetensors.deserialize(file.read_bytes())}


def gguf_bytes(file: Path) -> dict:
    return {tensor.name: tensor.data for tensor in GGUFReader(file).tensors}
