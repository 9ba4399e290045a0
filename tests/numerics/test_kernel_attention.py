"""Attention kernels against their twin, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.attention import THREADS, attention_kernel
from compiler.kernels.rope import rope_frequencies, rope_table
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, pack_keys, sentinels, state_words

# The same sizes give the same kernel, which takes longer to build than to run.
attention_kernel = cache(attention_kernel)

EPS = 1e-6
THETA = 1e4


def error_bound(raw, rotated, keys, values, position: int, window: int | None, scale: float, normed: bool) -> np.ndarray:
    """Bound of the result, [M, H, D]; `raw`: queries before the rotation.

    A weight is off by what its score is off, by its exponential (the rescaling of earlier blocks multiplies in further
    ones, whose arguments add up to at most the distance from the peak) and by its additions; the result is then off by at
    most the weighted mean of these, times |V| in the numerator and times the result in the denominator.
    """
    result, scores, p = twins.attention(rotated, keys, values, position, window, scale)
    group, count, size = raw.shape[1] // keys.shape[1], len(keys), raw.shape[2]
    keys, values = (np.repeat(np.abs(cache).astype(np.float64), group, axis=1) for cache in (keys, values))
    query_error = tolerances.rotated(raw, tolerances.normed(raw) if normed else 2 * tolerances.U * np.abs(raw))
    score_error = scale * np.einsum("mhd,thd->mht", query_error + (size + 3) * tolerances.U * np.abs(rotated), keys)
    distance = np.where(p > 0, scores.max(axis=2, keepdims=True) - np.where(p > 0, scores, 0), 0)
    blocks = -(-count // THREADS)
    relative = score_error + tolerances.exponential(distance) + (3 * blocks) * tolerances.ULP + (count + 2 * blocks) * tolerances.U
    in_numerator = np.einsum("mht,thd->mhd", p * relative, values)
    in_denominator = (p * relative).sum(axis=2)[:, :, None]
    return in_numerator + np.abs(result) * (in_denominator + tolerances.DIVISION)


def check(gpu, tokens: int, heads: int, kv_heads: int, size: int, position: int = 0, length: int | None = None, slots: int = 64,
          ring: int | None = None, window: int | None = None, scale: float = 1.0, q_norm: bool = True, spread: float = 1.0) -> np.ndarray:
    """Runs the kernel on random queries and a cache filled by position; compares the rows that count, returns Y [tokens, H, D].

    spread: size of the keys. Slots that hold no key yet and rows beyond the length hold NaN.
    """
    rng = np.random.default_rng(size * 100 + tokens * 10 + heads)
    length = tokens if length is None else length
    end = position + length
    keys, values = normal(rng, end, kv_heads, size) * np.float32(spread), normal(rng, end, kv_heads, size)
    held_keys, held_values = (np.full((slots, kv_heads, size), np.nan, np.float32) for _ in range(2))
    for at in range(end):
        held_keys[at % (ring or slots)], held_values[at % (ring or slots)] = keys[at], values[at]
    # A step of one token attends for the chunk's last token, whichever that is (`tail`).
    first, rows = (end - 1, 1) if tokens == 1 else (position, length)
    q_offset, width = 8, heads * size
    x = np.full((tokens, q_offset + width + 4), np.nan, np.float32)
    q = normal(rng, rows, heads, size)
    x[:rows, q_offset : q_offset + width] = q.reshape(rows, width)
    gain, frequencies = 1 + normal(rng, size) / 4, rope_frequencies(size, THETA, 1.0)
    kernel = attention_kernel(tokens, heads, kv_heads, size, x.shape[1], q_offset, slots, ring, window, scale, EPS, q_norm)
    arrays = [x, *([gain] if q_norm else []), rope_table(frequencies, end + tokens), state_words(position, length), pack_keys(held_keys),
              held_values, sentinels(tokens * width + 4)]
    out = gpu.run(kernel, *arrays)[-1]
    assert (out[tokens * width :] == SENTINEL).all()
    y = out[: tokens * width].reshape(tokens, heads, size)

    raw = twins.rms_norm(q, EPS) * gain if q_norm else q.astype(np.float64)
    rotated = twins.rotated_queries(q, first, frequencies, EPS, gain if q_norm else None)
    expected, _, _ = twins.attention(rotated, keys, values, first, window, scale)
    assert_within(y[:rows], expected, error_bound(raw, rotated, keys, values, first, window, scale, q_norm))
    return y


@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(1, 1, 8), (2, 1, 40), (3, 1, 256), (8, 1, 512), (4, 2, 64)])
def test_a_decoded_token_sees_all_keys_up_to_itself(gpu, heads, kv_heads, size):
    check(gpu, 1, heads, kv_heads, size, position=6)


@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(1, 1, 40), (3, 1, 16), (8, 1, 8), (6, 2, 64)])
def test_a_chunk_is_causal(gpu, heads, kv_heads, size):
    check(gpu, 5, heads, kv_heads, size, position=3)


# A block of keys is 64: below, on, and beyond its end, and several of them.
@pytest.mark.parametrize(("position", "slots"), [(62, 64), (63, 64), (64, 128), (200, 256)])
@pytest.mark.parametrize("tokens", [1, 4])
def test_keys_of_several_blocks_share_one_softmax(gpu, tokens, position, slots):
    check(gpu, tokens, 2, 1, 16, position - tokens + 1, slots=slots, scale=0.25)


@pytest.mark.parametrize(("tokens", "position", "window", "ring"), [
    (5, 3, 10, None), (1, 40, 10, None), (5, 100, 1, None), (1, 30, 24, 64), (5, 64, 24, 64), (1, 191, 60, 64), (5, 191, 60, 64),
    (5, 1000, 100, 128)])
def test_a_window_hides_older_keys_in_rings_and_linear_caches(gpu, tokens, position, window, ring):
    check(gpu, tokens, 2, 1, 16, position, slots=ring or 128, ring=ring, window=window)


def test_the_first_token_of_all_takes_its_own_value(gpu):
    y = check(gpu, 1, 2, 1, 40)
    assert (y[0, 0] == y[0, 1]).all()


@pytest.mark.parametrize(("tokens", "heads", "kv_heads"), [(1, 4, 2), (5, 3, 1)])
def test_queries_can_come_without_a_norm(gpu, tokens, heads, kv_heads):
    check(gpu, tokens, heads, kv_heads, 16, position=9, q_norm=False, scale=0.25)


@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_flat_and_peaked_weights_keep_their_precision(gpu, spread):
    check(gpu, 4, 2, 1, 16, position=150, slots=192, spread=spread)


@pytest.mark.parametrize("length", [1, 3, 8])
def test_rows_beyond_the_length_are_skipped_a_tile_at_a_time(gpu, length):
    y = check(gpu, 9, 2, 1, 16, position=20, length=length)
    # A tile holds four rows: two tokens of two heads.
    assert (y[length + length % 2 :] == SENTINEL).all()


@pytest.mark.parametrize("length", [1, 7, 16])
def test_a_step_of_one_token_takes_the_last_token_of_the_chunk(gpu, length):
    check(gpu, 1, 2, 1, 16, position=50, length=length, slots=64 if length < 14 else 128)


@pytest.mark.parametrize(("window", "ring"), [(None, None), (65, 128)])
def test_a_ring_serves_a_whole_chunk_while_its_last_token_is_already_written(gpu, window, ring):
    # window + chunk - 1 slots are the fewest that do.
    check(gpu, 64, 1, 1, 8, position=200, slots=ring or 320, ring=ring, window=window)
