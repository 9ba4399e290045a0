"""m2, m4 and m8 keep the numbers of mobile checkpoints bit for bit, and lay them out as docs/artifact.md says."""
import numpy as np
import pytest
import torch
from transformers import GemmaQuantizationConfig
from transformers.integrations.gemma_quant import QuantizedEmbedding, QuantizedLinear, replace_with_quant_layers

from compiler.checkpoint.mobile import MobileQuantization
from compiler.quantize import format_named
from compiler.quantize.choose import choose_format
from compiler.quantize.matrix import EncodedMatrix, decode_matrix
from compiler.weights import Weight, plan_rounding
from tests.fixtures.mobile_tensors import dequantized, mobile_tensor, packed, random_values

BITS = (2, 4, 8)


def random_scales(rows: int, count: int) -> np.ndarray:
    """float32 of all sizes, some negative, none a float16."""
    rng = np.random.default_rng(rows)
    return (10.0 ** rng.uniform(-6, 2, (rows, count)) * rng.choice([-1, 1], (rows, count))).astype(np.float32)


def round_trip(tensors, name: str) -> np.ndarray:
    matrix = EncodedMatrix(tensors, name)
    data = b"".join(chunk.tobytes() for chunk in matrix.data())
    scales = matrix.scales().tobytes()
    assert (len(data), len(scales)) == format_named(name).bytes(matrix.rows, matrix.columns)
    return decode_matrix(data, scales, name, matrix.rows, matrix.columns)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (33, 100), (70, 192)])
def test_a_row_scaled_tensor_is_kept_bit_for_bit(tmp_path, bits, rows, columns):
    values, scales = random_values(bits, rows, columns), random_scales(rows, 1)
    tensor = mobile_tensor(tmp_path, values, bits, scales)
    expected = dequantized(values, scales)
    np.testing.assert_array_equal(tensor.values(), expected)
    np.testing.assert_array_equal(round_trip([tensor], f"m{bits}"), expected)


@pytest.mark.parametrize(("bits", "block"), [(2, 64), (4, 32), (4, 96), (8, 32)])
def test_a_block_scaled_tensor_is_kept_bit_for_bit(tmp_path, bits, block):
    values, scales = random_values(bits, 70, 3 * block), random_scales(70, 3)
    tensor = mobile_tensor(tmp_path, values, bits, scales)
    expected = dequantized(values, scales)
    np.testing.assert_array_equal(tensor.rows(5, 37), expected[5:37])
    np.testing.assert_array_equal(round_trip([tensor], f"m{bits}_{block}"), expected)


def test_narrower_rows_keep_their_values_in_a_wider_format(tmp_path):
    parts = [(random_values(bits, rows, 72, rows), random_scales(rows, 1), bits) for bits, rows in ((2, 40), (8, 3), (4, 29))]
    tensors = [mobile_tensor(tmp_path, values, bits, scales, f"part{bits}") for values, scales, bits in parts]
    expected = np.concatenate([dequantized(values, scales) for values, scales, _ in parts])
    np.testing.assert_array_equal(round_trip(tensors, "m8"), expected)


@pytest.mark.parametrize("bits", BITS)
def test_tensors_read_what_the_reference_computes_with(tmp_path, bits):
    values, scales, blocks = random_values(bits, 6, 64), random_scales(6, 1), random_scales(6, 2)
    storage = torch.from_numpy(packed(values, bits).copy())
    linear, table = QuantizedLinear(64, 6, num_bits=bits), QuantizedEmbedding(6, 64, torch.float32, num_bits=bits)
    linear.weight.data, linear.weight_scale.data = storage.view(torch.int8) if bits == 8 else storage, torch.from_numpy(scales)
    table.embedding_quantized.data, table.embedding_scale.data = linear.weight.data, torch.from_numpy(blocks)
    np.testing.assert_array_equal(mobile_tensor(tmp_path, values, bits, scales).values(), linear._dequantize_weights().detach().numpy())
    np.testing.assert_array_equal(mobile_tensor(tmp_path, values, bits, blocks).values(), table.weight.detach().numpy())


