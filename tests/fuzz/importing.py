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


def difference(imported: Imported, path: Path) -> str | None:
    """The tensor whose bytes the format's own library finds elsewhere than we do; None where there is none."""
    for file in sorted({tensor.file for tensor in imported.checkpoint.tensors.values()}):
        held = gguf_bytes(file) if path.is_file() else safetensors_bytes(file)
        content = file.read_bytes()
        for tensor in imported.checkpoint.tensors.values():
            raw = held.get(tensor.source_name, b"")
            if tensor.file == file and content[tensor.offset : tensor.offset + len(raw)] != raw:
                return f"{file}: tensor {tensor.source_name}"
    return None


def safetensors_bytes(file: Path) -> dict[str, bytes]:
    return {name: bytes(value["data"]) for name, value in safetensors.deserialize(file.read_bytes())}


def gguf_bytes(file: Path) -> dict[str, bytes]:
    return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(file).tensors}
