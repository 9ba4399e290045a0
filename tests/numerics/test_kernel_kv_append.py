"""Kernels that write the KV cache against their twin, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.kv_append import kv_append_kernel
from compiler.kernels.rope import rope_table
from model_defs.rope import Rope
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within, normal, pack_keys, sentinels, state_words, unpack_keys

# The same sizes give the same kernel, which takes longer to build than to run.
kv_append_kernel = cache(kv_append_kernel)

EPS = 1e-6
THETA = 1e4


def check(gpu, tokens: int, heads: int, size: int, position: int, slots: int, length: int | None = None, ring: int | None = None,
          k_norm: bool = True, v_norm: bool = True, k_is_v: bool = False, fraction: float = 1.0, context: int | None = None):
    """Runs the kernel on caches full of sentinels and compares all of both; returns (k [M, heads, size], keys, values)."""
    rng = np.random.default_rng(size * 100 + tokens)
    length = tokens if length is None else length
    width, k_offset = heads * size, 2 * size  # two query heads stand before K
    v_offset = k_offset if k_is_v else k_offset + width
    x = np.full((tokens, v_offset + width + 4), np.nan, np.float32)
    k, v = normal(rng, tokens, heads, size), normal(rng, tokens, heads, size)
    x[:length, v_offset : v_offset + width] = v[:length].reshape(length, width)
    x[:length, k_offset : k_offset + width] = k[:length].reshape(length, width)
    v = k if k_is_v else v
    gain = 1 + normal(rng, size) / 4
    frequencies = Rope("proportional", THETA, fraction=fraction).frequencies(size)
    kernel = kv_append_kernel(tokens, heads, size, x.shape[1], k_offset, v_offset, slots, ring, EPS, k_norm, v_norm)
    table = rope_table(frequencies, context or position + tokens)
    arrays = [x, *([gain] if k_norm else []), table, state_words(position, length), sentinels(slots * width), sentinels(slots, heads, size)]
    keys, values = gpu.run(kernel, *arrays)[-2:]
    keys = unpack_keys(keys, slots, heads, size)

    empty = sentinels(slots, heads, size)
    expected_keys, expected_values = twins.kv_append(empty, empty, k, v, position, length, frequencies, ring, EPS,
                                                     gain if k_norm else None, v_norm)
    # Slots that no row belongs to keep their sentinels, bit for bit.
    key_bound, value_bound = np.zeros_like(expected_keys), np.zeros_like(expected_values)
    normed = twins.rms_norm(k, EPS) * gain if k_norm else k
    rows = np.arange(position, position + length) % (ring or slots)
    key_bound[rows] = tolerances.rotated(normed, tolerances.normed(normed) if k_norm else np.zeros_like(normed))[:length]
    if v_norm:
        value_bound[rows] = tolerances.normed(twins.rms_norm(v, EPS))[:length]
    assert_within(keys, expected_keys, key_bound)
    assert_within(values, expected_values, value_bound)
    return k, keys, values


@pytest.mark.parametrize(("heads", "size"), [(1, 8), (3, 16), (2, 64), (1, 256), (2, 512)])
@pytest.mark.parametrize("tokens", [1, 5])
def test_keys_are_normed_and_rotated_and_values_normed(gpu, heads, size, tokens):
    check(gpu, tokens, heads, size, position=29, slots=64)


@pytest.mark.parametrize(("k_norm", "v_norm"), [(True, False), (False, True), (False, False)])
def test_each_norm_can_be_left_out(gpu, k_norm, v_norm):
    check(gpu, 3, 2, 16, position=5, slots=64, k_norm=k_norm, v_norm=v_norm)


@pytest.mark.parametrize("tokens", [1, 4])
def test_k_serves_as_v_before_its_norm(gpu, tokens):
    check(gpu, tokens, 2, 64, position=3, slots=64, k_is_v=True)


@pytest.mark.parametrize(("tokens", "position"), [(1, 63), (1, 64), (16, 56), (16, 640 + 56), (64, 1)])
def test_a_ring_begins_again_at_its_first_slot(gpu, tokens, position):
    check(gpu, tokens, 2, 16, position, slots=64, ring=64)


@pytest.mark.parametrize(("length", "ring"), [(1, None), (5, None), (15, 64)])
def test_rows_beyond_the_length_write_nothing(gpu, length, ring):
    check(gpu, 16, 2, 16, position=60, slots=128 if ring is None else 64, length=length, ring=ring)


@pytest.mark.parametrize("position", [131071, 65536])
def test_positions_of_a_long_context_keep_their_precision(gpu, position):
    check(gpu, 1, 1, 64, position, slots=64, ring=64, k_norm=False, v_norm=False, context=131072)


def test_frequencies_that_do_not_turn_leave_keys_as_they_are(gpu):
    k, keys, _ = check(gpu, 2, 1, 64, position=777, slots=64, ring=64, k_norm=False, fraction=0.25)
    still = [i for i in range(64) if i % 32 >= 8]
    np.testing.assert_array_equal(keys[[777 % 64, 778 % 64], 0][:, still], k[:, 0][:, still])


def test_keys_lie_in_tiles_of_32_slots_and_units_of_four_values():
    slots, heads, size = 64, 3, 16
    keys = np.arange(slots * heads * size, dtype=np.float32).reshape(slots, heads, size)
    packed = pack_keys(keys)
    for slot, head, d in [(0, 0, 0), (1, 0, 1), (31, 2, 15), (32, 0, 4), (63, 1, 9)]:
        assert packed[(((slot // 32 * heads + head) * (size // 4) + d // 4) * 32 + slot % 32) * 4 + d % 4] == keys[slot, head, d]
    np.testing.assert_array_equal(unpack_keys(packed, slots, heads, size), keys)
