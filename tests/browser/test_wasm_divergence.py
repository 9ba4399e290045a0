"""The real Gemma 3 270M as WebAssembly, outside a browser, over a page of prose: how far activations in whole numbers lead from transformers' answers."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmtime
from tokenizers import Tokenizer
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from compiler.checkpoint import open_checkpoint
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.native_wasm import module_engine

POSITIONS = 512
PROSE = Path(__file__).parents[2] / "docs" / "architecture.md"
PAGE = 65536


@pytest.fixture(scope="module")
def ids(default_site) -> list[int]:
    """The first tokens of the text, behind the BOS."""
    folder = default_site / "models" / "gemma-3-270m"
    found = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROSE.read_text(), add_special_tokens=False).ids
    return [json.loads((folder / "model.json").read_text())["tokenizer"]["bos"], *found][:POSITIONS]


@pytest.fixture(scope="module")
def reference(default_model, ids) -> np.ndarray:
    """Logarithms of transformers' probabilities after each token, with the very weights of the artifact, in float32."""
    checkpoint = open_checkpoint(default_model)
    model = Gemma3ForCausalLM(Gemma3TextConfig(**checkpoint.config, attn_implementation="eager")).float().eval()
    put_into(model, dequantized_weights(default_model, "auto"), norm_offset=1.0)
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()


def logits_of_each(folder: Path, file: str, ids: list[int]):
    """Logits after each of the ids, by the step `decode`, which is told the next token in place of the one that it drew."""
    manifest = json.loads((folder / "model.json").read_text())
    program, fields, vocabulary = manifest["wasm"], manifest["state"]["fields"], manifest["facts"]["vocab_size"]
    store = wasmtime.Store(module_engine())
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(program["memory_bytes"] // PAGE, program["memory_bytes"] // PAGE)))
    shards = [(folder / shard["file"]).read_bytes() for shard in manifest["shards"]]
    for weight in program["weights"]:
        for shard, start, length, offset in weight["pieces"]:
            memory.write(store, shards[shard][start:start + length], weight["offset"] + offset)
    exports = wasmtime.Instance(store, wasmtime.Module.from_file(module_engine(), str(folder / file)), [memory]).exports(store)
    exports["__stack_pointer"].set_value(store, program["stacks"]["offset"] + program["stacks"]["bytes"])
    exports["run"](store, program["steps"]["prepare"], 1)

    def write(field: str, value: int) -> None:
        memory.write(store, np.int32(value).tobytes(), program["state"] + 4 * fields[field])

    write("length", 1)
    for token in ids:
        write("tokens", token)
        exports["run"](store, program["steps"]["decode"], 1)
        yield np.frombuffer(memory.read(store, program["logits"], program["logits"] + 4 * vocabulary), np.float32)


@pytest.mark.parametrize("simd", ["relaxed", "simd128"])
def test_the_mean_divergence_is_small(default_site, reference, ids, simd):
    """Its bound is a hundredth of the 0.01 that the model's own weights, of 4 to 8 bits, are allowed: activations of 14 bits are off by 2^-14 of the
    largest of 32, weights of 8 bits by 2^-8 of it, and a divergence grows with the square of an error. What is measured is below 1e-5."""
    folder = default_site / "models" / "gemma-3-270m"
    module = next(each for each in json.loads((folder / "model.json").read_text())["wasm"]["modules"]
                  if each["activations"] == "int16" and each["simd"] == simd and not each["threads"])
    divergences = []
    for expected, logits in zip(reference, logits_of_each(folder, module["file"], ids), strict=True):
        found = torch.from_numpy(logits.copy()).log_softmax(-1).numpy()
        divergences.append((np.exp(expected, dtype=np.float64) * (expected.astype(np.float64) - found)).sum())
    print(f"mean {np.mean(divergences):.2e}, largest {np.max(divergences):.2e} nats")
    assert np.mean(divergences) <= 1e-4
