"""Layers of the real models at their real sizes, in the browser, against transformers' own layers with the same weights.

Each model has a layer of every kind that it has, one after the other, and a small vocabulary. All four are tried in q4 and without
quantization: E2B and E4B with float32 weights, which take 0.9 and 1.6 GB. Those of 31B and 26B-A4B are float16, which the kernels widen
without loss and transformers gets as the same float32 values: float32 would take 4.1 and 6.6 GB and, for the experts of 26B-A4B, a
buffer of 2 GB, where SwiftShader binds 1 GiB. The arithmetic is float32 in each case.
"""
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from transformers import Gemma4TextConfig, Gemma4TextModel
from transformers.initialization import no_init_weights

from compiler.kernels import twins
from tests.fixtures.random_tensors import few_layers, random_checkpoint
from tests.fixtures.replay import Replay, replaying, write_kernels

SLIDING, GLOBAL = "sliding_attention", "full_attention"
VOCABULARY = 64
CHUNK = 16
PROMPT, NEXT = [2, 17, 5, 40, 63], 33
# The project's bound on the error of a layer, relative to its largest value, without quantization. It asks for ten times less of q4,
# but both sides dequantize alike. Sums of some thousand products in another order are good to about 1e-6 a layer, and each layer
# here starts from the error of the one before; what is measured is at most 2.4e-5.
BOUND = 1e-4


@dataclass(frozen=True)
class Case:
    """Kinds of layers, of which the last `shared` own no KV."""

    model: str
    kinds: tuple[str, ...]
    shared: int
    source_format: str


ALL_KINDS = (SLIDING, GLOBAL, SLIDING, GLOBAL)
CASES = [Case("gemma-4-e2b", ALL_KINDS, 2, "F32"), Case("gemma-4-e2b", ALL_KINDS, 2, "Q4_0"), Case("gemma-4-e4b", ALL_KINDS, 2, "F32"),
         Case("gemma-4-e4b", ALL_KINDS, 2, "Q4_0"), Case("gemma-4-31b", (SLIDING, GLOBAL), 0, "F16"),
         Case("gemma-4-31b", (SLIDING, GLOBAL), 0, "Q4_0"), Case("gemma-4-26b-a4b", (SLIDING, GLOBAL), 0, "F16"),
         Case("gemma-4-26b-a4b", (SLIDING, GLOBAL), 0, "Q4_0")]


def reference_outputs(config: dict, tensors: dict, ids: list[int]) -> list[np.ndarray]:
    """What transformers' layers give, float32 [tokens, hidden size] each. A layer has its weights only while it runs."""
    with no_init_weights():
        model = Gemma4TextModel(Gemma4TextConfig(**config, attn_implementation="eager")).float().eval()
    outputs = []

    def fill(module, prefix: str) -> None:
        for name, place in [*module.named_parameters(), *module.named_buffers()]:
            if f"{prefix}{name}" in tensors:
                place.data = torch.from_numpy(tensors[f"{prefix}{name}"].values())

    def release(layer, _arguments, output) -> None:
        outputs.append((output[0] if isinstance(output, tuple) else output)[0].numpy())
        for parameter in layer.parameters():
            parameter.data = torch.empty(0)

    for name, module in model.named_children():
        if name != "layers":
            fill(module, f"model.{name}.")
    for index, layer in enumerate(model.layers):
        layer.register_forward_pre_hook(lambda layer, _arguments, index=index: fill(layer, f"model.layers.{index}."))
        layer.register_forward_hook(release)
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
    return outputs


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page, and the folder that it reads from."""
    root = tmp_path_factory.mktemp("layers")
    with replaying(browser, root) as page:
        yield page, root


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model}-{case.source_format}")
def test_layers_equal_the_reference_at_real_sizes(case, page):
    # Deleted at once: the weights take gigabytes, and pytest keeps what tests leave.
    with TemporaryDirectory(dir=page[1]) as folder:
        compare(case, page[0], Path(folder))


def compare(case: Case, page: Page, folder: Path) -> None:
    """All layers of the case, in a chunk, in its tail and in a decoded token."""
    checkpoint = random_checkpoint(few_layers(case.model, list(case.kinds), case.shared, VOCABULARY, folder / "config.json"), case.source_format)
    config, layers, ids = checkpoint.config, range(len(case.kinds)), [*PROMPT, NEXT]
    # A context beyond the window, so that sliding layers have the rings that they have in use.
    write_weights = write_kernels(checkpoint, folder, "auto", 2 * config["sliding_window"], (CHUNK,))
    replay = Replay(page, folder, weights=False)
    # While the browser makes the pipelines.
    write_weights()
    expected = reference_outputs(config, checkpoint.tensors, ids)
    replay.fill()
    replay.set_state(0, PROMPT)
    prompt = replay.layer_outputs(f"prefill_{CHUNK}", len(PROMPT), config["hidden_size"])
    tail = replay.layer_outputs("tail", 1, config["hidden_size"])
    first_logits = replay.logits()
    replay.set_state(len(PROMPT), [NEXT])
    decoded = replay.layer_outputs("decode", 1, config["hidden_size"])
    logits = replay.logits()
    replay.close()
    own = len(layers) - case.shared
    assert (sorted(prompt), sorted(tail), sorted(decoded)) == ([*layers][:own], [*layers][own:-1], [*layers][:-1])
    head = [checkpoint.tensors[f"model.{name}.weight"].values() for name in ("embed_tokens", "norm")]
    wanted_logits = twins.linear(expected[-1], *head, config["rms_norm_eps"], "softcap", config["final_logit_softcapping"])
    last = len(PROMPT) - 1
    pairs = {f"prompt, layer {layer}": (found, expected[layer][:len(PROMPT)]) for layer, found in prompt.items()}
    pairs |= {f"tail, layer {layer}": (found, expected[layer][[last]]) for layer, found in tail.items()}
    pairs |= {f"decode, layer {layer}": (found, expected[layer][len(PROMPT):]) for layer, found in decoded.items()}
    pairs |= {"tail, logits": (first_logits, wanted_logits[last]), "decode, logits": (logits, wanted_logits[len(PROMPT)])}
    for where, (found, wanted) in pairs.items():
        assert np.abs(found - wanted).max() <= BOUND * np.abs(wanted).max(), where
