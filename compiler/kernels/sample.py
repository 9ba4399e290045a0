"""Sampling without sorting: a threshold, then an argmax under noise, then the state moves on.

Top-k, top-p and min-p all keep the tokens whose logit is at least some threshold. It is found exactly by bisection over
the ordered bits of a float32; ties with the last kept token stay, as in the reference. Drawing from the softmax of what is
left is the argmax of logit / temperature + Gumbel noise (Gumbel 1954), so no sum over the vocabulary is needed. The noise
hashes (seed, position, token), so the same seed gives the same tokens however the steps are cut.
"""
from tvm.script import tirx as T

from ..state import MAX_STOP_TOKENS, OUTPUT_RING, STATE
from .kernel import Kernel, Parameter, ceil_div, exact

THREADS = 256
LOGITS_A_THREAD = 4
BLOCK = THREADS * LOGITS_A_THREAD
LOWEST = -3.0e38


def ordered(x):
    """int32 that sorts as the float32 x does."""
    bits = T.reinterpret("int32", x)
    return T.bitwise_xor(bits, T.bitwise_and(T.shift_right(bits, 31), T.int32(0x7FFFFFFF)))


def parameter(state, name: str):
    """A sampling parameter that the state keeps as float32 bits."""
    return T.reinterpret("float32", state[STATE[name]])


