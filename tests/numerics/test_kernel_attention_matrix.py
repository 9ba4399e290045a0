"""Attention of a chunk, as its two kernels do it one after the other, against its twin, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.attention_matrix import KEYS, ROWS, attention_matrix
from compiler.kernels.rope import rope_table
from compiler.kernels.rotate_queries import rotate_queries_kernel
from model_defs.rope import Rope
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, pack_keys, sentinels, state_words

# The same sizes give the same kernel, which takes longer to build than to run.
attention_matrix = cache(attention_matrix)
rotate_queries_kernel = cache(rotate_queries_kernel)

EPS = 1e-6
THETA = 1e4


def query_bound(raw: np.ndarray, normed: bool) -> np.ndarray:
    """Error of a rotated query, [M, H, D]; `raw`: queries before the rotation."""
    return tolerances.rotated(raw, tolerances.normed(raw) if normed else 2 * tolerances.U * np.abs(raw))


def result_bound(query_error, rotated, keys, values, position: int, window: int | None, scale: float) -> np.ndarray:
    """Bound of the result, [M, H, D].

    A weight is off by what its score is off, by its exponential (the rescaling of earlier blocks multiplies in further
    ones, whose arguments add up to at most the distance from the peak) and by its additions; the result is then off by at
    most the weighted mean of these, times |V| in the numerator and times the result in the denominator.
    """
    result, scores, p = twins.attention(rotated, keys, values, position, window, scale)
    group, count, size = rotated.shape[1] // keys.shape[1], len(keys), rotated.shape[2]
    keys, values = (np.repeat(np.abs(cache).astype(np.float64), group, axis=1) for cache in (keys, values))
    score_error = scale * np.einsum("mhd,thd->mht", query_error + (size + 3) * tolerances.U * np.abs(rotated), keys)
    distance = np.where(p > 0, scores.max(axis=2, keepdims=True) - np.where(p > 0, scores, 0), 0)
    blocks = -(-count // KEYS) + 1
    relative = score_error + tolerances.exponential(distance) + (3 * blocks) * tolerances.ULP + (count + 2 * blocks) * tolerances.U
    in_numerator = np.einsum("mht,thd->mhd", p * relative, values)
    in_denominator = (p * relative).sum(axis=2)[:, :, None]
    return in_numerator + np.abs(result) * (in_denominator + tolerances.DIVISION)


def check(gpu, tokens: int, heads: int, kv_heads: int, size: int, position: int = 0, length: int | None = None, slots: int = 64,
          ring: int | None = None, window: int | None = None, scale: float = 1.0, q_norm: bool = True, spread: float = 1.0) -> np.ndarray:
    """Runs both kernels on random queries and a cache filled by position; compares the rows that count, returns Y [tokens, H, D].

    spread: size of the keys. Slots that hold no key yet and rows beyond the length hold NaN.
    """
    rng = np.random.default_rng(size * 100 + tokens * 10 + heads)
    length = tokens if length is None else length
    end = position + length
    keys, values = normal(rng, end, kv_heads, size) * np.float32(spread), normal(rng, end, kv_heads, size)
    held_keys, held_values = (np.full((slots, kv_heads, size), np.nan, np.float32) for _ in range(2))
    for at in range(end):
        held_keys[at % (ring or slots)], held_values[at % (ring or slots)] = keys[at], values[at]
    q_offset, width = 8, heads * size
    x = np.full((tokens, q_offset + width + 4), np.nan, np.float32)
    q = normal(rng, length, heads, size)
    x[:length, q_offset : q_offset + width] = q.reshape(length, width)
    gain, frequencies = 1 + normal(rng, size) / 4, Rope("proportional", THETA, fraction=1.0).frequencies(size)
    state = state_words(position, length)
    kernel = rotate_queries_kernel(tokens, heads, size, x.shape[1], q_offset, scale, EPS, q_norm)
    queries = gpu.run(kernel, x, *([gain] if q_norm else []), rope_table(frequencies, end + tokens), state, sentinels(tokens * width + 4))[-1]
    assert (queries[length * width :] == SENTINEL).all()
    raw = twins.rms_norm(q, EPS) * gain if q_norm else q.astype(np.float64)
    rotated = twins.rotated_queries(q, position, frequencies, EPS, gain if q_norm else None)
    query_error = query_bound(raw, q_norm)
    assert_within(queries[: length * width].reshape(length, heads, size), scale * rotated, scale * (query_error + 2 * tolerances.U * np.abs(rotated)))

    queries = np.where(np.arange(len(queries)) < length * width, queries, np.float32(np.nan))
    kernel = attention_matrix(tokens, heads, kv_heads, size, slots, ring, window)
    out = gpu.run(kernel, queries[: tokens * width], state, pack_keys(held_keys), held_values, sentinels(tokens * width + 4))[-1]
    assert (out[tokens * width :] == SENTINEL).all()
    y = out[: tokens * width].reshape(tokens, heads, size)
    expected, _, _ = twins.attention(rotated, keys, values, position, window, scale)
    assert_within(y[:length], expected, result_bound(query_error, rotated, keys, values, position, window, scale))
    return y


# Heads beside and beyond a tile of rows; head sizes below, beside and beyond 32 vectors.
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(1, 1, 40), (3, 1, 16), (8, 1, 8), (6, 2, 64), (2, 1, 512), (20, 1, 136)])
def test_a_chunk_is_causal(gpu, heads, kv_heads, size):
    check(gpu, 5, heads, kv_heads, size, position=3)


# A block of keys is 128, from a multiple of 32 on: below, on, and beyond its end, and several of them.
@pytest.mark.parametrize(("position", "slots"), [(126, 128), (127, 128), (128, 256), (300, 320)])
def test_keys_of_several_blocks_share_one_softmax(gpu, position, slots):
    check(gpu, 4, 2, 1, 16, position - 3, slots=slots, scale=0.25)


@pytest.mark.parametrize(("tokens", "position", "window", "ring"), [
    (5, 3, 10, None), (5, 100, 1, None), (5, 64, 24, 64), (5, 191, 60, 64), (5, 1000, 100, 128), (40, 500, 200, 256)])
def test_a_window_hides_older_keys_in_rings_and_linear_caches(gpu, tokens, position, window, ring):
    check(gpu, tokens, 2, 1, 16, position, slots=ring or 128, ring=ring, window=window)


def test_the_first_token_of_all_takes_its_own_value(gpu):
    y = check(gpu, 2, 2, 1, 40)
    assert (y[0, 0] == y[0, 1]).all()


def test_queries_can_come_without_a_norm(gpu):
    check(gpu, 5, 3, 1, 16, position=9, q_norm=False, scale=0.25)


@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_flat_and_peaked_weights_keep_their_precision(gpu, spread):
    check(gpu, 4, 2, 1, 16, position=150, slots=192, spread=spread)


@pytest.mark.parametrize("length", [1, 3, 8, 9])
def test_rows_beyond_the_length_are_skipped_a_tile_at_a_time(gpu, length):
    y = check(gpu, 20, 2, 1, 16, position=20, length=length)
    tile = ROWS // 2  # tokens of a tile, with two heads each
    assert (y[-(-length // tile) * tile :] == SENTINEL).all()


@pytest.mark.parametrize(("window", "ring"), [(None, None), (65, 128)])
def test_a_ring_serves_a_whole_chunk_while_its_last_token_is_already_written(gpu, window, ring):
    # window + chunk - 1 slots are the fewest that do.
    check(gpu, 64, 1, 1, 8, position=200, slots=ring or 320, ring=ring, window=window)


@pytest.mark.parametrize(("window", "ring"), [(None, None), (12, 64)])
def test_tokens_of_one_image_see_each_other(gpu, window, ring):
    rng = np.random.default_rng(3)
    position, tokens, length, heads, size, slots = 40, 12, 10, 2, 16, ring or 64
    # Text, an image of four, text, an image that the chunk's end cuts off from what lies behind it.
    numbers = np.array([0, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2])
    keys, values = normal(rng, position + length, 1, size), normal(rng, position + length, 1, size)
    held_keys, held_values = (np.full((slots, 1, size), np.nan, np.float32) for _ in range(2))
    for at in range(position + length):
        held_keys[at % slots], held_values[at % slots] = keys[at], values[at]
    q = normal(rng, tokens, heads, size)
    kernel = attention_matrix(tokens, heads, 1, size, slots, ring, window, blocks=True)
    state = state_words(position, length, blocks=numbers)
    y = gpu.run(kernel, q, state, pack_keys(held_keys), held_values, sentinels(tokens, heads, size))[-1]

    own = np.arange(position, position + length)
    at = np.arange(position + length)
    of_key = np.concatenate([np.zeros(position, int), numbers[:length]])
    seen = (at <= own[:, None]) | ((of_key == numbers[:length, None]) & (of_key > 0))
    seen &= own[:, None] - at < (window or 10**9)
    assert (seen.sum(1) > np.minimum(own + 1, window or 10**9)).sum() == 5  # all of an image but its last token see further
    scores = np.where(seen[:, None], np.einsum("mhd,td->mht", q[:length].astype(np.float64), keys[:, 0]), -np.inf)
    p = np.exp(scores - scores.max(2, keepdims=True))
    p /= p.sum(2, keepdims=True)
    expected = np.einsum("mht,td->mhd", p, values[:, 0])
    # As in `result_bound`, with the largest of everything in the place of each.
    worst = (size + 3) * tolerances.U * np.einsum("mhd,td->mht", np.abs(q[:length]).astype(np.float64), np.abs(keys[:, 0])).max()
    relative = worst + tolerances.exponential(np.ptp(scores[np.isfinite(scores)])) + 80 * tolerances.U
    assert_within(y[:length], expected, np.full(expected.shape, 2 * relative * np.abs(values).max()))
