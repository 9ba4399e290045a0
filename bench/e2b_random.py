"""Builds E2B whole, with random bf16 weights, into real q4 shards; says what that took; runs its first layers in the browser.

    python bench/e2b_random.py [--folder DIR] [--layers N]

Weights are made row by row as they are read (tests/fixtures/random_tensors.py), so no checkpoint of 10 GB is needed. The shards
take 2.6 GB in DIR (default: a temporary folder, deleted afterwards). The first N layers (default 5: four sliding, one
global) decode two tokens in headless Chromium and are held against transformers. The table of per-layer embeddings lies outside GPU
memory, as docs/artifact.md allows: its buffers have room for one row, which is read from the shards before each token.
"""
import argparse
import base64
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright
from transformers import Gemma4TextConfig, Gemma4TextModel
from transformers.initialization import no_init_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compiler.pipeline import CHUNKS, DEFAULT_CONTEXT  # noqa: E402
from compiler.quantize import FORMATS  # noqa: E402
from compiler.setup.chromium import find_chromium  # noqa: E402
from tests.conftest import CHROMIUM_FLAGS  # noqa: E402
from tests.fixtures.random_tensors import random_checkpoint  # noqa: E402
from tests.fixtures.real_configs import config_path  # noqa: E402
from tests.fixtures.replay import Replay, replaying, write_program  # noqa: E402

IDS = [2, 4711]
TABLE = "embed_tokens_per_layer.weight"


def peak_rss() -> int:
    """The most memory that this process has held, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def build(folder: Path, answers) -> None:
    """Compiles; puts seconds, and the peak of memory before and after, into `answers`."""
    checkpoint, before, start = random_checkpoint(config_path("gemma-4-e2b"), "BF16"), peak_rss(), time.monotonic()
    write_program(checkpoint, folder, "q4", DEFAULT_CONTEXT, CHUNKS)
    answers.put((time.monotonic() - start, before, peak_rss()))


def keep_first_layers(folder: Path, layers: int) -> None:
    """Cuts the manifest down to the part of `decode` that runs the first layers, with room for one row of the per-layer table."""
    manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    names = [buffer["name"] for buffer in manifest["buffers"]]
    decode = manifest["steps"]["decode"]
    # The next layer's first launch adds up what the last wanted layer gives.
    end = next(i for i, launch in enumerate(decode) if any(names[b].startswith(f"layers.{layers}.") for b in launch["buffers"])) + 1
    manifest["steps"] = {"decode": decode[:end]}
    bound = {buffer for launch in decode[:end] for buffer in launch["buffers"]}
    (table,) = manifest["tables"]
    manifest["weights"] = [weight for weight in manifest["weights"] if weight["buffer"] in bound - {*table["buffers"], table["part"]}]
    for index in table["buffers"]:
        manifest["buffers"][index]["bytes"] //= table["rows"]
    for index, buffer in enumerate(manifest["buffers"]):
        buffer["bytes"] = buffer["bytes"] if index in bound else 4
    largest = max(buffer["bytes"] for buffer in manifest["buffers"])
    manifest["limits"] |= {"maxStorageBufferBindingSize": largest, "maxBufferSize": largest}
    (folder / "model.json").write_text(json.dumps(manifest), encoding="utf-8")


def stored(tensor) -> np.ndarray:
    """A tensor's values after q4, or, for a vector, its own."""
    return q4(tensor, 0, tensor.row_count).reshape(tensor.shape) if len(tensor.shape) > 1 else tensor.values()


def q4(tensor, start: int, stop: int) -> np.ndarray:
    return FORMATS["q4"].decode(*FORMATS["q4"].encode(tensor.rows(start, stop)))


class Finished(Exception):
    """The layers that are wanted have run."""


def row_of(folder: Path, manifest: dict, buffer: int, row: int) -> bytes:
    """A row of one of the per-layer table's buffers, out of the shards."""
    (rows,) = [table["rows"] for table in manifest["tables"]]
    (pieces,) = [weight["pieces"] for weight in manifest["weights"] if weight["buffer"] == buffer]
    size = manifest["buffers"][buffer]["bytes"] // rows
    found = b""
    for shard, start, count, target in sorted(pieces, key=lambda piece: piece[3]):
        first, last = max(row * size, target), min((row + 1) * size, target + count)
        if first < last:
            with open(folder / manifest["shards"][shard]["file"], "rb") as file:
                file.seek(start + first - target)
                found += file.read(last - first)
    return found


