"""`plan` of the published mobile checkpoints, from their config.json alone, against arithmetic that shares no code with it."""
import json
from functools import cache

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.plan import plan_model
from tests.fixtures.real_configs import config_path, real_plan

GLOBAL = "full_attention"
LAYER = r"language_model\.layers\.\d+\."
# The `quantization_config` of google/gemma-4-{E2B,E4B}-it-qat-mobile-transformers.
BITS = {
    "gemma-4-e2b": {r"language_model\.embed_tokens_per_layer$": 4, r"language_model\.embed_tokens$": 2, r"^lm_head$": 2,
                    LAYER + "per_layer_input_gate$": 8, LAYER + "per_layer_projection$": 8, "vision_tower": 8,
                    r"audio_tower(?!.*lconv1d\.linear_start)": 2, r"audio_tower\.layers\.\d+\.lconv1d\.linear_start\.": 4,
                    LAYER + r"self_attn\.": 4, r"language_model\.layers\.(\d|1[0-4])\.mlp\.": 4, LAYER + r"mlp\.": 2},
    "gemma-4-e4b": {r"language_model\.embed_tokens_per_layer$": 2, r"language_model\.embed_tokens$": 2, r"^lm_head$": 2,
                    LAYER + "per_layer_input_gate$": 8, LAYER + "per_layer_projection$": 8, "vision_tower": 8,
                    r"audio_tower(?!.*lconv1d\.linear_start)": 2, r"audio_tower\.layers\.\d+\.lconv1d\.linear_start\.": 4,
                    LAYER + r"self_attn\.": 4, LAYER + r"mlp\.": 4},
}
MODELS = tuple(BITS)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """What `plan` says of a mobile checkpoint's config, once a module."""

    @cache
    def planned(model: str, quant: str = "auto") -> dict:
        raw = json.loads(config_path(model).read_text(encoding="utf-8"))
        raw["tie_word_embeddings"] = raw["text_config"]["tie_word_embeddings"] = False
        raw["quantization_config"] = {
            "quant_method": "gemma", "num_bits": 4, "quantize_embeddings": True, "modules_to_not_convert": ["per_layer_model_projection"],
            "module_quant_configs": {pattern: {"num_bits": bits} for pattern, bits in BITS[model].items()}}
        path = tmp_path_factory.mktemp("config") / "config.json"
        path.write_text(json.dumps(raw), encoding="utf-8")
        return plan_model(open_checkpoint(path), quant, None)

    return planned


def packed_bytes(rows: int, columns: int, bits: int, scales_a_row: int = 1) -> int:
    """Values in their own bits, and float32 scales. No padding at these sizes."""
    return rows * columns * bits // 8 + 4 * rows * scales_a_row


def matrix_bytes(model: str) -> tuple[int, int]:
    """Bytes of the matrices that one decoded token reads, and of all of them."""
    config = json.loads(config_path(model).read_text(encoding="utf-8"))["text_config"]
    hidden, vocabulary, per_layer, heads = (config[key] for key in ("hidden_size", "vocab_size", "hidden_size_per_layer_input", "num_attention_heads"))
    kinds = config["layer_types"]
    layers = len(kinds)
    total = 0
    for layer, kind in enumerate(kinds):
        size = 512 if kind == GLOBAL else 256
        owns_kv = layer < layers - config["num_kv_shared_layers"]
        wide = config["intermediate_size"] * (1 if owns_kv or not config["use_double_wide_mlp"] else 2)
        narrow = 2 if model == "gemma-4-e2b" and layer >= 15 else 4
        total += packed_bytes(heads * size, hidden, 4) + packed_bytes(hidden, heads * size, 4)
        total += 2 * packed_bytes(config["num_key_value_heads"] * size, hidden, 4) if owns_kv else 0
        total += 2 * packed_bytes(wide, hidden, narrow) + packed_bytes(hidden, wide, narrow)
        total += packed_bytes(per_layer, hidden, 8) + packed_bytes(hidden, per_layer, 8)
    packed = layers * per_layer
    total += 2 * packed * hidden + packed_bytes(vocabulary, hidden, 2)  # the context's projection is bfloat16; the head
    ple_bits = BITS[model][r"language_model\.embed_tokens_per_layer$"]
    read, held = (packed_bytes(rows, hidden, 2) + packed_bytes(rows, packed, ple_bits, layers) for rows in (1, vocabulary))
    return total + read, total + held


@pytest.mark.parametrize("model", MODELS)
def test_a_decoded_token_reads_each_matrix_in_its_own_bits(plan, model):
    found, (matrices, _) = plan(model)["weight_bytes_per_decoded_token"], matrix_bytes(model)
    # Beside the matrices: norms, turns of the RoPE tables and activation steps, all of them vectors.
    assert matrices < found < matrices * 1.003


def test_e2b_reads_at_most_0_81_gigabytes_a_token(plan):
    assert plan("gemma-4-e2b")["weight_bytes_per_decoded_token"] <= 0.81e9


@pytest.mark.parametrize("model", MODELS)
def test_weights_take_their_own_bits(plan, model):
    found, (_, matrices) = plan(model)["weight_bytes"], matrix_bytes(model)
    assert matrices < found < matrices * 1.003 + 64e6  # RoPE tables of the whole context


@pytest.mark.parametrize("model", MODELS)
def test_rounded_activations_cost_no_launch_and_no_multiplication(plan, model):
    keys = ("launches_per_decoded_token", "macs_per_decoded_token", "macs_per_prompt_token", "kv_bytes")
    assert [plan(model)[key] for key in keys] == [real_plan(model)[key] for key in keys]


@pytest.mark.parametrize("model", MODELS)
def test_layers_of_one_kind_share_their_kernels_whatever_their_steps(plan, model):
    # The head has a table of its own here, but its kernel reads it as that of the unquantized model reads the embedding.
    assert plan(model)["kernels"] == real_plan(model)["kernels"]


def test_a_request_is_followed_for_mobile_checkpoints_too(plan):
    q4 = plan("gemma-4-e2b", "q4")
    assert q4["weight_bytes_per_decoded_token"] == pytest.approx(real_plan("gemma-4-e2b")["weight_bytes_per_decoded_token"], rel=1e-4)
