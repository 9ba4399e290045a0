"""The numpy twin of each kernel: the same mathematics in its plainest form, in float64, without tiles, rings or bisection.

Shapes: M tokens, K columns, N rows of a matrix, H query heads, G KV heads, D head size, V vocabulary. Kernels are compared
with their twins in tests/numerics.
"""
import math

import numpy as np

from ..state import MAX_STOP_TOKENS, OUTPUT_RING, STATE
from .adjust import MASKED_OUT
from .packed_tile import INTEGERS
from .sample import LOWEST
from .staged_form import SMALLEST


def gelu(x: np.ndarray) -> np.ndarray:
    """`gelu_pytorch_tanh`, of any shape."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rms_norm(x: np.ndarray, eps: float) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) over the last axis."""
    x = np.asarray(x, np.float64)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def linear(x: np.ndarray, weight: np.ndarray, norm_weight: np.ndarray | None = None, eps: float = 0.0, epilogue: str = "none",
           cap: float = 0.0, other: np.ndarray | None = None, input_steps: np.ndarray | None = None,
           output_steps: np.ndarray | None = None) -> np.ndarray:
    """[M, K] and [N, K] -> epilogue(norm(x) weight^T), [M, N]; `gated` halves N. other: [M, N], for `gated_by`.

    input_steps, output_steps: [N], what each row of the weight rounds x and its product to (0: not rounded); both or none.
    """
    x = np.asarray(x, np.float64)
    if norm_weight is not None:
        x = rms_norm(x, eps) * norm_weight
    if input_steps is None:
        y = x @ np.asarray(weight, np.float64).T
    else:
        y = np.stack([round_to(x, step) @ row for row, step in zip(np.asarray(weight, np.float64), input_steps)], axis=1)
        y = round_to(y, output_steps)
    if epilogue == "gated":
        gate, up = np.split(y, 2, axis=1)
        return gelu(gate) * up
    if epilogue == "gated_by":
        return gelu(y) * other
    return cap * np.tanh(y / cap) if epilogue == "softcap" else y


