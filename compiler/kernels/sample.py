"""Sampling without sorting, in one launch: a threshold, an argmax under noise, then the state moves on.

Top-k, top-p and min-p all keep the tokens whose logit is at least some threshold. It is found exactly by bisection over
the ordered bits of a float32; ties with the last kept token stay, as in the reference. Drawing from the softmax of what is
left is the argmax of logit / temperature + Gumbel noise (Gumbel 1954), so no sum over the vocabulary is needed. The noise
hashes (seed, position, token), so the same seed gives the same tokens however the steps are cut. The largest logit of each
block comes with the logits, so that whole blocks are passed over.
"""
from tvm.script import tirx as T

from ..state import MAX_STOP_TOKENS, OUTPUT_RING, STATE
from .kernel import MAX_SHARED_BYTES, Kernel, Parameter, ceil_div, exact

THREADS = 256
# A reduction has two steps: 16 threads take 16 values each, then every thread takes their 16 results.
SIDE = 16
# Neighbouring threads that read a block together, 32 bytes at a time, while the other teams read other blocks.
TEAM = 8
TEAMS = THREADS // TEAM
LOWEST = -3.0e38
# Noise of 23 bits lies between -2.82 and 16.64: a token this many temperatures below the peak never wins.
NOISE_SPREAD = 20.0
# What a launch does, as bits of one word.
DRAWS, CUTS_TOP_K, CUTS_TOP_P = 1, 2, 4


def ordered(x):
    """int32 that sorts as the float32 x does."""
    return flip(T.reinterpret("int32", x))


def unordered(bits):
    """Inverse of `ordered`."""
    return T.reinterpret("float32", flip(bits))


def flip(bits):
    return T.bitwise_xor(bits, T.bitwise_and(T.shift_right(bits, 31), T.int32(0x7FFFFFFF)))


def parameter(state, name: str):
    """A sampling parameter that the state keeps as float32 bits."""
    return T.reinterpret("float32", state[STATE[name]])


def uniform_load(words):
    """words[0] of workgroup memory, after a barrier. WGSL lets a barrier stand behind a branch only where it sees that all
    threads take the same one, and a buffer that is written, as the state is here, tells it nothing."""
    return T.call_extern("int32", "workgroupUniformLoad", T.call_pure_extern("int32", "&", words[0]))


@T.inline
def add_up(values, tx, amount, total):
    """total[0] = the sum of every thread's `amount`. values: float32[THREADS + SIDE] of workgroup memory."""
    # What the second step reads lies apart, so that one reduction may follow another without a barrier between them.
    values[tx] = amount
    T.tvm_storage_sync("shared")
    if tx < SIDE:
        part: T.float32 = T.float32(0)
        for i in T.serial(SIDE):
            part = part + values[i * SIDE + tx]
        values[THREADS + tx] = part
    T.tvm_storage_sync("shared")
    total[0] = T.float32(0)
    for i in T.serial(SIDE):
        total[0] = total[0] + values[THREADS + i]


@T.inline
def take_better(value, index, best, token):
    """The candidate becomes the best so far where it is better; of equal values the lower index wins, as in argmax."""
    candidate: T.float32 = value
    if T.Or(candidate > best[0], T.And(candidate == best[0], index < token[0])):
        best[0] = candidate
        token[0] = index


@T.inline
def reduce_best(values, indices, tx, best, token):
    """Workgroup argmax: best[0] and token[0] of every thread become the winner's. Memory as in `add_up`."""
    values[tx] = best[0]
    indices[tx] = token[0]
    T.tvm_storage_sync("shared")
    if tx < SIDE:
        for i in T.serial(SIDE):
            take_better(values[i * SIDE + tx], indices[i * SIDE + tx], best, token)
        values[THREADS + tx] = best[0]
        indices[THREADS + tx] = token[0]
    T.tvm_storage_sync("shared")
    for i in T.serial(SIDE):
        take_better(values[THREADS + i], indices[THREADS + i], best, token)


@T.inline
def hash_with(key, word):
    """key[0] = a 32-bit permutation with good avalanche of key[0] + word (PCG's RXS-M-XS output, Jarzynski and Olano 2020)."""
    mixed: T.uint32 = (key[0] + word) * T.uint32(747796405) + T.uint32(2891336453)
    mixed = T.bitwise_xor(T.shift_right(mixed, T.shift_right(mixed, T.uint32(28)) + T.uint32(4)), mixed) * T.uint32(277803737)
    key[0] = T.bitwise_xor(T.shift_right(mixed, T.uint32(22)), mixed)


