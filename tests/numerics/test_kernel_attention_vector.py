"""Attention of one token, in parts, against its twin, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.attention_block import BLOCK
from compiler.kernels.attention_vector import SLOTS_A_SPLIT, OwnKeyValue, attention_vector, splits_for
from compiler.kernels.rope import rope_table
from model_defs.rope import Rope
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, pack_keys, pack_vectors, sentinels, state_words, unpack_keys

# The same sizes give the same kernel, which takes longer to build than to run.
attention_vector = cache(attention_vector)

EPS = 1e-6
THETA = 1e4


def error_bound(raw, rotated, keys, values, key_error, value_error, position: int, window: int | None, scale: float, normed: bool) -> np.ndarray:
    """Bound of the result, [1, H, D]; `raw`: the query before its rotation; key_error, value_error: [T, G, D].

    A weight is off by what its score is off, by its exponential (the rescaling of earlier blocks, and of the parts, multiplies in
    further ones, whose arguments add up to at most twice the distance from the peak) and by its additions; the result is then off by
    at most the weighted mean of these, times |V| in the numerator and times the result in the denominator.
    """
    result, scores, p = twins.attention(rotated, keys, values, position, window, scale)
    group, count, size = raw.shape[1] // keys.shape[1], len(keys), raw.shape[2]
    keys, values, key_error, value_error = (np.repeat(np.abs(held).astype(np.float64), group, axis=1) for held in (keys, values, key_error, value_error))
    query_error = tolerances.rotated(raw, tolerances.normed(raw) if normed else 2 * tolerances.U * np.abs(raw))
    score_error = scale * (np.einsum("mhd,thd->mht", query_error + (size + 3) * tolerances.U * np.abs(rotated), keys)
                           + np.einsum("mhd,thd->mht", np.abs(rotated), key_error))
    distance = np.where(p > 0, scores.max(axis=2, keepdims=True) - np.where(p > 0, scores, 0), 0)
    blocks = -(-count // BLOCK)
    relative = score_error + 2 * tolerances.exponential(distance) + (3 * blocks + 6) * tolerances.ULP + (count + 2 * blocks) * tolerances.U
    in_numerator = np.einsum("mht,thd->mhd", p * relative, values) + np.einsum("mht,thd->mhd", p, value_error)
    in_denominator = (p * relative).sum(axis=2)[:, :, None]
    return in_numerator + np.abs(result) * (in_denominator + 2 * tolerances.DIVISION)


def check(gpu, heads: int, kv_heads: int, size: int, position: int, length: int = 1, slots: int = 64, ring: int | None = None,
          window: int | None = None, scale: float = 1.0, q_norm: bool = True, spread: float = 1.0, own: bool = False, k_norm: bool = True,
          v_norm: bool = True, k_is_v: bool = False) -> np.ndarray:
    """The attention of the token at `position` + `length` - 1 over a cache filled by position; returns it, [H, D].

    own: its key and value are in X, not in the cache; the cache has to hold them afterwards, and else what it held. spread: size
    of the keys. Slots that hold no key yet, or one that the window has left behind, hold NaN.
    """
    rng = np.random.default_rng(size * 100 + heads)
    last = position + length - 1
    keys, values, q = normal(rng, last + 1, kv_heads, size) * np.float32(spread), normal(rng, last + 1, kv_heads, size), normal(rng, 1, heads, size)
    gain, k_gain, frequencies = 1 + normal(rng, size) / 4, 1 + normal(rng, size) / 4, Rope("proportional", THETA, fraction=1.0).frequencies(size)
    held_keys, held_values = (np.full((slots, kv_heads, size), np.nan, np.float32) for _ in range(2))
    for at in range(max(0, last + 1 - (window or last + 1)), last if own else last + 1):
        held_keys[at % (ring or slots)], held_values[at % (ring or slots)] = keys[at], values[at]
    q_offset, kv_width = 8, kv_heads * size
    k_offset = q_offset + heads * size
    v_offset = k_offset if k_is_v else k_offset + kv_width
    x = np.full(v_offset + kv_width + 4, np.nan, np.float32)
    x[q_offset:k_offset] = q.reshape(-1)
    key_error, value_error = np.zeros_like(keys, np.float64), np.zeros_like(values, np.float64)
    keys, values = keys.astype(np.float64), values.astype(np.float64)
    if own:
        k = keys[last:].copy()
        v = k if k_is_v else values[last:].copy()
        x[v_offset : v_offset + kv_width], x[k_offset : k_offset + kv_width] = v.reshape(-1), k.reshape(-1)
        normed = twins.rms_norm(k, EPS) * k_gain if k_norm else k
        keys[last:], values[last:] = twins.rope(normed, last, frequencies), twins.rms_norm(v, EPS) if v_norm else v
        key_error[last:] = tolerances.rotated(normed, tolerances.normed(normed) if k_norm else np.zeros_like(normed))
        value_error[last:] = tolerances.normed(values[last:]) if v_norm else 0
    kernel = attention_vector(heads, kv_heads, size, x.size, q_offset, slots, ring, window, scale, EPS, q_norm,
                              OwnKeyValue(k_offset, v_offset, k_norm, v_norm) if own else None)
    splits = splits_for(slots)
    arrays = {"X": x, "G": pack_vectors(([gain] if q_norm else []) + ([k_gain] if own and k_norm else [])), "TABLE": rope_table(frequencies, last + 1),
              "STATE_WORDS": state_words(position, length), "K": pack_keys(held_keys), "V": held_values,
              "PARTS": sentinels(splits, heads, size), "STATS": sentinels(splits, heads, 2)}
    found = dict(zip(kernel.parameter_names, gpu.run(kernel, *(arrays[name] for name in kernel.parameter_names))))
    if own:
        held_keys[last % (ring or slots)], held_values[last % (ring or slots)] = keys[last], values[last]
        key_bound, value_bound = np.zeros_like(held_keys, np.float64), np.zeros_like(held_values, np.float64)
        key_bound[last % (ring or slots)], value_bound[last % (ring or slots)] = key_error[last] + tolerances.U * np.abs(keys[last]), value_error[last]
        filled = ~np.isnan(held_values[:, 0, 0])
        for name, held, bound in (("K", held_keys, key_bound), ("V", held_values, value_bound)):
            stored = unpack_keys(found[name], slots, kv_heads, size) if name == "K" else found[name].reshape(held.shape)
            assert_within(stored[filled], held[filled], bound[filled])
            assert np.isnan(stored[~filled]).all()
    peaks, masses = np.moveaxis(found["STATS"].reshape(splits, heads, 2).astype(np.float64), 2, 0)
    parts = found["PARTS"].reshape(splits, heads, size).astype(np.float64)
    assert (parts[masses == 0] == SENTINEL).all()
    weights = np.where(masses > 0, np.exp(peaks - peaks.max(axis=0)), 0)
    result = np.einsum("sh,shd->hd", weights, parts) / (weights * masses).sum(axis=0)[:, None]

    raw = twins.rms_norm(q, EPS) * gain if q_norm else q.astype(np.float64)
    rotated = twins.rotated_queries(q, last, frequencies, EPS, gain if q_norm else None)
    expected, _, _ = twins.attention(rotated, keys, values, last, window, scale)
    assert_within(result[None], expected, error_bound(raw, rotated, keys, values, key_error, value_error, last, window, scale, q_norm))
    return result


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(1, 1, 8), (2, 1, 40), (3, 1, 256), (8, 1, 512), (12, 2, 64)])
def test_a_token_sees_all_keys_up_to_its_own(gpu, heads, kv_heads, size, own):
    check(gpu, heads, kv_heads, size, position=6, own=own)


# A block of keys is 64: below, on, and beyond its end; and several splits, some without keys.
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("position", "slots"), [(62, 64), (63, 64), (64, 128), (300, 4 * SLOTS_A_SPLIT), (1000, 8 * SLOTS_A_SPLIT), (70, 64 * SLOTS_A_SPLIT)])
def test_keys_of_several_blocks_and_splits_share_one_softmax(gpu, position, slots, own):
    check(gpu, 2, 1, 16, position, slots=slots, scale=0.25, own=own)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("position", "window", "ring"), [(40, 10, None), (30, 24, 64), (64, 24, 64), (191, 60, 64), (1000, 300, 384), (100, 1, None)])
def test_a_window_hides_older_keys_in_rings_and_linear_caches(gpu, position, window, ring, own):
    check(gpu, 2, 1, 16, position, slots=ring or 128, ring=ring, window=window, own=own)


@pytest.mark.parametrize("own", [False, True])
def test_the_first_token_of_all_takes_its_own_value(gpu, own):
    y = check(gpu, 2, 1, 40, position=0, own=own)
    assert (y[0] == y[1]).all()


@pytest.mark.parametrize(("heads", "kv_heads", "own"), [(4, 2, False), (4, 2, True)])
def test_queries_can_come_without_a_norm(gpu, heads, kv_heads, own):
    check(gpu, heads, kv_heads, 16, position=9, q_norm=False, scale=0.25, own=own)


@pytest.mark.parametrize(("k_norm", "v_norm", "k_is_v"), [(False, False, False), (True, False, False), (False, True, True), (True, True, True)])
def test_own_keys_and_values_are_normed_where_the_model_does_so(gpu, k_norm, v_norm, k_is_v):
    check(gpu, 3, 1, 16, position=9, own=True, k_norm=k_norm, v_norm=v_norm, k_is_v=k_is_v)


@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_flat_and_peaked_weights_keep_their_precision(gpu, spread):
    check(gpu, 2, 1, 16, position=450, slots=512, spread=spread)


@pytest.mark.parametrize("length", [1, 7, 16])
def test_the_last_token_of_a_chunk_attends_in_tail(gpu, length):
    check(gpu, 2, 1, 16, position=50, length=length, slots=64 if length < 14 else 128)
