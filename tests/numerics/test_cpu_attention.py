"""Attention of the CPU, as its two kernels do it one after the other, against its twin, in wasmtime."""
import numpy as np
import pytest

from compiler.cpu_kernels.attention import KEYS, attention_kernel, scatter_step
from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128
from compiler.cpu_kernels.rotate_queries import rotate_queries_kernel
from compiler.kernels import twins
from compiler.kernels.rope import rope_table
from model_defs.rope import Rope
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, sentinels, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.numerics.test_cpu_kv_append import pack_key_lanes

EPS = 1e-6
THETA = 1e4


def result_bound(query_error, rotated, keys, values, position: int, window: int | None, scale: float) -> np.ndarray:
    """Bound of the result, [M, H, D], as tests/numerics/test_kernel_attention_matrix.py derives it, with this kernel's blocks of keys."""
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


def in_cache(values: np.ndarray, slots: int, ring: int | None) -> np.ndarray:
    """[T, G, D] by position -> the cache by slot; NaN where there is none."""
    held = np.full((slots, *values.shape[1:]), np.nan, np.float32)
    for at, value in enumerate(values):
        held[at % (ring or slots)] = value
    return held


def in_ranges(kernel, arrays: dict, total: int, simd: str = RELAXED) -> np.ndarray:
    """Y after three ranges of work items, the last first."""
    cuts = [0, total // 3, total - total // 4, total]
    return run_cpu_kernel(kernel, arrays, list(zip(cuts, cuts[1:]))[::-1], simd)["Y"]


def check(tokens: int, heads: int, kv_heads: int, size: int, position: int = 0, length: int | None = None, slots: int = 64,
          ring: int | None = None, window: int | None = None, scale: float = 1.0, q_norm: bool = True, spread: float = 1.0,
          simd: str = RELAXED) -> np.ndarray:
    """Runs both kernels on random queries and a cache filled by position; compares the rows that count, returns Y [tokens, H, D].

    spread: size of the keys. Slots that hold no key yet and rows beyond the length hold NaN.
    """
    rng = np.random.default_rng(size * 100 + tokens * 10 + heads)
    length = tokens if length is None else length
    end = position + length
    keys, values = normal(rng, end, kv_heads, size) * np.float32(spread), normal(rng, end, kv_heads, size)
    q_offset, width = 8, heads * size
    x = np.full((tokens, q_offset + width + 4), np.nan, np.float32)
    q = normal(rng, length, heads, size)
    x[:length, q_offset : q_offset + width] = q.reshape(length, width)
    gain, frequencies = 1 + normal(rng, size) / 4, Rope("proportional", THETA, fraction=1.0).frequencies(size)
    kernel = rotate_queries_kernel(tokens, heads, size, x.shape[1], q_offset, scale, EPS, q_norm)
    assert (kernel.items, kernel.per_token) == (heads, True)
    arrays = {"X": x, "G": gain, "TABLE": rope_table(frequencies, end + tokens), "STATE_WORDS": state_words(position, length),
              "Y": sentinels(tokens, heads, size)}
    queries = in_ranges(kernel, arrays, heads * length, simd)
    assert (queries[length:] == SENTINEL).all()
    raw = twins.rms_norm(q, EPS) * gain if q_norm else q.astype(np.float64)
    rotated = twins.rotated_queries(q, position, frequencies, EPS, gain if q_norm else None)
    query_error = tolerances.rotated(raw, tolerances.normed(raw) if q_norm else 2 * tolerances.U * np.abs(raw))
    assert_within(queries[:length], scale * rotated, scale * (query_error + 2 * tolerances.U * np.abs(rotated)))

    queries[length:] = np.nan
    kernel = attention_kernel(tokens, heads, kv_heads, size, slots, ring, window)
    assert (kernel.items, kernel.per_token) == (heads * -(-tokens // 4), False)
    arrays |= {"Q": queries, "K": pack_key_lanes(in_cache(keys, slots, ring)), "V": in_cache(values, slots, ring)}
    y = in_ranges(kernel, arrays, kernel.items, simd)
    assert (y[length:] == SENTINEL).all()
    expected, _, _ = twins.attention(rotated, keys, values, position, window, scale)
    assert_within(y[:length], expected, result_bound(query_error, rotated, keys, values, position, window, scale))
    return y


# Heads that fill ranges with one, two and four rows of a KV head, or fewer; sizes of few and of odd numbers of vectors.
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(1, 1, 40), (3, 1, 16), (8, 1, 8), (6, 2, 64), (20, 1, 136), (4, 4, 24)])
@pytest.mark.parametrize("tokens", [1, 5])
def test_attention_is_causal(tokens, heads, kv_heads, size):
    check(tokens, heads, kv_heads, size, position=3)


@pytest.mark.parametrize("simd", [RELAXED, SIMD128])
@pytest.mark.parametrize("tokens", [1, 6])
@pytest.mark.parametrize(("heads", "kv_heads", "size", "window"), [(8, 1, 256, 512), (8, 2, 512, None)])
def test_sizes_of_gemma(tokens, heads, kv_heads, size, window, simd):
    check(tokens, heads, kv_heads, size, position=600, slots=640, window=window, scale=0.25, simd=simd)


# A tile of keys is 32: below, on, and beyond its end, and several of them.
@pytest.mark.parametrize(("position", "slots"), [(30, 32), (31, 32), (32, 64), (300, 320)])
@pytest.mark.parametrize("tokens", [1, 4])
def test_keys_of_several_tiles_share_one_softmax(tokens, position, slots):
    check(tokens, 2, 1, 16, position - tokens + 1, slots=slots, scale=0.25)


@pytest.mark.parametrize(("tokens", "position", "window", "ring"), [
    (5, 3, 10, None), (5, 100, 1, None), (5, 64, 24, 64), (5, 191, 60, 64), (5, 1000, 100, 128), (40, 500, 200, 256), (4, 93, 32, None),
    (1, 40, 10, None), (1, 64, 24, 64), (1, 1000, 100, 128), (1, 100, 1, None)])
def test_a_window_hides_older_keys_in_rings_and_linear_caches(tokens, position, window, ring):
    check(tokens, 2, 1, 16, position, slots=ring or 128, ring=ring, window=window)


def test_the_first_token_of_all_takes_its_own_value():
    y = check(2, 2, 1, 40)
    assert (y[0, 0] == y[0, 1]).all()


def test_queries_can_come_without_a_norm():
    check(5, 3, 1, 16, position=9, q_norm=False, scale=0.25)


@pytest.mark.parametrize("spread", [1e-3, 30.0])
@pytest.mark.parametrize("tokens", [1, 4])
def test_flat_and_peaked_weights_keep_their_precision(tokens, spread):
    check(tokens, 2, 1, 16, position=150, slots=192, spread=spread)


@pytest.mark.parametrize("length", [1, 3, 8, 9, 20])
def test_rows_beyond_the_length_are_left_as_they_were(length):
    check(20, 2, 1, 16, position=20, length=length)


@pytest.mark.parametrize(("window", "ring"), [(None, None), (65, 128)])
def test_a_ring_serves_a_whole_chunk_while_its_last_token_is_already_written(window, ring):
    # window + chunk - 1 slots are the fewest that do.
    check(64, 1, 1, 8, position=200, slots=ring or 320, ring=ring, window=window)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 64])