@T.inline
def gumbel_noise(STATE_WORDS, index, out):
    # Exponential noise -log(1 - v), by its series where 1 - v would lose v's digits.
    key = T.alloc_buffer((1,), "uint32", scope="local")
    key[0] = T.uint32(0)
    hash_with(key, T.reinterpret("uint32", STATE_WORDS[STATE["seed"]]))
    hash_with(key, T.reinterpret("uint32", STATE_WORDS[STATE["position"]] + STATE_WORDS[STATE["length"]]))
    hash_with(key, T.reinterpret("uint32", index))
    v: T.float32 = (T.Cast("float32", T.shift_right(key[0], T.uint32(9))) + T.float32(0.5)) * exact(2.0**-23)
    small: T.float32 = v * (T.float32(1) + v * (T.float32(0.5) + v * exact(1 / 3)))
    out[0] = T.float32(0) - T.log(T.Select(v < T.float32(0.01), small, T.float32(0) - T.log(T.float32(1) - v)))


@T.inline
def advance(STATE_WORDS, token):
    """Moves the state on (docs/artifact.md, "State words")."""
    STATE_WORDS[STATE["output"] + T.truncmod(STATE_WORDS[STATE["generated"]], OUTPUT_RING)] = token
    STATE_WORDS[STATE["generated"]] = STATE_WORDS[STATE["generated"]] + 1
    STATE_WORDS[STATE["tokens"]] = token
    STATE_WORDS[STATE["position"]] = STATE_WORDS[STATE["position"]] + STATE_WORDS[STATE["length"]]
    STATE_WORDS[STATE["length"]] = 1
    for i in T.serial(MAX_STOP_TOKENS):
        if i < STATE_WORDS[STATE["stop_count"]] and STATE_WORDS[STATE["stop"] + i] == token:
            STATE_WORDS[STATE["finished"]] = 1


