"""What the fuzzer tries: everything that `compile` does with a checkpoint before kernels, and, for a few, `plan`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
from gguf import GGUFReader
from tokenizers import Tokenizer
from tokenizers.models import BPE

from compiler.checkpoint import Checkpoint, open_checkpoint
from compiler.checkpoint.texts import Texts, read_texts
from model_defs import FAMILIES

TEXTS = ("abc ab c", "aab  cab", "<bos>a<end_of_turn>", "", "\u00e9 x abcabc")


@dataclass(frozen=True)
class Imported:
    """digest: of everything that the artifact would be made of."""

    checkpoint: Checkpoint
    texts: Texts
    digest: str


def import_checkpoint(path: Path, values: bool) -> Imported:
    """values: whether tensors count with their values, not only with their places, which is enough where the weights' file is
    the sound one. Raises GemletError, or ConfigError, which the pipeline turns into one."""
    checkpoint = open_checkpoint(path)
    texts = read_texts(checkpoint)
    FAMILIES[checkpoint.config["model_type"]].Config.from_dict(checkpoint.config)
    digest = hashlib.sha256(texts.tokenizer)
    stated = [checkpoint.config, checkpoint.generation, checkpoint.chat_template, str(checkpoint.license), str(texts.tokens), checkpoint.name]
    digest.update(json.dumps(stated, sort_keys=True, default=str).encode("utf-8"))
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {tensor.shape} {tensor.source_format} {tensor.add}".encode())
        digest.update(tensor.values().tobytes() if values else str(tensor.offset).encode())
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


def tokenizer_difference(source: bytes, written: bytes) -> str | None:
    """The text that the checkpoint's tokenizer and the artifact's encode differently; None where there is none."""
    # Files beside it state further tokens, which are no matter of the library (tokenizer_added.py).
    document = json.loads(source) | {"added_tokens": json.loads(written)["added_tokens"]}
    ours, theirs = Tokenizer.from_buffer(written), Tokenizer.from_str(json.dumps(document))
    if isinstance(theirs.model, BPE):
        theirs.model.dropout = None
    for text in TEXTS:
        try:
            expected = theirs.encode(text, add_special_tokens=False).ids
        except Exception:  # what the library cannot encode, it cannot compare
            continue
        if ours.encode(text, add_special_tokens=False).ids != expected:
            return text
    return None


def safetensors_bytes(file: Path) -> dict[str, bytes]:
    return {name: bytes(value["data"]) for name, value in safetensors.deserialize(file.read_bytes())}


def gguf_bytes(file: Path) -> dict[str, bytes]:
    return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(file).tensors}