def round_to(x: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """x rounded to -128 … 127 steps, halves to even; x itself where the step is 0."""
    size = np.where(np.equal(step, 0), 1, step)
    return np.where(np.equal(step, 0), x, np.clip(np.rint(x / size), -128, 127) * size)


def int8_activations(x: np.ndarray, group: int = 32) -> np.ndarray:
    """float32 [M, K] as the packed products see it: whole multiples, -127 … 127, of the largest magnitude of each `group` columns / 127.

    In float32, operation by operation, so that every rounding falls as it does in the kernel. [M, K], float64.
    """
    groups = np.pad(np.asarray(x, np.float32), ((0, 0), (0, -x.shape[1] % group))).reshape(len(x), -1, group)
    largest = np.abs(groups).max(axis=2, keepdims=True)
    inverse = np.where(largest > np.float32(SMALLEST), np.float32(INTEGERS.largest) / np.maximum(largest, np.float32(SMALLEST)), np.float32(0))
    steps = largest * np.float32(1 / INTEGERS.largest)
    return (np.rint(groups * inverse).astype(np.float64) * steps).reshape(len(x), -1)[:, : x.shape[1]]


def norm(x: np.ndarray, weight: np.ndarray, eps: float, residual: np.ndarray | float = 0.0, input_scale: float = 1.0,
         output_scale: float = 1.0) -> np.ndarray:
    """[M, K], weight [K], residual [M, K] -> [M, K]."""
    return (residual + rms_norm(input_scale * np.asarray(x, np.float64), eps) * weight) * output_scale


def embed(ids: np.ndarray, table: np.ndarray, scale: float) -> np.ndarray:
    """[M] ids, [V, K] -> [M, K]; an id outside the vocabulary is moved to its nearer end."""
    return scale * np.asarray(table, np.float64)[np.clip(ids, 0, len(table) - 1)]


def last_row(x: np.ndarray, length: int) -> np.ndarray:
    """[M, K] -> [K]: the last row that counts."""
    return x[length - 1]


def rope(x: np.ndarray, position: int, frequencies: np.ndarray) -> np.ndarray:
    """[M, heads, D], the first row at `position` -> rotated, [M, heads, D]. frequencies [D / 2]; pairs are (i, i + D / 2)."""
    angles = (position + np.arange(len(x)))[:, None, None] * frequencies.astype(np.float64)
    low, high = np.split(np.asarray(x, np.float64), 2, axis=2)
    return np.concatenate([low * np.cos(angles) - high * np.sin(angles), high * np.cos(angles) + low * np.sin(angles)], axis=2)


def kv_append(keys: np.ndarray, values: np.ndarray, k: np.ndarray, v: np.ndarray, position: int, length: int, frequencies: np.ndarray,
              ring: int | None, eps: float, k_norm_weight: np.ndarray | None, v_norm: bool) -> tuple[np.ndarray, np.ndarray]:
    """Caches [slots, G, D] and a step's k and v [M, G, D] -> the caches after it, float64. k_norm_weight: [D] or None."""
    keys, values = keys.astype(np.float64), values.astype(np.float64)
    if k_norm_weight is not None:
        k = rms_norm(k, eps) * k_norm_weight
    k, v = rope(k, position, frequencies), rms_norm(v, eps) if v_norm else v
    for m in range(length):
        slot = (position + m) % ring if ring else position + m
        keys[slot], values[slot] = k[m], v[m]
    return keys, values


def rotated_queries(q: np.ndarray, position: int, frequencies: np.ndarray, eps: float, q_norm_weight: np.ndarray | None) -> np.ndarray:
    """[M, H, D] -> rope(norm(q)), [M, H, D]. q_norm_weight: [D], or None for no norm."""
    return rope(q if q_norm_weight is None else rms_norm(q, eps) * q_norm_weight, position, frequencies)


def attention(q: np.ndarray, keys: np.ndarray, values: np.ndarray, position: int, window: int | None,
              scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotated queries [M, H, D], the first at `position`; keys and values [T, G, D] of positions 0 ... T - 1.

    Returns the result [M, H, D]; and, for error bounds, scores (-inf where masked) and probabilities, [M, H, T] each.
    """
    group = q.shape[1] // keys.shape[1]
    keys, values = (np.repeat(np.asarray(cache, np.float64), group, axis=1) for cache in (keys, values))
    age = (position + np.arange(len(q)))[:, None] - np.arange(len(keys))
    seen = (age >= 0) & (age < (window or math.inf))
    scores = np.where(seen[:, None], scale * np.einsum("mhd,thd->mht", q, keys), -np.inf)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    probabilities = weights / weights.sum(axis=2, keepdims=True)
    return np.einsum("mht,thd->mhd", probabilities, values), scores, probabilities


def threshold(logits: np.ndarray, temperature: float, top_k: int, top_p: float, min_p: float) -> float:
    """The smallest logit [V] that may be drawn: top-k, then top-p among what is left, then min-p, by sorting."""
    if temperature == 0 or (top_k == 0 and top_p >= 1 and min_p == 0):
        return LOWEST
    ranked = np.sort(np.asarray(logits, np.float64))[::-1]
    lowest = LOWEST
    if 0 < top_k < len(ranked):
        lowest = ranked[top_k - 1]
        ranked = ranked[ranked >= lowest]
    if top_p < 1:
        mass = np.cumsum(np.exp((ranked - ranked[0]) / temperature))
        lowest = ranked[np.argmax(mass >= top_p * mass[-1])]
    return max(lowest, ranked[0] + temperature * math.log(min_p)) if min_p > 0 else lowest


def hash_words(*words: np.ndarray) -> np.ndarray:
    """uint32 arrays (or numbers) of one shape -> their hash, uint32: PCG's RXS-M-XS output over a running sum."""
    key = np.zeros(np.broadcast(*words).shape, np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    for word in words:
        mixed = ((key + np.asarray(word, np.uint64)) * np.uint64(747796405) + np.uint64(2891336453)) & mask
        mixed = ((mixed >> ((mixed >> np.uint64(28)) + np.uint64(4))) ^ mixed) * np.uint64(277803737) & mask
        key = (mixed >> np.uint64(22)) ^ mixed
    return key.astype(np.uint32)


def uniform(bits: np.ndarray) -> np.ndarray:
    """uint32 -> float64 in (0, 1), from the upper 23 bits."""
    return ((bits >> np.uint32(9)).astype(np.float64) + 0.5) * 2.0**-23


def noisy(logits: np.ndarray, temperature: float, seed: int, position: int) -> np.ndarray:
    """[V] -> logits / temperature + Gumbel noise of the token that is drawn for `position`; the logits at temperature 0."""
    if temperature == 0:
        return np.asarray(logits, np.float64)
    noise = -np.log(-np.log1p(-uniform(hash_words(seed, position, np.arange(len(logits))))))
    return np.asarray(logits, np.float64) / temperature + noise


def block_peaks(logits: np.ndarray, block: int) -> np.ndarray:
    """[V] -> the largest of each `block` consecutive logits, [ceil(V / block)], of the same dtype."""
    return np.maximum.reduceat(logits, np.arange(0, len(logits), block))


def adjust(logits: np.ndarray, tokens: np.ndarray, factors: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """[V] -> float64 [V] in which the logit of each of `tokens` is divided by its factor, or multiplied where it is not above 0, and then has its term added."""
    adjusted = np.asarray(logits, np.float64).copy()
    chosen = adjusted[tokens]
    adjusted[tokens] = np.where(chosen > 0, chosen / factors, chosen * factors) + terms
    return adjusted


def mask(logits: np.ndarray, words: np.ndarray) -> np.ndarray:
    """[V] -> [V] of the same dtype: MASKED_OUT for each token whose bit, from the lowest of the first int32 word on, is not set."""
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(logits)]
    return np.where(bits != 0, logits, np.asarray(MASKED_OUT, logits.dtype))


def withhold(logits: np.ndarray, withheld: tuple[tuple[int, int], ...]) -> np.ndarray:
    """[V] -> [V] of the same dtype: MASKED_OUT for each token in one of the ranges (first, end)."""
    found = logits.copy()
    for first, end in withheld:
        found[first:end] = MASKED_OUT
    return found


def choose(logits: np.ndarray, temperature: float, lowest: float, seed: int, position: int) -> int:
    """The token that is drawn for `position` from the logits [V] of at least `lowest`; of equal ones the first."""
    return int(np.argmax(np.where(logits >= lowest, noisy(logits, temperature, seed, position), -np.inf)))


def advance(token: int, state: np.ndarray) -> np.ndarray:
    """State words, int32, after `token` was drawn (docs/artifact.md, "State words")."""
    state = state.copy()
    state[STATE["output"] + state[STATE["generated"]] % OUTPUT_RING] = token
    state[STATE["tokens"]] = token
    state[STATE["position"]] += state[STATE["length"]]
    state[STATE["length"]] = 1
    state[STATE["generated"]] += 1
    stop = state[STATE["stop"] : STATE["stop"] + MAX_STOP_TOKENS][: state[STATE["stop_count"]]]
    state[STATE["finished"]] |= int(token in stop)
    return state


def sample(logits: np.ndarray, state: np.ndarray) -> np.ndarray:
    """State words, int32, after a token was drawn from the logits [V] by the state's sampling parameters."""
    temperature, top_p, min_p = (float(state[STATE[name]].view(np.float32)) for name in ("temperature", "top_p", "min_p"))
    lowest = threshold(logits, temperature, int(state[STATE["top_k"]]), top_p, min_p)
    drawn_for = int(state[STATE["position"]] + state[STATE["length"]])
    return advance(choose(logits, temperature, lowest, int(state[STATE["seed"]].view(np.uint32)), drawn_for), state)
