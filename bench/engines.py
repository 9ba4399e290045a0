"""The engines that are measured, each a module in pages/ with options, and those that cannot be measured, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.default_site import NAME

WEBGPU = "WebGPU"
WASM = "wasm"

# Folders of the benchmark's site (bench/site.py), as the pages see them.
GGUF = "../model.gguf"
ONNX = {WEBGPU: "onnx-webgpu", WASM: "onnx-wasm"}
ONNX_WEIGHTS = {WEBGPU: "int4 and scales a block of 32, embeddings too", WASM: "int4 and scales a block of 32, float32 embeddings"}
GGUF_WEIGHTS = "the GGUF file (Q4_K_M: Q8_0, Q5_0, Q6_K, Q4_K)"
GEMLET_WEIGHTS = "`auto` from the GGUF file: none below its source"

NOT_MEASURED = {
    "WebLLM 0.2.86": "it runs only models that mlc-llm has compiled, with emscripten, to a wasm library of their own. Its list has none for "
    "Gemma 3 270M, and neither mlc-llm nor the wasm runtime that it links with is on PyPI, npm or in Debian (PyPI's packages "
    "of such names, mlc-llm-cpu 0.1 and others, hold no compiler).",
}


@dataclass(frozen=True, eq=False)
class Engine:
    """`module` is a file of pages/, `options` what its `load` takes, `threads` those of the processor that compute."""

    name: str
    backend: str
    module: str
    weights: str
    options: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None

    @property
    def title(self) -> str:
        if self.threads is None:
            return f"{self.name} {self.backend}"
        return f"{self.name} {self.backend}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def engines(threads: Sequence[int]) -> list[Engine]:
    """All engines; those that compute on the processor once for each number of threads that they can be told."""
    model = f"../gemlet/models/{NAME}/"
    found = [
        Engine("gemlet", WEBGPU, "gemlet.js", GEMLET_WEIGHTS, {"folder": model, "backend": "webgpu"}),
        Engine("transformers.js 4.3.1", WEBGPU, "transformers_js.js", ONNX_WEIGHTS[WEBGPU], {"model": ONNX[WEBGPU], "device": "webgpu", "threads": 1}),
        Engine("wllama 3.8.1", WEBGPU, "wllama.js", GGUF_WEIGHTS, {"model": GGUF, "gpuLayers": 99, "threads": 1}),
    ]
    for count in threads:
        found += [
            Engine("gemlet", WASM, "gemlet.js", GEMLET_WEIGHTS, {"folder": model, "backend": "wasm", "threads": count}, count),
            Engine("transformers.js 4.3.1", WASM, "transformers_js.js", ONNX_WEIGHTS[WASM], {"model": ONNX[WASM], "device": "wasm", "threads": count}, count),
            Engine("wllama 3.8.1", WASM, "wllama.js", GGUF_WEIGHTS, {"model": GGUF, "gpuLayers": 0, "threads": count}, count),
        ]
    return found
