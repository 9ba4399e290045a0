"""Builds the ONNX model that transformers.js runs, from a Hugging Face folder, with the model builder of onnxruntime-genai.

    python -m bench.onnx_model SOURCE OUT webgpu|cpu

OUT becomes a model folder as transformers.js reads it: onnx/model_q4.onnx, its data, and the files of SOURCE beside them.
The weights are 4-bit numbers in blocks of 32 (rounded to nearest), computed with in float32, which every adapter can.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import onnx
import onnxruntime_genai

sys.path.insert(0, str(Path(onnxruntime_genai.__file__).parent / "models"))  # where the builder's modules find each other

import builder  # noqa: E402
import builders  # noqa: E402

NAME = "model_q4.onnx"
DATA = f"{NAME}_data"  # the name that transformers.js asks for
CACHE_DIMENSION = "kv_cache_dim"
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")

# transformers.js keeps a cache that grows and wants the last token's logits alone.
COMMON_OPTIONS = [f"filename={NAME}", "prune_lm_head=1", "windowed_kv_cache=false", "hf_token=false"]
PROVIDER_OPTIONS = {
    "webgpu": ["use_webgpu_fp32=1"],
    # ONNX Runtime's wasm has no 4-bit embedding, so there the embedding is float32 and not shared with the head.
    "cpu": ["shared_embeddings=false"],
}


class Gemma3Model(builders.Gemma3Model):
    """The builder's own Gemma 3, with the RoPE settings where it looks for them: transformers 5 keeps one for each kind of layer."""

    def __init__(self, config, *rest):
        kinds = config.rope_parameters
        config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]
        config.rope_parameters = kinds["full_attention"]
        super().__init__(config, *rest)


def build(source: Path, out: Path, provider: str) -> None:
    """Builds the model of `source` for a key of PROVIDER_OPTIONS."""
    builder.Gemma3Model = Gemma3Model
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        arguments = (None, str(source), str(Path(scratch) / "out"), "int4", provider, str(Path(scratch) / "cache"))
        options = builder.parse_extra_options(*arguments, [*COMMON_OPTIONS, *PROVIDER_OPTIONS[provider]])
        builder.create_model(*arguments, **options)
        shutil.rmtree(out, ignore_errors=True)
        (out / "onnx").mkdir(parents=True)
        finish(Path(scratch) / "out", out / "onnx", json.loads((source / "config.json").read_text("utf-8"))["head_dim"])
    for name in FILES:
        shutil.copy(source / name, out / name)


def finish(built: Path, out: Path, head_size: int) -> None:
    """Moves what the builder made to `out`, under the names and with the shapes that transformers.js needs."""
    model = onnx.load(built / NAME, load_external_data=False)
    locations = [entry for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"]
    (data,) = {location.value for location in locations}
    for location in locations:
        location.value = DATA
    # A dimension with a name counts as 0 in the empty cache that it begins with.
    for value in [*model.graph.input, *model.graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == CACHE_DIMENSION:
                dimension.dim_value = head_size
    onnx.save(model, out / NAME)
    shutil.move(built / data, out / DATA)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
