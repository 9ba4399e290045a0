"""Sampling on the CPU: the rule, the noise and the state of compiler/kernels/sample.py, by one thread.

The threshold is found by the same bisection over ordered bits. As soon as few logits are left above it, they are copied side by side with
their weights, so that what remains of the search reads those alone.
"""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, ceil_div, exact
from ..kernels.sample import LOWEST, NOISE_SPREAD, advance, ordered, parameter, take_better, unordered
from ..state import STATE
from .cpu_kernel import CpuKernel
from .mathematics import exp4, log1

# Logits that are copied, 8 KiB of stack with their weights.
FEW = 1024
# What no threshold lets through.
BELOW = -3.2e38
PROBES = 34


def peaks_kernel(vocabulary: int, block: int) -> CpuKernel:
    """PEAKS: the largest of each `block` consecutive LOGITS; block is a multiple of 4. A work item is a block."""
    blocks = ceil_div(vocabulary, block)
    name = f"peaks_v{vocabulary}_b{block}"

    @T.jit
    def func(logits: T.handle("float32"), peaks: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        LOGITS = T.decl_buffer((vocabulary,), "float32", data=logits)
        PEAKS = T.decl_buffer((blocks,), "float32", data=peaks)
        best = T.alloc_buffer((4,), "float32", scope="local")
        for item in T.serial(last - first):
            start: T.int32 = (first + item) * block
            size: T.int32 = T.min(block, vocabulary - start)
            best[T.Ramp(0, 1, 4)] = T.Broadcast(LOGITS[start], 4)
            for i in T.serial(T.truncdiv(size, 4)):
                best[T.Ramp(0, 1, 4)] = T.max(best[T.Ramp(0, 1, 4)], LOGITS[T.Ramp(start + i * 4, 1, 4)])
            for i in T.serial(T.truncmod(size, 4)):
                best[0] = T.max(best[0], LOGITS[start + size - 1 - i])
            PEAKS[first + item] = T.max(T.max(best[0], best[1]), T.max(best[2], best[3]))

    return CpuKernel(name, func, blocks, (Parameter("LOGITS"), Parameter("PEAKS", written=True)))


@T.inline
def add_lanes(lanes, total):
    """total[0], a float64, += the four lanes. So a sum over the vocabulary has hardly more roundings than one over a block."""
    total[0] = total[0] + T.Cast("float64", (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))


@T.inline
def weigh_kept(kept, weights, count, lowest, lanes, mass):
    # mass[0] = what those of the kept logits weigh that are at least `lowest`.
    lanes[T.Ramp(0, 1, 4)] = T.Broadcast(T.float32(0), 4)
    for i in T.serial(T.truncdiv(count + 3, 4)):
        lanes[T.Ramp(0, 1, 4)] = lanes[T.Ramp(0, 1, 4)] + T.Select(
            kept[T.Ramp(i * 4, 1, 4)] >= T.Broadcast(lowest, 4), weights[T.Ramp(i * 4, 1, 4)], T.Broadcast(T.float32(0), 4))
    mass[0] = T.float64(0)
    add_lanes(lanes, mass)


def wrapped(value):
    return T.bitwise_and(value, T.uint64(0xFFFFFFFF))


@T.inline
def hash_with(key, word):
    """The hash of compiler/kernels/sample.py over an int32; key: local uint64. TVM tells LLVM that sums and products of 32 bits do not
    overflow, and LLVM makes anything of those that do, so they take 64 and are cut."""
    mixed: T.uint64 = wrapped(wrapped(key[0] + T.Cast("uint64", T.reinterpret("uint32", word))) * T.uint64(747796405) + T.uint64(2891336453))
    mixed = wrapped(T.bitwise_xor(T.shift_right(mixed, T.shift_right(mixed, T.uint64(28)) + T.uint64(4)), mixed) * T.uint64(277803737))
    key[0] = T.bitwise_xor(T.shift_right(mixed, T.uint64(22)), mixed)


@T.inline
def gumbel_noise(key, index, out):
    """out[0] = the noise of a token, key[0] being the hash of the seed and the position."""
    own = T.alloc_buffer((1,), "uint64", scope="local")
    own[0] = key[0]
    hash_with(own, index)
    # Exponential noise -log(1 - v), by its series where 1 - v would lose v's digits.
    v: T.float32 = (T.Cast("float32", T.Cast("int32", T.shift_right(own[0], T.uint64(9)))) + T.float32(0.5)) * exact(2.0**-23)
    small: T.float32 = v * (T.float32(1) + v * (T.float32(0.5) + v * exact(1 / 3)))
    out[0] = T.float32(1) - v
    log1(out, 0)
    out[0] = T.Select(v < T.float32(0.01), small, T.float32(0) - out[0])
    log1(out, 0)
    out[0] = T.float32(0) - out[0]


def sample_kernel(vocabulary: int, block: int) -> CpuKernel:
    """Draws a token from LOGITS float32[V] by the state's sampling parameters and moves STATE_WORDS on. PEAKS: of `peaks_kernel`.

    block is a multiple of 4. Without a logit of at least -3e38 the token is V.
    """
    blocks = ceil_div(vocabulary, block)
    name = f"sample_v{vocabulary}_b{block}"

    def size(at):
        """Logits of a block: the last one may be cut short."""
        return T.min(block, vocabulary - at * block)

    def weigh_blocks(weighted: bool):
        """Inline: count[0] = how many logits are at least `lowest`, and mass[0] = what they weigh if `weighted`."""

        @T.inline
        def weigh(LOGITS, PEAKS, lowest, peak, temperature, vector, lanes, count, mass):
            numbers = T.alloc_buffer((4,), "float32", scope="local")
            count[0] = T.float64(0)
            mass[0] = T.float64(0)
            for at in T.serial(blocks):
                if PEAKS[at] >= lowest:
                    numbers[T.Ramp(0, 1, 4)] = T.Broadcast(T.float32(0), 4)
                    lanes[T.Ramp(0, 1, 4)] = T.Broadcast(T.float32(0), 4)
                    for i in T.serial(T.truncdiv(size(at), 4)):
                        logits: T.float32x4 = LOGITS[T.Ramp(at * block + i * 4, 1, 4)]
                        numbers[T.Ramp(0, 1, 4)] = numbers[T.Ramp(0, 1, 4)] + T.Select(
                            logits >= T.Broadcast(lowest, 4), T.Broadcast(T.float32(1), 4), T.Broadcast(T.float32(0), 4))
                        if weighted:
                            vector[0] = (logits - T.Broadcast(peak, 4)) / T.Broadcast(temperature, 4)
                            exp4(vector, 0)
                            lanes[T.Ramp(0, 1, 4)] = lanes[T.Ramp(0, 1, 4)] + T.Select(
                                logits >= T.Broadcast(lowest, 4), vector[0], T.Broadcast(T.float32(0), 4))
                    for i in T.serial(T.truncmod(size(at), 4)):
                        logit: T.float32 = LOGITS[at * block + size(at) - 1 - i]
                        if logit >= lowest:
                            numbers[0] = numbers[0] + T.float32(1)
                            if weighted:
                                vector[0] = T.Broadcast((logit - peak) / temperature, 4)
                                exp4(vector, 0)
                                lanes[0] = lanes[0] + T.Shuffle([vector[0]], [0])
                    add_lanes(numbers, count)
                    add_lanes(lanes, mass)

        return weigh

    count_all, weigh_all = weigh_blocks(False), weigh_blocks(True)

    def middle_of(low, high):
        return T.shift_right(low, 1) + T.shift_right(high, 1) + T.bitwise_and(T.bitwise_and(low, high), 1)

    @T.inline
    def keep(LOGITS, PEAKS, lowest, peak, temperature, vector, kept, weights, few):
        # Copies the logits of at least `lowest`; few[0] = how many.
        few[0] = 0
        for at in T.serial(blocks):
            if PEAKS[at] >= lowest:
                for i in T.serial(size(at)):
                    if LOGITS[at * block + i] >= lowest:
                        kept[few[0]] = LOGITS[at * block + i]
                        few[0] = few[0] + 1
        for i in T.unroll(3):
            kept[few[0] + i] = T.float32(BELOW)
        for i in T.serial(T.truncdiv(few[0] + 3, 4)):
            vector[0] = (kept[T.Ramp(i * 4, 1, 4)] - T.Broadcast(peak, 4)) / T.Broadcast(temperature, 4)
            exp4(vector, 0)
            weights[T.Ramp(i * 4, 1, 4)] = vector[0]

    @T.inline
    def raise_threshold(LOGITS, PEAKS, low, peak, temperature, top_k, top_p, vector, lanes):
        # low[0] = the largest t whose kept tokens number at least top_k, then of those that weigh at least top_p of them all.
        kept = T.alloc_buffer((FEW + 4,), "float32", scope="local")
        weights = T.alloc_buffer((FEW + 4,), "float32", scope="local")
        few = T.alloc_buffer((1,), "int32", scope="local")
        count = T.alloc_buffer((1,), "float64", scope="local")
        mass = T.alloc_buffer((1,), "float64", scope="local")
        wanted = T.alloc_buffer((1,), "float64", scope="local")
        high = T.alloc_buffer((1,), "int32", scope="local")
        # A block's peak is asked first: it splits logits better than the middle of a range that holds all the small numbers around zero.
        if top_k > 0 and top_k < vocabulary:
            high[0] = ordered(peak) + 1
            for probe in T.serial(PROBES):
                if low[0] + 1 < high[0]:
                    middle: T.int32 = T.Select(probe == 0, T.max(low[0], ordered(PEAKS[0])), middle_of(low[0], high[0]))
                    count_all(LOGITS, PEAKS, unordered(middle), peak, temperature, vector, lanes, count, mass)
                    if count[0] >= T.Cast("float64", top_k):
                        low[0] = middle
                    else:
                        high[0] = middle
        if top_p < T.float32(1):
            few[0] = 0
            high[0] = ordered(peak) + 1
            for probe in T.serial(PROBES):
                # What `low` itself keeps is asked first.
                if low[0] + 1 < high[0]:
                    middle: T.int32 = T.Select(probe == 0, low[0], T.Select(probe == 1, T.max(low[0], ordered(PEAKS[0])), middle_of(low[0], high[0])))
                    if few[0] > 0:
                        weigh_kept(kept, weights, few[0], unordered(middle), lanes, mass)
                    else:
                        weigh_all(LOGITS, PEAKS, unordered(middle), peak, temperature, vector, lanes, count, mass)
                    if probe == 0:
                        wanted[0] = T.Cast("float64", top_p) * mass[0]
                    if mass[0] >= wanted[0]:
                        low[0] = middle
                        if few[0] == 0 and count[0] <= T.float64(FEW):
                            keep(LOGITS, PEAKS, unordered(middle), peak, temperature, vector, kept, weights, few)
                    else:
                        high[0] = middle

    @T.inline
    def draw(LOGITS, PEAKS, STATE_WORDS, peak, temperature, vector, lanes, best, token):
        low = T.alloc_buffer((1,), "int32", scope="local")
        key = T.alloc_buffer((1,), "uint64", scope="local")
        noise = T.alloc_buffer((1,), "float32", scope="local")
        min_p: T.float32 = parameter(STATE_WORDS, "min_p")
        low[0] = ordered(T.float32(LOWEST))
        raise_threshold(LOGITS, PEAKS, low, peak, temperature, STATE_WORDS[STATE["top_k"]], parameter(STATE_WORDS, "top_p"), vector, lanes)
        key[0] = T.uint64(0)
        hash_with(key, STATE_WORDS[STATE["seed"]])
        hash_with(key, STATE_WORDS[STATE["position"]] + STATE_WORDS[STATE["length"]])
        noise[0] = T.max(min_p, exact(2.0**-120))
        log1(noise, 0)
        share: T.float32 = T.Select(min_p > T.float32(0), peak + temperature * noise[0], T.float32(LOWEST))
        threshold: T.float32 = T.max(T.max(unordered(low[0]), peak - temperature * T.float32(NOISE_SPREAD)), T.min(peak, share))
        for at in T.serial(blocks):
            if PEAKS[at] >= threshold:
                for i in T.serial(size(at)):
                    index: T.int32 = at * block + i
                    if LOGITS[index] >= threshold:
                        gumbel_noise(key, index, noise)
                        take_better(LOGITS[index] / temperature + noise[0], index, best, token)

    @T.jit
    def func(logits: T.handle("float32"), peaks: T.handle("float32"), state_words: T.handle("int32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        LOGITS = T.decl_buffer((vocabulary,), "float32", data=logits)
        PEAKS = T.decl_buffer((blocks,), "float32", data=peaks)
        STATE_WORDS = T.decl_buffer((STATE["tokens"] + 1,), "int32", data=state_words)
        best = T.alloc_buffer((1,), "float32", scope="local")
        token = T.alloc_buffer((1,), "int32", scope="local")
        vector = T.alloc_buffer((1,), "float32x4", scope="local")
        lanes = T.alloc_buffer((4,), "float32", scope="local")
        for item in T.serial(last - first):
            temperature: T.float32 = parameter(STATE_WORDS, "temperature")
            best[0] = T.float32(LOWEST)
            token[0] = blocks
            for at in T.serial(blocks):
                take_better(PEAKS[at], at, best, token)
            peak: T.float32 = best[0]
            top: T.int32 = token[0]
            best[0] = T.float32(LOWEST)
            token[0] = vocabulary
            if temperature > T.float32(0):
                draw(LOGITS, PEAKS, STATE_WORDS, peak, temperature, vector, lanes, best, token)
            else:
                for i in T.serial(size(top)):
                    take_better(LOGITS[top * block + i], top * block + i, best, token)
            advance(STATE_WORDS, token[0])

    return CpuKernel(name, func, 1, (Parameter("LOGITS", bytes_moved=4 * vocabulary), Parameter("PEAKS", bytes_moved=4 * blocks),
                                     Parameter("STATE_WORDS", written=True, bytes_moved=48)))