def one_unit(bits: int, columns: dict[int, int]) -> np.ndarray:
    """The 16 bytes of a unit whose values are 0 but for those."""
    q = np.zeros((1, 1024 // bits // 8), np.int8)
    for column, value in columns.items():
        q[0, column] = value
    raw = np.concatenate([np.ones((1, 1), "<f4").view(np.uint8), packed(q, bits)], axis=1)
    units, scales = format_named(f"m{bits}").encode_raw[f"MOBILE_INT{bits}"](raw)
    assert scales.tolist() == [[1]]
    return units[0]


def test_m2_puts_four_values_16_apart_into_a_byte():
    expected = np.full(16, 0b10101010, np.uint8)
    expected[3] = (1 + 2) | (-2 + 2) << 2 | (-1 + 2) << 4 | (0 + 2) << 6
    np.testing.assert_array_equal(one_unit(2, {3: 1, 19: -2, 35: -1, 51: 0})[:16], expected)


def test_m4_puts_value_j_low_and_value_j_plus_16_high():
    expected = np.full(16, 0x88, np.uint8)
    expected[3] = (7 + 8) << 4 | (-8 + 8)
    np.testing.assert_array_equal(one_unit(4, {3: -8, 19: 7})[:16], expected)


def test_m8_is_int8_as_it_stands():
    assert one_unit(8, {0: -128, 5: 127}).view(np.int8)[:16].tolist() == [-128, 0, 0, 0, 0, 127] + [0] * 10


@pytest.mark.parametrize("bits", BITS)
def test_encoding_floats_is_within_half_a_step_and_a_step_at_the_end_that_the_grid_lacks(bits):
    values = np.random.default_rng(0).standard_normal((9, 192), np.float32)
    weight_format = format_named(f"m{bits}")
    units, scales = weight_format.encode(values)
    steps = np.abs(weight_format.decode(units, scales) - values) / np.abs(scales)
    lacking = values / scales > (1 << bits - 1) - 0.5
    assert steps[~lacking].max() <= 0.5 + 1e-5 and steps.max() <= 1 + 1e-5
    row = np.arange(9)
    place = np.abs(values).argmax(axis=1)
    np.testing.assert_array_equal(weight_format.decode(units, scales)[row, place], values[row, place])


@pytest.mark.parametrize(("sources", "expected"), [
    (["MOBILE_INT2"], "m2"), (["MOBILE_INT4"] * 3, "m4"), (["MOBILE_INT2", "MOBILE_INT4"], "m4"), (["MOBILE_INT8", "MOBILE_INT2"], "m8"),
    (["MOBILE_INT4_256"], "m4_256"), (["MOBILE_INT2_64", "MOBILE_INT4_64"], "m4_64"),
    (["MOBILE_INT4", "MOBILE_INT4_64"], "f32"), (["MOBILE_INT4", "BF16"], "f32"), (["MOBILE_INT8", "Q8_0"], "f32")])
def test_auto_keeps_the_bits_and_widens_mixtures_without_loss(sources, expected):
    assert choose_format(sources, "auto") == expected == choose_format(sources[::-1], "auto")


def test_activation_steps_are_a_table_of_first_row_input_and_output(tmp_path):
    steps = [(0.5, 0.25), (0.5, 0.0), (0.5, 2.0)]
    tensors = tuple(mobile_tensor(tmp_path, random_values(4, rows, 32), 4, random_scales(rows, 1), f"part{rows}", pair)
                    for rows, pair in zip((40, 7, 9), steps))
    rounding = plan_rounding(tensors, [])
    assert (rounding.parts, rounding.one_input) == (3, True)
    weight = Weight("qkv", (56, 32), "m4", tensors, rounding)
    assert weight.steps().tolist() == [0, 0.5, 0.25, 40, 0.5, 0, 47, 0.5, 2]
    assert {buffer.name: buffer.bytes for buffer in weight.buffers()} == {"qkv.data": 64 * 16, "qkv.scale": 64 * 4, "qkv.steps": 36}


def test_merged_matrices_with_inputs_of_their_own_say_so_and_those_without_steps_do_not_round(tmp_path):
    def tensors(*steps):
        return tuple(mobile_tensor(tmp_path, random_values(2, 4, 32), 2, random_scales(4, 1), f"part{i}", pair) for i, pair in enumerate(steps))

    assert not plan_rounding(tensors((0.5, 0.0), (0.25, 0.0)), []).one_input
    assert plan_rounding(tensors((None, None), (0.0, 0.0)), []) is None


@pytest.mark.parametrize(("overrides", "expected"), [
    ([(r"down_proj$", 8), (r"layers\.1\.", 2)], 2),  # found further left, though it comes later in the config
    ([(r"layers\.1\.", 2), (r"down_proj$", 8)], 2),
    ([(r"layers\.", 8), (r"layers\.1\.", 2)], 8),  # found at the same place: the first
    ([(r"up_proj$", 8)], 4)])
def test_overlapping_patterns_give_the_bits_that_transformers_takes(overrides, expected):
    name = "model.layers.1.mlp.down_proj"
    assert MobileQuantization("config.json", "model.", 4, True, tuple(overrides), ()).bits(name) == expected
    model = torch.nn.Linear(8, 8, bias=False)
    for part in reversed(name.split(".")):
        model = torch.nn.ModuleDict({part: model})
    config = GemmaQuantizationConfig(4, True, {pattern: {"num_bits": bits} for pattern, bits in overrides}, [])
    replace_with_quant_layers(model, config, [])
    assert model.get_submodule(name).num_bits == expected
