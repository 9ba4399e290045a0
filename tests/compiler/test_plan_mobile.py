"""`plan` of the published mobile checkpoints, from their config.json alone, against arithmetic that shares no code with it."""
import json

import pytest

from tests.fixtures.real_configs import BITS, config_path, mobile_plan, real_plan

GLOBAL = "full_attention"
MODELS = tuple(BITS)


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
def test_a_decoded_token_reads_each_matrix_in_its_own_bits(model):
    found, (matrices, _) = mobile_plan(model)["weight_bytes_per_decoded_token"], matrix_bytes(model)
    # Beside the matrices: norms, turns of the RoPE tables and activation steps, all of them vectors.
    assert matrices < found < matrices * 1.003


def test_e2b_reads_at_most_0_81_gigabytes_a_token():
    assert mobile_plan("gemma-4-e2b")["weight_bytes_per_decoded_token"] <= 0.81e9


@pytest.mark.parametrize("model", MODELS)
def test_weights_take_their_own_bits(model):
    found, (_, matrices) = mobile_plan(model)["weight_bytes"], matrix_bytes(model)
    assert matrices < found < matrices * 1.003 + 64e6  # RoPE tables of the whole context


@pytest.mark.parametrize("model", MODELS)
def test_rounded_activations_cost_no_launch_and_no_multiplication(model):
    keys = ("launches_per_decoded_token", "macs_per_decoded_token", "macs_per_prompt_token", "kv_bytes")
    assert [mobile_plan(model)[key] for key in keys] == [real_plan(model)[key] for key in keys]


@pytest.mark.parametrize("model", MODELS)
def test_layers_of_one_kind_share_their_kernels_whatever_their_steps(model):
    # The head has a table of its own here, but its kernel reads it as that of the unquantized model reads the embedding.
    assert mobile_plan(model)["kernels"] == real_plan(model)["kernels"]


def test_a_request_is_followed_for_mobile_checkpoints_too():
    q4 = mobile_plan("gemma-4-e2b", "q4")
    assert q4["weight_bytes_per_decoded_token"] == pytest.approx(real_plan("gemma-4-e2b")["weight_bytes_per_decoded_token"], rel=1e-4)
