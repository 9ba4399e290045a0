"""Attention over a KV cache in one pass (online softmax, arXiv 2205.14135), for a chunk and for a single token.

Rows that share a KV head go through its keys together, 32 positions at a time, so that a key or value that is loaded serves all of
them: four tokens of one head in a chunk, and in decode the heads of a range. A vector of K holds a dimension of four keys, so that
scores of four keys grow side by side and no lanes have to be summed.
"""
from math import gcd

from tvm.script import tirx as T

from ..kernels.attention_block import MASKED
from ..kernels.held_heads import HeldHeads
from ..kernels.kernel import Parameter, ceil_div
from ..kernels.position import end_position, row_position, slot_of
from ..state import STATE
from .cpu_kernel import CpuKernel
from .kv_append import KEY_LANES, key_vector
from .mathematics import exp1, exp4, lane_sum

ROWS = 4
KEYS = 32  # positions at a time: from a multiple of them on, so that they are neighbours in a ring, too
KEY_VECTORS = KEYS // KEY_LANES
SUMS = 8  # vectors of sums that are kept in registers


def attention_kernel(tokens: int, heads: int, kv_heads: int, head_size: int, slots: int, ring: int | None, window: int | None,
                     blocks: bool = False, held: int | None = None) -> CpuKernel:
    """Y[M, heads * held] = softmax(Q K^T, masked) V, float32; Q [M, heads, head size] as `rotate_queries_kernel` leaves it; `held` as in
    compiler/kernels/attention_matrix.py.

    A key at position p counts for a query at position t where p <= t and, with a window, t - p < window. Caches as in
    `kv_append_kernel`; a ring is a multiple of 32. blocks: as in compiler/kernels/attention_matrix.py, an image's tokens see each
    other. Work items are heads of the one token, or of blocks of four tokens; rows beyond the state's `length` are left as they were.
    """
    assert not ring or ring % KEYS == 0
    group, count = heads // kv_heads, ceil_div(tokens, ROWS)
    stride, kept = scatter_step(count), HeldHeads(heads, head_size, held or head_size)
    y_type, y_values = ("float32", kept.width) if kept.is_padded else ("float32x4", heads * head_size // 4)
    attend = {rows: attend_rows(rows, tokens, kv_heads, kept, ring, window, blocks) for rows in ((1, 2, 4) if tokens == 1 else (ROWS,))}
    name = (f"attention_m{tokens}_h{heads}_{kv_heads}_d{head_size}_n{slots}" + (f"_ring{ring}" if ring else "")
            + (f"_window{window}" if window else "") + ("_blocks" if blocks else "") + kept.name)

    @T.inline
    def heads_of_token(Q, STATE_WORDS, K, V, Y, starts, queries, rows, head0):
        for r in T.unroll(rows):
            starts[r] = (head0 + r) * head_size
            queries[r] = end_position(STATE_WORDS)
        attend[rows](Q, STATE_WORDS, K, V, Y, starts, queries, T.truncdiv(head0, group))

    @T.jit
    def func(q: T.handle("float32"), state_words: T.handle("int32"), k: T.handle("float32x4"), v: T.handle("float32x4"), y: T.handle(y_type),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        Q = T.decl_buffer((tokens * heads * head_size,), "float32", data=q)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        K = T.decl_buffer((slots * kv_heads * head_size // 4,), "float32x4", data=k)
        V = T.decl_buffer((slots * kv_heads * head_size // 4,), "float32x4", data=v)
        Y = T.decl_buffer((tokens * y_values,), y_type, data=y)
        starts = T.alloc_buffer((ROWS,), "int32", scope="local")
        queries = T.alloc_buffer((ROWS,), "int32", scope="local")
        if tokens == 1:
            for head in T.serial(kv_heads):
                low: T.int32 = T.max(first, head * group)
                rest: T.int32 = T.max(T.min(last, (head + 1) * group) - low, 0)
                for four in T.serial(T.truncdiv(rest, 4)):
                    heads_of_token(Q, STATE_WORDS, K, V, Y, starts, queries, 4, low + four * 4)
                if T.bitwise_and(rest, 2) != 0:
                    heads_of_token(Q, STATE_WORDS, K, V, Y, starts, queries, 2, low + T.bitwise_and(rest, -4))
                if T.bitwise_and(rest, 1) != 0:
                    heads_of_token(Q, STATE_WORDS, K, V, Y, starts, queries, 1, low + rest - 1)
        else:
            for item in T.serial(last - first):
                # Late blocks see more keys, and the last may be empty: their order is scattered, so that every range has some of each.
                block: T.int32 = T.truncmod(T.truncdiv(first + item, heads) * stride, count)
                if block * ROWS < STATE_WORDS[STATE["length"]]:
                    for r in T.unroll(ROWS):
                        # The last block is padded with its last token.
                        token: T.int32 = T.min(block * ROWS + r, STATE_WORDS[STATE["length"]] - 1)
                        starts[r] = (token * heads + T.truncmod(first + item, heads)) * head_size
                        queries[r] = row_position(STATE_WORDS, token)
                    attend[ROWS](Q, STATE_WORDS, K, V, Y, starts, queries, T.truncdiv(T.truncmod(first + item, heads), group))

    parameters = (Parameter("Q"), Parameter("STATE_WORDS"), Parameter("K"), Parameter("V"), Parameter("Y", written=True))
    return CpuKernel(name, func, heads * count, parameters)


def scatter_step(count: int) -> int:
    """A step near count / golden ratio that has no factor in common with it: its multiples visit all, and any few in a row lie spread out."""
    return next(step for step in range(max(1, round(count * 0.618)), 2 * count + 1) if gcd(step, count) == 1)


def attend_rows(rows: int, tokens: int, kv_heads: int, kept: HeldHeads, ring: int | None, window: int | None, blocks: bool):
    """Inline (Q, STATE_WORDS, K, V, Y, starts, queries, head): Y of `rows` rows of one KV head.

    starts: local int32[rows], where their queries lie in Q; queries: their positions, ascending.
    """
    head_size, vectors = kept.stored, kept.stored // 4
    key_vectors = SUMS // rows  # at a time
    columns = next(n for n in range(SUMS // rows, 0, -1) if vectors % n == 0)  # vectors of V at a time
    reach = window or 2**30

    def masked(at, low, high, score):
        """Scores of the four keys from position `at` on."""
        places = T.Ramp(at, 1, 4)
        seen = T.Select(places <= T.Broadcast(high, 4), score, T.Broadcast(T.float32(MASKED), 4))
        return seen if window is None else T.Select(places >= T.Broadcast(low, 4), seen, T.Broadcast(T.float32(MASKED), 4))

    def block_of(state, at):
        """Number of the image that a position of this step belongs to; of an earlier position, some number of no meaning."""
        return state[STATE["blocks"] + T.max(0, T.min(at - state[STATE["position"]], tokens - 1))]

    @T.inline
    def score(Q, K, scores, starts, key):
        sums = T.alloc_buffer((rows * key_vectors,), "float32x4", scope="local")
        for part in T.serial(KEY_VECTORS // key_vectors):
            for i in T.unroll(rows * key_vectors):
                sums[i] = T.Broadcast(T.float32(0), 4)
            for step in T.serial(vectors):
                for d in T.unroll(4):
                    for j in T.unroll(key_vectors):
                        four: T.float32x4 = K[key + (part * key_vectors + j) * (kv_heads * head_size) + step * 4 + d]
                        for r in T.unroll(rows):
                            sums[r * key_vectors + j] = sums[r * key_vectors + j] + four * T.Broadcast(Q[starts[r] + step * 4 + d], 4)
            for r in T.unroll(rows):
                for j in T.unroll(key_vectors):
                    scores[T.Ramp(r * KEYS + (part * key_vectors + j) * 4, 1, 4)] = sums[r * key_vectors + j]

    @T.inline
    def mask_images(STATE_WORDS, scores, queries, key0):
        # Key by key: only positions of this step come here. Text has number 0, which no key may share.
        for r in T.unroll(rows):
            own: T.int32 = T.max(block_of(STATE_WORDS, queries[r]) * 2 - 1, 0)
            for n in T.serial(KEYS):
                same: T.int32 = T.Select(block_of(STATE_WORDS, key0 + n) * 2 - 1 == own, T.int32(2**30), queries[r])
                scores[r * KEYS + n] = T.Select(key0 + n <= same, scores[r * KEYS + n], T.float32(MASKED))

    @T.inline
    def softmax(scores, queries, peak, fade, mass, key0, newest):
        """Turns scores into weights; fade: what earlier sums are to be multiplied with."""
        four = T.alloc_buffer((KEY_VECTORS,), "float32x4", scope="local")
        for r in T.serial(rows):
            highest: T.float32x4 = T.Broadcast(peak[r], 4)
            for j in T.unroll(KEY_VECTORS):
                four[j] = masked(key0 + j * 4, queries[r] - (reach - 1), newest if blocks else queries[r], scores[T.Ramp(r * KEYS + j * 4, 1, 4)])
                highest = T.max(highest, four[j])
            top: T.float32 = T.max(T.max(T.Shuffle([highest], [0]), T.Shuffle([highest], [1])), T.max(T.Shuffle([highest], [2]), T.Shuffle([highest], [3])))
            fade[r] = peak[r] - top
            exp1(fade, r)
            peak[r] = top
            total: T.float32x4 = T.Broadcast(T.float32(0), 4)
            for j in T.unroll(KEY_VECTORS):
                four[j] = four[j] - T.Broadcast(top, 4)
                exp4(four, j)
                total = total + four[j]
                scores[T.Ramp(r * KEYS + j * 4, 1, 4)] = four[j]
            mass[r] = mass[r] * fade[r] + lane_sum(total)

    @T.inline
    def add_values(V, scores, fade, acc, value, start, end):
        # Keys outside start ... end - 1 weigh nothing, but what lies in their slots need not be a number.
        sums = T.alloc_buffer((rows * columns,), "float32x4", scope="local")
        for part in T.serial(vectors // columns):
            for r in T.unroll(rows):
                for i in T.unroll(columns):
                    sums[r * columns + i] = acc[r * vectors + part * columns + i] * T.Broadcast(fade[r], 4)
            for n in T.serial(end - start):
                for i in T.unroll(columns):
                    four: T.float32x4 = V[value + (start + n) * (kv_heads * vectors) + part * columns + i]
                    for r in T.unroll(rows):
                        sums[r * columns + i] = sums[r * columns + i] + four * T.Broadcast(scores[r * KEYS + start + n], 4)
            for r in T.unroll(rows):
                for i in T.unroll(columns):
                    acc[r * vectors + part * columns + i] = sums[r * columns + i]

    @T.inline
    def store_held(Y, acc, r, number, share):
        # Value by value, since a head need not begin at a multiple of four; number: of the head among those of all tokens.
        start: T.int32 = T.truncdiv(number, kept.heads) * kept.width
        own: T.int32 = T.truncmod(number, kept.heads)
        for half in T.unroll(2):
            for i in T.serial(vectors // 2):
                for lane in T.unroll(4):
                    if i * 4 + lane < kept.held // 2:
                        Y[start + own * kept.held + half * (kept.held // 2) + i * 4 + lane] = T.Shuffle([acc[r * vectors + half * (vectors // 2) + i]], [lane]) * share
        if own == kept.heads - 1:
            for i in T.serial(kept.width - kept.values):
                Y[start + kept.values + i] = T.float32(0)

    @T.inline
    def attend(Q, STATE_WORDS, K, V, Y, starts, queries, head):
        acc = T.alloc_buffer((rows * vectors,), "float32x4", scope="local")
        scores = T.alloc_buffer((rows * KEYS,), "float32", scope="local")
        peak = T.alloc_buffer((rows,), "float32", scope="local")
        fade = T.alloc_buffer((rows,), "float32", scope="local")
        mass = T.alloc_buffer((rows,), "float32", scope="local")
        for i in T.serial(rows * vectors):
            acc[i] = T.Broadcast(T.float32(0), 4)
        for r in T.unroll(rows):
            peak[r] = T.float32(MASKED)
            mass[r] = T.float32(0)
        # What any of the rows can see. Where one sees nothing of a tile, its weights are wrong until `fade` is 0 at its first key.
        newest: T.int32 = end_position(STATE_WORDS) if blocks else queries[rows - 1]
        oldest: T.int32 = T.max(0, queries[0] - (reach - 1))
        for tile in T.serial(T.truncdiv(newest, KEYS) - T.truncdiv(oldest, KEYS) + 1):
            key0: T.int32 = (T.truncdiv(oldest, KEYS) + tile) * KEYS
            slot: T.int32 = slot_of(key0, ring)
            score(Q, K, scores, starts, key_vector(slot, head, kv_heads, head_size))
            if blocks:
                if key0 + KEYS > STATE_WORDS[STATE["position"]]:
                    mask_images(STATE_WORDS, scores, queries, key0)
            softmax(scores, queries, peak, fade, mass, key0, newest)
            add_values(V, scores, fade, acc, (slot * kv_heads + head) * vectors, T.max(oldest - key0, 0), T.min(newest - key0 + 1, KEYS))
        for r in T.unroll(rows):
            share: T.float32 = T.float32(1) / mass[r]
            if kept.is_padded:
                store_held(Y, acc, r, T.truncdiv(starts[r], head_size), share)
            else:
                for i in T.serial(vectors):
                    Y[T.truncdiv(starts[r], 4) + i] = acc[r * vectors + i] * T.Broadcast(share, 4)

    return attend
