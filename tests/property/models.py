"""A configuration's checkpoint, its Programs, what their weight buffers hold, and what transformers says it answers."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Gemma4ForCausalLM, Gemma4TextConfig, GemmaQuantizationConfig
from transformers.integrations import gemma_quant

from compiler.checkpoint import open_checkpoint
from compiler.package import add_weights
from compiler.pipeline import Lowered, lower_model
from compiler.progress import SilentProgress
from compiler.schedule.program import Program
from tests.fixtures.dequantized import dequantized, put_into
from tests.fixtures.gemma4_checkpoints import reference_logits
from tests.fixtures.mobile_checkpoints import Shape, calibrate, fill
from tests.property.configurations import Configuration

# As in transformers' published mobile checkpoints, by parts of modules' names; 4 bits elsewhere.
BITS = ({r"embed_tokens$": 2, r"^lm_head$": 2, r"per_layer_input_gate$": 8, r"per_layer_projection$": 8, r"mlp\.": 2},
        {r"embed_tokens$": 8, r"^lm_head$": 4, r"q_proj$": 2, r"v_proj$": 8, r"gate_proj$": 2, r"down_proj$": 8})

# Of the head not the output: no step keeps so many values from its edges.
ROUNDS = {f"{name}_proj": "both" for name in ("q", "k", "v", "o", "gate", "up", "down")} | {
    "per_layer_input_gate": "both", "per_layer_projection": "both", "lm_head": "input"}


@dataclass(frozen=True)
class Case:
    """tokens: `context` of them. logits: float32 [context, vocabulary], transformers' after each token."""

    configuration: Configuration
    lowered: Lowered
    tokens: list[int]
    logits: np.ndarray


def make_case(configuration: Configuration, folder: Path) -> Case:
    """Writes the checkpoint into an empty folder and lowers it."""
    torch.manual_seed(configuration.seed)
    rng = np.random.default_rng([9, configuration.seed])
    tokens = [int(token) for token in rng.integers(0, configuration.config["vocab_size"], configuration.context)]
    tokens[-1] = configuration.config["vocab_size"] - 1
    model = mobile_model(configuration, tokens, folder) if configuration.format == "mobile" else float_model(configuration, folder)
    lowered = lower_model(open_checkpoint(folder), configuration.quant, configuration.context, chunks=configuration.chunks)
    if configuration.format != "mobile":
        put_into(model, dequantized(lowered.weights), norm_offset=1.0 if configuration.family == "gemma3" else 0.0)
    return Case(configuration, lowered, tokens, reference_logits(model, tokens))


def transformers_config(configuration: Configuration):
    cls = Gemma3TextConfig if configuration.family == "gemma3" else Gemma4TextConfig
    return cls(**configuration.config, attn_implementation="eager", experts_implementation="eager")


def save(model, folder: Path, config: dict) -> None:
    """Without a tokenizer, which lowering does not read."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()
               if name != "lm_head.weight" or not config["tie_word_embeddings"]}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, default=str))


def float_model(configuration: Configuration, folder: Path):
    """Random float32 weights; norms and scales are not the ones that transformers starts with, which would hide a kernel that leaves them out."""
    config = transformers_config(configuration)
    model = (Gemma3ForCausalLM if configuration.family == "gemma3" else Gemma4ForCausalLM)(config).eval()
    low, high = (-0.4, 0.4) if configuration.family == "gemma3" else (0.6, 1.4)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "norm" in name or "layer_scalar" in name or "router.scale" in name or "per_expert_scale" in name:
                tensor.uniform_(low, high)
    save(model, folder, config.to_dict())
    return model


def mobile_model(configuration: Configuration, tokens: list[int], folder: Path):
    """transformers' quantized modules. Every second one rounds its activations, in steps that keep these tokens' values from the edges."""
    config = transformers_config(configuration)
    quantization = GemmaQuantizationConfig(4, True, {pattern: {"num_bits": bits} for pattern, bits in BITS[configuration.seed % 4 // 2].items()},
                                           ["per_layer_model_projection"])
    model = Gemma4ForCausalLM(config).eval()
    gemma_quant.replace_with_quant_layers(model, quantization, quantization.modules_to_not_convert)
    with torch.no_grad():
        fill(model, config.hidden_size_per_layer_input)
    rounds = ROUNDS if configuration.seed % 2 else {}
    calibrate(model, Shape({}, {}, rounds, one_input=True), tokens, {})
    save(model, folder, config.to_dict() | {"quantization_config": quantization.to_dict()})
    return model


class Collected:
    """Stands where weights are written to shards: keeps the bytes of each buffer."""

    def __init__(self):
        self.buffers: dict[str, bytes] = {}

    def add(self, name: str, chunks) -> None:
        self.buffers[name] = b"".join(bytes(memoryview(np.ascontiguousarray(chunk)).cast("B")) for chunk in chunks)


def weight_bytes(lowered: Lowered, program: Program) -> dict[str, bytes]:
    """What a Program's weight buffers hold, by name."""
    collected = Collected()
    add_weights(collected, lowered, [program], SilentProgress())
    return collected.buffers
