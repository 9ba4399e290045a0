"""The figures of `plan` for the real Gemma 4 models, against arithmetic from their configurations that shares no code with it.

The stored formats are those of docs/artifact.md: q4 is half a byte a weight and a float16 scale for each 32 of a row.
"""
import json
import subprocess
import sys

import pytest
import torch
from transformers import Gemma4Config, Gemma4ForConditionalGeneration

from compiler.errors import GemletError
from compiler.plan_text import format_plan
from compiler.setup.folders import PROJECT
from tests.fixtures.real_configs import REAL_MODELS, config_path, real_plan

GLOBAL = "full_attention"
# The published parameter counts, in billions, with vision and audio towers.
PUBLISHED = {"gemma-4-e2b": 5.10, "gemma-4-e4b": 7.94, "gemma-4-26b-a4b": 25.8, "gemma-4-31b": 31.3}
# Counted when the kernels were last changed on purpose. More of them means that something which only differs in a number
# no longer shares its kernel: look for that number before raising one.
DISTINCT_KERNELS = {"gemma-4-e2b": 47, "gemma-4-e4b": 45, "gemma-4-26b-a4b": 47, "gemma-4-31b": 31}
CHUNK, SLOT_TILE = 256, 64
STATE_BEFORE_TOKENS = 348  # words of the state (docs/artifact.md), in front of the ids
Q4 = 0.5 + 2 / 32