def reference(config: dict, tensors: dict, layers: int) -> list[np.ndarray]:
    """Outputs of the first layers, [tokens, hidden size] each."""
    with no_init_weights():
        model = Gemma4TextModel(Gemma4TextConfig(**config | {"vocab_size": 8, "vocab_size_per_layer_input": 8}, attn_implementation="eager")).float().eval()
    outputs = []

    def fill(module, prefix: str) -> None:
        for name, place in [*module.named_parameters(), *module.named_buffers()]:
            if f"{prefix}{name}" in tensors:
                place.data = torch.from_numpy(stored(tensors[f"{prefix}{name}"]))

    def collect(index: int, output) -> None:
        outputs.append((output[0] if isinstance(output, tuple) else output)[0].numpy())
        if index + 1 == layers:
            raise Finished

    for name in ("per_layer_model_projection", "per_layer_projection_norm"):
        fill(getattr(model, name), f"model.{name}.")
    for index, layer in enumerate(model.layers[:layers]):
        fill(layer, f"model.layers.{index}.")
        layer.register_forward_hook(lambda _layer, _arguments, output, index=index: collect(index, output))
    table = np.concatenate([q4(tensors[f"model.{TABLE}"], i, i + 1) for i in IDS]) * np.float32(config["hidden_size_per_layer_input"]**0.5)
    hidden = np.concatenate([q4(tensors["model.embed_tokens.weight"], i, i + 1) for i in IDS]) * np.float32(config["hidden_size"]**0.5)
    per_layer = torch.from_numpy(table).reshape(1, len(IDS), config["num_hidden_layers"], -1)
    try:
        with torch.no_grad():
            model(inputs_embeds=torch.from_numpy(hidden)[None], per_layer_inputs=per_layer, use_cache=False)
    except Finished:
        return outputs
    raise AssertionError("the model has fewer layers")


def run_layers(folder: Path, layers: int) -> float:
    """The largest relative error of the first layers over both tokens."""
    checkpoint = random_checkpoint(config_path("gemma-4-e2b"), "BF16")
    expected = reference(checkpoint.config, checkpoint.tensors, layers)
    manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (table,) = manifest["tables"]
    keep_first_layers(folder, layers)
    worst = 0.0
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS) as browser, \
            replaying(browser, folder) as page:
        replay = Replay(page, folder)
        for position, token in enumerate(IDS):
            replay.set_state(position, [token])
            contents = {buffer: row_of(folder, manifest, buffer, token) for buffer in table["buffers"]}
            contents[table["part"]] = np.array([0, 1, 1], np.int32).tobytes()  # every id is held within this one row
            for buffer, content in contents.items():
                replay.page.evaluate("""([index, text]) => replay.device.queue.writeBuffer(
                    replay.buffers[index], 0, Uint8Array.from(atob(text), (character) => character.charCodeAt(0)))""",
                    [buffer, base64.b64encode(content).decode()])
            for layer, found in replay.layer_outputs("decode", 1, checkpoint.config["hidden_size"]).items():
                wanted = expected[layer][position]
                worst = max(worst, float(np.abs(found[0] - wanted).max() / np.abs(wanted).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds E2B with random weights and runs its first layers.")
    parser.add_argument("--folder", type=Path, help="where to leave the artifact (default: nowhere)")
    parser.add_argument("--layers", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        # A process of its own, so that the peak is the build's.
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        process = context.Process(target=build, args=(folder, answers))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit("the build failed")
        seconds, before, after = answers.get()
        shards = [path.stat().st_size for path in (folder / "weights").iterdir()]
        print(f"built {sum(shards) / 1e9:.2f} GB in {len(shards)} shards in {seconds:.0f} s; peak memory {after / 2**30:.2f} GiB, "
              f"of which {before / 2**30:.2f} GiB before it began", flush=True)
        print(f"first {options.layers} layers, {len(IDS)} tokens: relative error at most {run_layers(folder, options.layers):.1e}")


if __name__ == "__main__":
    main()
