"""A Hugging Face folder with the weights of a checkpoint, dequantized: what other tools can convert further."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.tokenizer import tokenizer_json_from_gguf

# Of the tokenizer only what transformers cannot find in tokenizer.json itself.
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
}
# transformers' Gemma 3 multiplies with 1 + w, and a checkpoint's norms read as that factor.
NORM_OFFSET = np.float32(1)


def write_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes a Gemma 3 text model that was opened from a GGUF file: float32 tensors, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.values() - NORM_OFFSET if "norm" in name else tensor.values() for name, tensor in checkpoint.tensors.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "tokenizer.json").write_bytes(tokenizer_json_from_gguf(checkpoint.gguf_fields, checkpoint.path))
    config = {**checkpoint.config, "architectures": ["Gemma3ForCausalLM"], "dtype": "float32"}
    for name, content in {
        "config.json": config,
        "generation_config.json": checkpoint.generation,
        "tokenizer_config.json": {**TOKENIZER, "model_max_length": checkpoint.config["max_position_embeddings"]},
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