class Arithmetic:
    """A model's figures, worked out from its configuration."""

    def __init__(self, model: str):
        raw = json.loads(config_path(model).read_text(encoding="utf-8"))
        config = self.config = raw["text_config"]
        self.hidden, self.vocabulary, self.kinds = config["hidden_size"], config["vocab_size"], config["layer_types"]
        self.heads, self.per_layer = config["num_attention_heads"], config["hidden_size_per_layer_input"] or 0
        self.experts, self.chosen = config.get("num_experts") or 0, config.get("top_k_experts") or 0
        self.layers = len(self.kinds)
        self.first_shared = self.layers - config["num_kv_shared_layers"]

    def head_size(self, layer: int) -> int:
        return 512 if self.kinds[layer] == GLOBAL else 256

    def kv_heads(self, layer: int) -> int:
        overrides = {int(key): value for key, value in self.config["per_layer_config"].items()}
        return overrides.get(layer, {}).get("num_key_value_heads", self.config["num_key_value_heads"])

    def owns_kv(self, layer: int) -> bool:
        return layer < self.first_shared

    def kv_products(self, layer: int) -> int:
        """K and V; K alone where it is V too; none where they are shared."""
        k_is_v = self.config["attention_k_eq_v"] and self.kinds[layer] == GLOBAL
        return (1 if k_is_v else 2) if self.owns_kv(layer) else 0

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        """(rows, columns) of the dense matrices of a layer; experts apart."""
        q, kv = self.heads * self.head_size(layer), self.kv_heads(layer) * self.head_size(layer)
        wide = 1 if self.owns_kv(layer) or not self.config["use_double_wide_mlp"] else 2
        mlp = wide * self.config["intermediate_size"]
        found = [(q, self.hidden), (self.hidden, q), (mlp, self.hidden), (mlp, self.hidden), (self.hidden, mlp)]
        found += [(kv, self.hidden)] * self.kv_products(layer)
        found += [(self.per_layer, self.hidden), (self.hidden, self.per_layer)] if self.per_layer else []
        return found + ([(self.experts, self.hidden)] if self.experts else [])

    def expert(self) -> int:
        """Weights of one expert: gate, up and down."""
        return 3 * self.hidden * self.config["moe_intermediate_size"] if self.experts else 0

    def dense(self, layer: int) -> int:
        return sum(rows * columns for rows, columns in self.matrices(layer))

    def vectors(self, layer: int) -> int:
        """Norm weights and scalars: five norms with PLE and four without, three more beside experts; Q's and K's; the router's
        scales."""
        norms = 4 + (1 if self.per_layer else 0) + (3 if self.experts else 0)
        per_head = self.head_size(layer) * (2 if self.owns_kv(layer) else 1)
        return norms * self.hidden + per_head + 1 + (self.hidden + self.experts if self.experts else 0)

    def layer_parameters(self, layer: int) -> int:
        return self.dense(layer) + self.experts * self.expert() + self.vectors(layer)

    def own_parameters(self) -> int:
        """What belongs to no layer: the embedding (also the head), the last norm, and PLE's table, projection and norm."""
        packed = self.layers * self.per_layer
        ple = self.vocabulary * packed + packed * self.hidden + self.per_layer
        return self.vocabulary * self.hidden + self.hidden + (ple if self.per_layer else 0)

    def parameters(self) -> int:
        return self.own_parameters() + sum(map(self.layer_parameters, range(self.layers)))

    def decoded_macs(self) -> int:
        """Every matrix once, of the experts only the chosen ones; the head is as large as the embedding."""
        layers = sum(self.dense(layer) + self.chosen * self.expert() for layer in range(self.layers))
        return layers + self.hidden * (self.layers * self.per_layer + self.vocabulary)

    def prompt_macs(self, skip: bool) -> int:
        last = self.first_shared if skip else self.layers
        layers = sum(self.dense(layer) + self.chosen * self.expert() for layer in range(last))
        return layers + self.hidden * self.layers * self.per_layer

    def decoded_matrix_bytes(self) -> float:
        """q4 bytes of what `decoded_macs` multiplies with, and of a row of each table."""
        return Q4 * (self.decoded_macs() + self.hidden + self.layers * self.per_layer)

    def kv_bytes(self, context: int) -> int:
        """float32 K and V: global layers hold the context, sliding ones a ring of the window and a chunk, in tiles of 64."""
        total = 0
        for layer in filter(self.owns_kv, range(self.layers)):
            ring = self.config["sliding_window"] + CHUNK - 1
            slots = context if self.kinds[layer] == GLOBAL else min(context, ring)
            total += 2 * 4 * -(-slots // SLOT_TILE) * SLOT_TILE * self.kv_heads(layer) * self.head_size(layer)
        return total

    def layer_launches(self, layer: int) -> int:
        """Products of Q, K and V, output, gate and up, down, and attention; two products of PLE; of the experts the router and two."""
        return 5 + (2 if self.per_layer else 0) + (3 if self.experts else 0)

    def launches(self) -> int:
        """Beside the layers the embedding, the head and sampling; for PLE its embedding, projection, norm."""
        return sum(map(self.layer_launches, range(self.layers))) + 3 + (3 if self.per_layer else 0)


@pytest.fixture(params=REAL_MODELS)
def model(request) -> str:
    return request.param


def test_parameters_are_those_of_the_configuration_layer_by_layer(model):
    expected = Arithmetic(model)
    assert real_plan(model)["parameters"] == expected.parameters()
    assert [row["parameters"] for row in real_plan(model)["layers"]] == [expected.layer_parameters(i) for i in range(expected.layers)]


def test_parameters_are_the_text_part_of_the_published_count(model):
    config = Gemma4Config.from_dict(json.loads(config_path(model).read_text(encoding="utf-8")))
    with torch.device("meta"):
        whole = Gemma4ForConditionalGeneration(config)
    total = sum(parameter.numel() for parameter in whole.parameters())
    assert total / 1e9 == pytest.approx(PUBLISHED[model], rel=0.005)  # published with three digits
    text = whole.model.language_model
    scalars = sum(buffer.numel() for name, buffer in text.named_buffers() if name.endswith("layer_scalar"))
    assert real_plan(model)["parameters"] == sum(parameter.numel() for parameter in text.parameters()) + scalars


def test_multiply_accumulates_are_those_of_the_configuration(model):
    plan, expected = real_plan(model), Arithmetic(model)
    assert plan["macs_per_decoded_token"] == expected.decoded_macs()
    assert plan["macs_per_prompt_token"] == expected.prompt_macs(skip=True)
    assert plan["macs_per_prompt_token_without_skip"] == expected.prompt_macs(skip=False)


def test_e2b_does_at_least_two_and_a_half_times_fewer_multiply_accumulates_a_prompt_token_with_the_skip():
    plan = real_plan("gemma-4-e2b")
    assert plan["macs_per_prompt_token_without_skip"] >= 2.5 * plan["macs_per_prompt_token"]


def test_a_decoded_token_reads_each_weight_that_it_needs_once(model):
    read, matrices = real_plan(model)["weight_bytes_per_decoded_token"], Arithmetic(model).decoded_matrix_bytes()
    # Beside the matrices: norms, scalars and RoPE rows in float32, and the padding of scales; together below 0.5 %.
    assert matrices < read < 1.005 * matrices


def test_e2b_reads_at_most_1_3_gb_a_decoded_token_in_q4():
    assert real_plan("gemma-4-e2b")["weight_bytes_per_decoded_token"] <= 1.30e9


def test_kv_bytes_are_those_of_the_configuration_at_every_context(model):
    plan, expected = real_plan(model), Arithmetic(model)
    contexts = [4096, 8192, 32768, expected.config["max_position_embeddings"]]
    assert plan["kv_bytes"] == {str(context): expected.kv_bytes(context) for context in contexts}
    by_layer = {context: sum(row["kv_bytes"][context] for row in plan["layers"]) for context in plan["kv_bytes"]}
    assert by_layer == plan["kv_bytes"]


def test_launches_a_decoded_token_are_those_of_the_configuration(model):
    assert real_plan(model)["launches_per_decoded_token"] == Arithmetic(model).launches()


def test_kernels_are_shared_between_layers(model):
    assert real_plan(model)["kernels"] == DISTINCT_KERNELS[model]


def test_kv_sources_are_the_last_own_layer_of_the_kind(model):
    expected = Arithmetic(model)
    for row in real_plan(model)["layers"]:
        own = [layer for layer in range(expected.first_shared) if expected.kinds[layer] == row["kind"] and layer <= row["layer"]]
        assert row["kv_source"] == own[-1]


def test_layers_and_the_rest_add_up_to_the_model(model):
    plan, expected = real_plan(model), Arithmetic(model)
    for key, rest in [("macs_per_decoded_token", expected.hidden * (expected.layers * expected.per_layer + expected.vocabulary)),
                      ("macs_per_prompt_token", expected.hidden * expected.layers * expected.per_layer)]:
        assert sum(row[key] for row in plan["layers"]) + rest == plan[key], key
    assert [row["launches_per_decoded_token"] for row in plan["layers"]] == [expected.layer_launches(i) for i in range(expected.layers)]


def test_bytes_by_quantization_are_those_of_the_formats(model):
    plan, expected = real_plan(model), Arithmetic(model)
    vectors = sum(map(expected.vectors, range(expected.layers))) + expected.hidden + expected.per_layer
    matrices = expected.parameters() - vectors
    # Scales go in pairs and rows in tiles of 32, which pads a few matrices.
    for format, width in {"q4": Q4, "q8": 1 + 2 / 32, "f16": 2, "f32": 4}.items():
        assert plan["bytes_by_quantization"][format] == pytest.approx(width * matrices + 4 * vectors, rel=1e-3), format


@pytest.mark.parametrize("context", [4096, 32768])
def test_gpu_bytes_by_context_are_what_a_program_for_that_context_binds(context):
    planned, compiled = real_plan("gemma-4-e2b"), real_plan("gemma-4-e2b", context=context)
    assert planned["gpu_bytes"][str(context)] == compiled["gpu_bytes"][str(context)]
    assert planned["kv_bytes"][str(context)] == compiled["kv_bytes"][str(context)]


def test_ple_outside_gpu_memory_saves_its_table_but_for_the_rows_of_a_chunk():
    plan, expected = real_plan("gemma-4-e2b"), Arithmetic("gemma-4-e2b")
    row = Q4 * expected.layers * expected.per_layer
    ids = 4 * (STATE_BEFORE_TOKENS + CHUNK)
    inside, outside = (plan["placements"][place]["gpu_bytes"] for place in ("in_gpu_memory", "outside"))
    assert inside == plan["gpu_bytes"]
    saved = (expected.vocabulary - CHUNK) * row - ids
    assert {context: size - outside[context] for context, size in inside.items()} == dict.fromkeys(inside, saved)


@pytest.mark.parametrize("model", ["gemma-4-e2b", "gemma-4-e4b"])
def test_a_table_that_is_split_over_buffers_needs_no_large_binding(model):
    plan, expected = real_plan(model), Arithmetic(model)
    for figures in plan["placements"].values():
        assert figures["largest_binding_bytes"]["4096"] == expected.hidden * expected.vocabulary // 2  # the head's 4-bit values
    assert plan["largest_buffer_bytes"] < 512 * 2**20


def test_only_models_with_ple_have_two_placements(model):
    assert set(real_plan(model)["placements"]) == ({"in_gpu_memory", "outside"} if Arithmetic(model).per_layer else {"in_gpu_memory"})


def test_limits_name_the_longest_context_that_fits(model):
    for figures in real_plan(model)["placements"].values():
        for sizes, longest, unit in [(figures["gpu_bytes"], figures["fits_memory"], {"GiB": 2**30}),
                                     (figures["largest_binding_bytes"], figures["fits_binding"], {"MiB": 2**20, "GiB": 2**30})]:
            for limit, context in longest.items():
                number, name = limit.split()
                fitting = [int(each) for each, size in sizes.items() if size <= int(number) * unit[name]]
                assert context == max(fitting, default=0), limit


def test_the_text_has_a_line_for_each_layer_and_context(model):
    plan = real_plan(model)
    lines = [line.split() for line in format_plan(plan).splitlines() if line.split()]
    assert [line[:2] for line in lines[-len(plan["layers"]):]] == [[str(row["layer"]), row["kind"].removesuffix("_attention")] for row in plan["layers"]]
    for context in plan["gpu_bytes"]:
        assert sum(line[0] == context for line in lines) == len(plan["placements"])


def test_the_command_prints_json_and_draws_a_picture(tmp_path):
    command = [sys.executable, "build.py", "plan", str(config_path("gemma-4-e2b")), "--quant", "q4", "--json", "--svg", str(tmp_path / "layers.svg")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == real_plan("gemma-4-e2b")
    assert (tmp_path / "layers.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_context_beyond_training_is_refused():
    with pytest.raises(GemletError, match="--context 131073; expected 1 to 131072"):
        real_plan("gemma-4-e2b", context=131073)