def threshold_kernel(vocabulary: int) -> Kernel:
    """THRESHOLD[0] = the smallest logit that may be drawn, from LOGITS float32[V] and the state's top_k, top_p, min_p.

    One workgroup: the work is a few dozen passes over the logits, and nothing where all three are off or the
    temperature is 0.
    """
    name = f"sample_threshold_v{vocabulary}"

    @T.inline
    def total_of(partial, tx, value, out):
        T.tvm_storage_sync("shared")
        partial[tx] = value
        T.tvm_storage_sync("shared")
        out[0] = T.float32(0)
        for i in T.serial(THREADS):
            out[0] = out[0] + partial[i]

    @T.inline
    def highest_threshold(LOGITS, partial, tx, low, high, peak, inverse_temperature, target, weighted):
        # The largest t whose kept tokens number (or weigh) at least `target`: true at low, false at high throughout.
        kept = T.alloc_buffer((1,), "float32", scope="local")
        for bit in T.serial(32):
            middle: T.int32 = T.shift_right(low[0], 1) + T.shift_right(high[0], 1) + T.bitwise_and(T.bitwise_and(low[0], high[0]), 1)
            amount: T.float32 = T.float32(0)
            for i in T.serial(T.truncdiv(vocabulary - tx + THREADS - 1, THREADS)):
                logit: T.float32 = LOGITS[i * THREADS + tx]
                if ordered(logit) >= middle:
                    if weighted:
                        amount = amount + T.exp((logit - peak[0]) * inverse_temperature)
                    else:
                        amount = amount + T.float32(1)
            total_of(partial, tx, amount, kept)
            if kept[0] >= target:
                low[0] = T.max(low[0], middle)
            else:
                high[0] = T.min(high[0], middle)

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             THRESHOLD: T.Buffer((1,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                partial = T.alloc_buffer((THREADS,), "float32", scope="shared")
                peak = T.alloc_buffer((1,), "float32", scope="local")
                whole = T.alloc_buffer((1,), "float32", scope="local")
                low = T.alloc_buffer((1,), "int32", scope="local")
                high = T.alloc_buffer((1,), "int32", scope="local")
                threshold: T.float32 = T.float32(LOWEST)
                temperature: T.float32 = parameter(STATE_WORDS, "temperature")
                top_k: T.int32 = STATE_WORDS[STATE["top_k"]]
                top_p: T.float32 = parameter(STATE_WORDS, "top_p")
                min_p: T.float32 = parameter(STATE_WORDS, "min_p")
                if temperature > T.float32(0) and (top_k > 0 or top_p < T.float32(1) or min_p > T.float32(0)):
                    own: T.float32 = T.float32(LOWEST)
                    for i in T.serial(T.truncdiv(vocabulary - tx + THREADS - 1, THREADS)):
                        own = T.max(own, LOGITS[i * THREADS + tx])
                    partial[tx] = own
                    T.tvm_storage_sync("shared")
                    peak[0] = T.float32(LOWEST)
                    for i in T.serial(THREADS):
                        peak[0] = T.max(peak[0], partial[i])
                    low[0] = ordered(T.float32(LOWEST))
                    if top_k > 0 and top_k < vocabulary:
                        high[0] = ordered(peak[0]) + 1
                        highest_threshold(LOGITS, partial, tx, low, high, peak, T.float32(0), T.Cast("float32", top_k), False)
                    if top_p < T.float32(1):
                        mass: T.float32 = T.float32(0)
                        for i in T.serial(T.truncdiv(vocabulary - tx + THREADS - 1, THREADS)):
                            logit: T.float32 = LOGITS[i * THREADS + tx]
                            if ordered(logit) >= low[0]:
                                mass = mass + T.exp((logit - peak[0]) / temperature)
                        total_of(partial, tx, mass, whole)
                        high[0] = ordered(peak[0]) + 1
                        highest_threshold(LOGITS, partial, tx, low, high, peak, T.float32(1) / temperature, top_p * whole[0], True)
                    bits: T.int32 = T.bitwise_xor(low[0], T.bitwise_and(T.shift_right(low[0], 31), T.int32(0x7FFFFFFF)))
                    threshold = T.reinterpret("float32", bits)
                    if min_p > T.float32(0):
                        threshold = T.max(threshold, peak[0] + temperature * T.log(min_p))
                if tx == 0:
                    THRESHOLD[0] = threshold

    return Kernel(name, func, (1, 1), (Parameter("LOGITS"), Parameter("STATE_WORDS", bytes_moved=16), Parameter("THRESHOLD", written=True)))


@T.inline
def hash_with(key, word):
    """key[0] = a 32-bit permutation with good avalanche of key[0] + word (PCG's RXS-M-XS output, Jarzynski and Olano 2020)."""
    mixed: T.uint32 = (key[0] + word) * T.uint32(747796405) + T.uint32(2891336453)
    mixed = T.bitwise_xor(T.shift_right(mixed, T.shift_right(mixed, T.uint32(28)) + T.uint32(4)), mixed) * T.uint32(277803737)
    key[0] = T.bitwise_xor(T.shift_right(mixed, T.uint32(22)), mixed)


def better(value, index, best_value, best_index):
    """Whether a candidate beats the best so far; of equal values the lower token wins, as in argmax."""
    return T.Or(value > best_value, T.And(value == best_value, index < best_index))


@T.inline
def reduce_best(values, indices, tx, best, token):
    """Workgroup argmax: every thread gives best[0] and token[0]; thread 0 has the winner in them afterwards."""
    values[tx] = best[0]
    indices[tx] = token[0]
    T.tvm_storage_sync("shared")
    if tx == 0:
        for i in T.serial(THREADS):
            if better(values[i], indices[i], best[0], token[0]):
                best[0] = values[i]
                token[0] = indices[i]


def choose_kernel(vocabulary: int) -> Kernel:
    """BEST float32[blocks], TOKEN int32[blocks]: the winner of each block of 1024 logits, with Gumbel noise where the
    temperature is above 0; only logits of at least THRESHOLD take part."""
    blocks = ceil_div(vocabulary, BLOCK)
    name = f"sample_choose_v{vocabulary}"

    @T.inline
    def noise(STATE_WORDS, index, out):
        # Exponential noise -log(1 - v), by its series where 1 - v would lose v's digits.
        key = T.alloc_buffer((1,), "uint32", scope="local")
        key[0] = T.uint32(0)
        hash_with(key, T.reinterpret("uint32", STATE_WORDS[STATE["seed"]]))
        hash_with(key, T.reinterpret("uint32", STATE_WORDS[STATE["position"]] + STATE_WORDS[STATE["length"]]))
        hash_with(key, T.reinterpret("uint32", index))
        v: T.float32 = (T.Cast("float32", T.shift_right(key[0], T.uint32(9))) + T.float32(0.5)) * exact(2.0**-23)
        small: T.float32 = v * (T.float32(1) + v * (T.float32(0.5) + v * exact(1 / 3)))
        out[0] = T.float32(0) - T.log(T.Select(v < T.float32(0.01), small, T.float32(0) - T.log(T.float32(1) - v)))

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             THRESHOLD: T.Buffer((1,), "float32"), BEST: T.Buffer((blocks,), "float32"), TOKEN: T.Buffer((blocks,), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                values = T.alloc_buffer((THREADS,), "float32", scope="shared")
                indices = T.alloc_buffer((THREADS,), "int32", scope="shared")
                best = T.alloc_buffer((1,), "float32", scope="local")
                token = T.alloc_buffer((1,), "int32", scope="local")
                gumbel = T.alloc_buffer((1,), "float32", scope="local")
                temperature: T.float32 = parameter(STATE_WORDS, "temperature")
                best[0] = T.float32(LOWEST)
                token[0] = vocabulary
                for i in T.serial(LOGITS_A_THREAD):
                    index: T.int32 = bx * BLOCK + i * THREADS + tx
                    if index < vocabulary:
                        value: T.float32 = LOGITS[index]
                        if value >= THRESHOLD[0]:
                            if temperature > T.float32(0):
                                noise(STATE_WORDS, index, gumbel)
                                value = value / temperature + gumbel[0]
                            if better(value, index, best[0], token[0]):
                                best[0] = value
                                token[0] = index
                reduce_best(values, indices, tx, best, token)
                if tx == 0:
                    BEST[bx] = best[0]
                    TOKEN[bx] = token[0]

    return Kernel(name, func, (blocks, 1), (Parameter("LOGITS"), Parameter("STATE_WORDS", bytes_moved=16), Parameter("THRESHOLD"),
                                            Parameter("BEST", written=True), Parameter("TOKEN", written=True)))


def advance_kernel(vocabulary: int) -> Kernel:
    """Takes the best block's token and moves the state on (docs/artifact.md, "State words")."""
    blocks = ceil_div(vocabulary, BLOCK)
    name = f"sample_advance_v{vocabulary}"

    @T.jit
    def func(BEST: T.Buffer((blocks,), "float32"), TOKEN: T.Buffer((blocks,), "int32"),
             STATE_WORDS: T.Buffer((STATE["tokens"] + 1,), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                values = T.alloc_buffer((THREADS,), "float32", scope="shared")
                indices = T.alloc_buffer((THREADS,), "int32", scope="shared")
                best = T.alloc_buffer((1,), "float32", scope="local")
                token = T.alloc_buffer((1,), "int32", scope="local")
                best[0] = T.float32(LOWEST)
                token[0] = vocabulary
                for i in T.serial(T.truncdiv(blocks - tx + THREADS - 1, THREADS)):
                    if better(BEST[i * THREADS + tx], TOKEN[i * THREADS + tx], best[0], token[0]):
                        best[0] = BEST[i * THREADS + tx]
                        token[0] = TOKEN[i * THREADS + tx]
                reduce_best(values, indices, tx, best, token)
                if tx == 0:
                    STATE_WORDS[STATE["output"] + T.truncmod(STATE_WORDS[STATE["generated"]], OUTPUT_RING)] = token[0]
                    STATE_WORDS[STATE["generated"]] = STATE_WORDS[STATE["generated"]] + 1
                    STATE_WORDS[STATE["tokens"]] = token[0]
                    STATE_WORDS[STATE["position"]] = STATE_WORDS[STATE["position"]] + STATE_WORDS[STATE["length"]]
                    STATE_WORDS[STATE["length"]] = 1
                    for i in T.serial(MAX_STOP_TOKENS):
                        if i < STATE_WORDS[STATE["stop_count"]] and STATE_WORDS[STATE["stop"] + i] == token[0]:
                            STATE_WORDS[STATE["finished"]] = 1

    return Kernel(name, func, (1, 1), (Parameter("BEST"), Parameter("TOKEN"), Parameter("STATE_WORDS", written=True, bytes_moved=32)))