def test_blocks_are_scattered_but_each_comes_once(count):
    order = [rank * scatter_step(count) % count for rank in range(count)]
    assert sorted(order) == list(range(count))
    if count >= 16:  # no quarter of the order has only early or only late blocks
        assert all(1 / 4 < np.mean(quarter) / count < 3 / 4 for quarter in np.split(np.array(order), 4))


@pytest.mark.parametrize(("window", "ring"), [(None, None), (12, 64)])
def test_tokens_of_one_image_see_each_other(window, ring):
    rng = np.random.default_rng(3)
    position, tokens, length, heads, size, slots = 40, 12, 10, 2, 16, ring or 64
    # Text, an image of four, text, an image that the chunk's end cuts off from what lies behind it.
    numbers = np.array([0, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2])
    keys, values = normal(rng, position + length, 1, size), normal(rng, position + length, 1, size)
    q = normal(rng, tokens, heads, size)
    kernel = attention_kernel(tokens, heads, 1, size, slots, ring, window, blocks=True)
    y = in_ranges(kernel, {"Q": q, "STATE_WORDS": state_words(position, length, blocks=numbers), "K": pack_key_lanes(in_cache(keys, slots, ring)),
                           "V": in_cache(values, slots, ring), "Y": sentinels(tokens, heads, size)}, kernel.items)
    assert (y[length:] == SENTINEL).all()

    own = np.arange(position, position + length)
    at = np.arange(position + length)
    of_key = np.concatenate([np.zeros(position, int), numbers[:length]])
    seen = (at <= own[:, None]) | ((of_key == numbers[:length, None]) & (of_key > 0))
    seen &= own[:, None] - at < (window or 10**9)
    scores = np.where(seen[:, None], np.einsum("mhd,td->mht", q[:length].astype(np.float64), keys[:, 0]), -np.inf)
    p = np.exp(scores - scores.max(2, keepdims=True))
    p /= p.sum(2, keepdims=True)
    expected = np.einsum("mht,td->mhd", p, values[:, 0])
    # As in `result_bound`, with the largest of everything in the place of each.
    worst = (size + 3) * tolerances.U * np.einsum("mhd,td->mht", np.abs(q[:length]).astype(np.float64), np.abs(keys[:, 0])).max()
    relative = worst + tolerances.exponential(np.ptp(scores[np.isfinite(scores)])) + 80 * tolerances.U
    assert_within(y[:length], expected, np.full(expected.shape, 2 * relative * np.abs(values).max()))