def sample_kernel(vocabulary: int, block: int) -> Kernel:
    """Draws a token from LOGITS float32[V] by the state's sampling parameters and moves STATE_WORDS on.

    PEAKS: float32[ceil(V / block)], the largest logit of each `block` consecutive ones; block is a multiple of 8.
    One workgroup. At temperature 0 it reads the peaks and one block; else, a few dozen times, the blocks in which a logit
    may matter. Without a logit of at least -3e38 the token is V.
    """
    blocks = ceil_div(vocabulary, block)
    preloaded = 4 * blocks <= MAX_SHARED_BYTES // 2
    name = f"sample_v{vocabulary}_b{block}"

    @T.inline
    def weigh(LOGITS, peaks, tx, lowest, peak, temperature, weighted, amount):
        # amount[0] = how many of this thread's logits are at least `lowest`, or what they weigh.
        amount[0] = T.float32(0)
        for step in T.serial(ceil_div(blocks, TEAMS)):
            at: T.int32 = step * TEAMS + T.truncdiv(tx, TEAM)
            if at < blocks:
                if peaks[at] >= lowest:
                    for i in T.serial(block // TEAM):
                        index: T.int32 = at * block + i * TEAM + T.truncmod(tx, TEAM)
                        if index < vocabulary:
                            logit: T.float32 = LOGITS[index]
                            if logit >= lowest:
                                if weighted:
                                    amount[0] = amount[0] + T.exp((logit - peak) / temperature)
                                else:
                                    amount[0] = amount[0] + T.float32(1)

    @T.inline
    def raise_threshold(LOGITS, peaks, values, tx, low, peak, temperature, cuts, top_k, top_p):
        # low[0] = the largest t whose kept tokens number at least top_k, then of those that weigh at least top_p of them all.
        amount = T.alloc_buffer((1,), "float32", scope="local")
        wanted = T.alloc_buffer((1,), "float32", scope="local")
        high = T.alloc_buffer((1,), "int32", scope="local")
        for cut in T.serial(2):
            if T.bitwise_and(T.shift_right(cuts, cut), CUTS_TOP_K) != 0:
                # True of `low` and false of `high` throughout. What `low` itself keeps is asked first; then a block's peak, since
                # it splits logits better than the middle of a range that holds all the small numbers around zero.
                high[0] = ordered(peak) + 1
                for probe in T.serial(34):
                    middle: T.int32 = T.shift_right(low[0], 1) + T.shift_right(high[0], 1) + T.bitwise_and(T.bitwise_and(low[0], high[0]), 1)
                    if probe == 0:
                        middle = low[0]
                    if probe == 1:
                        middle = T.max(low[0], ordered(peaks[0]))
                    weigh(LOGITS, peaks, tx, unordered(middle), peak, temperature, cut == 1, amount)
                    add_up(values, tx, amount[0], amount)
                    if probe == 0:
                        wanted[0] = T.Select(cut == 0, T.Cast("float32", top_k), top_p * amount[0])
                    if amount[0] >= wanted[0]:
                        low[0] = T.max(low[0], middle)
                    else:
                        high[0] = T.min(high[0], middle)

    @T.inline
    def sample(LOGITS, peaks, STATE_WORDS, tx):
        values = T.alloc_buffer((THREADS + SIDE,), "float32", scope="shared")
        indices = T.alloc_buffer((THREADS + SIDE,), "int32", scope="shared")
        best = T.alloc_buffer((1,), "float32", scope="local")
        token = T.alloc_buffer((1,), "int32", scope="local")
        amount = T.alloc_buffer((1,), "float32", scope="local")
        low = T.alloc_buffer((1,), "int32", scope="local")
        work = T.alloc_buffer((1,), "int32", scope="local")
        temperature: T.float32 = parameter(STATE_WORDS, "temperature")
        top_k: T.int32 = STATE_WORDS[STATE["top_k"]]
        top_p: T.float32 = parameter(STATE_WORDS, "top_p")
        min_p: T.float32 = parameter(STATE_WORDS, "min_p")
        if tx == 0:
            indices[0] = T.Select(temperature > T.float32(0), DRAWS + T.Select(top_k > 0 and top_k < vocabulary, CUTS_TOP_K, 0)
                                  + T.Select(top_p < T.float32(1), CUTS_TOP_P, 0), 0)
        work[0] = uniform_load(indices)
        best[0] = T.float32(LOWEST)
        token[0] = blocks
        for i in T.serial(T.truncdiv(blocks - tx + THREADS - 1, THREADS)):
            take_better(peaks[i * THREADS + tx], i * THREADS + tx, best, token)
        reduce_best(values, indices, tx, best, token)
        peak: T.float32 = best[0]
        top: T.int32 = token[0]
        best[0] = T.float32(LOWEST)
        token[0] = vocabulary
        if T.bitwise_and(work[0], DRAWS) == 0:
            for i in T.serial(ceil_div(block, THREADS)):
                index: T.int32 = top * block + i * THREADS + tx
                if i * THREADS + tx < block and index < vocabulary:
                    take_better(LOGITS[index], index, best, token)
        else:
            low[0] = ordered(T.float32(LOWEST))
            raise_threshold(LOGITS, peaks, values, tx, low, peak, temperature, work[0], top_k, top_p)
            threshold: T.float32 = T.max(unordered(low[0]), peak - temperature * T.float32(NOISE_SPREAD))
            if min_p > T.float32(0):
                # Not above the peak: WGSL's log(1) may be a little more than 0.
                threshold = T.max(threshold, T.min(peak, peak + temperature * T.log(min_p)))
            for step in T.serial(ceil_div(blocks, TEAMS)):
                at: T.int32 = step * TEAMS + T.truncdiv(tx, TEAM)
                if at < blocks:
                    if peaks[at] >= threshold:
                        for i in T.serial(block // TEAM):
                            index: T.int32 = at * block + i * TEAM + T.truncmod(tx, TEAM)
                            if index < vocabulary:
                                logit: T.float32 = LOGITS[index]
                                if logit >= threshold:
                                    gumbel_noise(STATE_WORDS, index, amount)
                                    take_better(logit / temperature + amount[0], index, best, token)
        reduce_best(values, indices, tx, best, token)
        if tx == 0:
            advance(STATE_WORDS, token[0])

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), PEAKS: T.Buffer((blocks,), "float32"),
             STATE_WORDS: T.Buffer((STATE["tokens"] + 1,), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for workgroup in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                if preloaded:
                    peaks = T.alloc_buffer((blocks,), "float32", scope="shared")
                    for i in T.serial(T.truncdiv(blocks - tx + THREADS - 1, THREADS)):
                        peaks[i * THREADS + tx] = PEAKS[i * THREADS + tx]
                    sample(LOGITS, peaks, STATE_WORDS, tx)
                else:
                    sample(LOGITS, PEAKS, STATE_WORDS, tx)

    return Kernel(name, func, (1, 1), (Parameter("LOGITS", bytes_moved=4 * vocabulary), Parameter("PEAKS", bytes_moved=4 * blocks), Parameter("STATE_WORDS", written=True, bytes_moved=48)))
