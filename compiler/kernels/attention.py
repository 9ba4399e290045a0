"""Attention of a step's queries over a KV cache, in one pass (online softmax, arXiv 2205.14135).

A workgroup takes up to four query rows of one KV head; a row is a token and one of the query heads that share the KV
head, so in `decode` the heads of a group share each read of the cache. Keys are taken 64 at a time: first a thread
scores one key for all rows, then the threads share out the columns of V. Queries are normed and rotated on the
way in. Masking is by position, so the order of a ring does not matter.
"""
from tvm.script import tirx as T

from ..state import STATE
from .kernel import TILE, Kernel, Parameter, ceil_div, exact, number_name
from .position import end_position, row_position, slot_position, slots_in_use
from .rope import DIGIT, rotate

THREADS = 64
ROWS = 4
# Below every score that a float32 product can give in practice, and far from overflow when subtracted.
MASKED = -1e30


def attention_kernel(tokens: int, heads: int, kv_heads: int, head_size: int, stride: int, q_offset: int, slots: int,
                     ring: int | None, window: int | None, scale: float, eps: float, q_norm: bool,
                     blocks: bool = False) -> Kernel:
    """Y[M, heads * head size] = softmax(scale * rope(norm(Q)) K^T, masked) V, float32.

    X: rows of `stride` values with Q at `q_offset`. Key at position p counts for a query at position t where p <= t
    and, with a window, t - p < window. Caches as in `kv_append_kernel`. blocks: keys after the query count too where both
    are of this step and the state's `blocks` gives them the same number above 0: an image's tokens see each other.
    """
    group = heads // kv_heads
    vectors, half = head_size // 4, head_size // 8
    rows = min(ROWS, tokens * group)
    row_tiles = ceil_div(tokens * group, rows)
    columns_a_thread = ceil_div(vectors, THREADS)
    reach = window or 2**30
    both_ways = blocks and tokens > 1
    turn = rotate(head_size)
    name = (f"attention_m{tokens}_h{heads}_{kv_heads}_d{head_size}_s{stride}_q{q_offset}" + (f"_ring{ring}" if ring else "")
            + (f"_window{window}" if window else "") + f"_{number_name('scale', scale)}_" + (number_name("eps", eps) if q_norm else "plain")
            + ("_blocks" if both_ways else ""))

    def row_token(tile, r):
        """Token of row r, held inside the step for the rows that pad the last tile."""
        return T.min(tokens - 1, (tile * rows + r) // group)

    def query_start(tile, r, head):
        query_head = head * group + (tile * rows + r) % group
        return (row_token(tile, r) * stride + q_offset) // 4 + query_head * vectors

    @T.inline
    def load_queries(X, G, TABLE, STATE_WORDS, queries, partial, tile, head, tx):
        turned = T.alloc_buffer((1,), "float32x4", scope="local")
        factor = T.alloc_buffer((1,), "float32", scope="local")
        if q_norm:
            for r in T.serial(rows):
                start: T.int32 = query_start(tile, r, head)
                total: T.float32 = T.float32(0)
                for i in T.serial(T.truncdiv(vectors - tx + THREADS - 1, THREADS)):
                    x: T.float32x4 = X[start + i * THREADS + tx]
                    total = total + T.call_pure_extern("float32", "dot", x, x)
                partial[r * THREADS + tx] = total
            T.tvm_storage_sync("shared")
        for r in T.serial(rows):
            start: T.int32 = query_start(tile, r, head)
            position: T.int32 = row_position(STATE_WORDS, row_token(tile, r), tokens)
            factor[0] = exact(scale)
            if q_norm:
                total: T.float32 = T.float32(0)
                for i in T.serial(THREADS):
                    total = total + partial[r * THREADS + i]
                factor[0] = factor[0] / T.sqrt(total / T.float32(head_size) + exact(eps))
            for i in T.serial(T.truncdiv(half - tx + THREADS - 1, THREADS)):
                at: T.int32 = i * THREADS + tx
                low: T.float32x4 = X[start + at] * T.Broadcast(factor[0], 4)
                high: T.float32x4 = X[start + half + at] * T.Broadcast(factor[0], 4)
                if q_norm:
                    low = low * G[at]
                    high = high * G[half + at]
                turn(TABLE, low, high, at, position, 0, turned)
                queries[r * vectors + at] = turned[0]
                turn(TABLE, low, high, at, position, 1, turned)
                queries[r * vectors + half + at] = turned[0]
        T.tvm_storage_sync("shared")

    def same_block(state, at, query):
        """Whether a key and a query of this step belong to one image."""
        first = state[STATE["position"]]
        key_block = state[STATE["blocks"] + T.max(0, T.min(at - first, tokens - 1))]
        return T.And(key_block > 0, T.And(at - first < state[STATE["length"]], key_block == state[STATE["blocks"] + query - first]))

    @T.inline
    def score(K, queries, scores, tile, key0, head, last, STATE_WORDS, tx):
        slot: T.int32 = key0 + tx
        sums = T.alloc_buffer((rows,), "float32", scope="local")
        for r in T.unroll(rows):
            sums[r] = T.float32(0)
        for u in T.serial(vectors):
            key: T.float32x4 = K[((slot // TILE * kv_heads + head) * vectors + u) * TILE + slot % TILE]
            for r in T.unroll(rows):
                sums[r] = sums[r] + T.call_pure_extern("float32", "dot", key, queries[r * vectors + u])
        at: T.int32 = slot_position(slot, last, ring)
        for r in T.unroll(rows):
            query: T.int32 = row_position(STATE_WORDS, row_token(tile, r), tokens)
            before = T.meta_var(T.Or(at <= query, same_block(STATE_WORDS, at, query)) if both_ways else at <= query)
            seen = T.meta_var(T.And(T.And(at >= 0, before), T.And(slot < slots_in_use(last, ring), query - at < reach)))
            scores[r * THREADS + tx] = T.Select(seen, sums[r], T.float32(MASKED))

    @T.jit
    def func(X: T.Buffer((tokens * stride // 4,), "float32x4"), G: T.Buffer((vectors,), "float32x4"),
             TABLE: T.Buffer((2 * DIGIT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             K: T.Buffer((slots * kv_heads * vectors,), "float32x4"), V: T.Buffer((slots * kv_heads * vectors,), "float32x4"),
             Y: T.Buffer((tokens * heads * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for tile in T.thread_binding(row_tiles, thread="blockIdx.x"):
            for head in T.thread_binding(kv_heads, thread="blockIdx.y"):
                for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                    queries = T.alloc_buffer((rows * vectors,), "float32x4", scope="shared")
                    scores = T.alloc_buffer((rows * THREADS,), "float32", scope="shared")
                    sums = T.alloc_buffer((rows * columns_a_thread,), "float32x4", scope="local")
                    mass = T.alloc_buffer((rows,), "float32", scope="local")
                    peak = T.alloc_buffer((rows,), "float32", scope="local")
                    if tokens == 1 or row_token(tile, 0) < STATE_WORDS[STATE["length"]]:
                        load_queries(X, G, TABLE, STATE_WORDS, queries, scores, tile, head, tx)
                        last: T.int32 = end_position(STATE_WORDS)
                        for r in T.unroll(rows):
                            mass[r] = T.float32(0)
                            peak[r] = T.float32(MASKED)
                            for i in T.unroll(columns_a_thread):
                                sums[r * columns_a_thread + i] = T.Broadcast(T.float32(0), 4)
                        for step in T.serial(T.truncdiv(slots_in_use(last, ring) + THREADS - 1, THREADS)):
                            key0: T.int32 = step * THREADS
                            T.tvm_storage_sync("shared")
                            score(K, queries, scores, tile, key0, head, last, STATE_WORDS, tx)
                            T.tvm_storage_sync("shared")
                            for r in T.unroll(rows):
                                highest: T.float32 = peak[r]
                                for j in T.serial(THREADS):
                                    highest = T.max(highest, scores[r * THREADS + j])
                                fade: T.float32 = T.exp(peak[r] - highest)
                                peak[r] = highest
                                mass[r] = mass[r] * fade
                                for i in T.unroll(columns_a_thread):
                                    sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] * T.Broadcast(fade, 4)
                            T.tvm_storage_sync("shared")
                            for r in T.unroll(rows):
                                own: T.float32 = scores[r * THREADS + tx]
                                scores[r * THREADS + tx] = T.Select(own <= T.float32(MASKED), T.float32(0), T.exp(own - peak[r]))
                            T.tvm_storage_sync("shared")
                            for j in T.serial(T.min(THREADS, slots_in_use(last, ring) - key0)):
                                for r in T.unroll(rows):
                                    mass[r] = mass[r] + scores[r * THREADS + j]
                                for i in T.unroll(columns_a_thread):
                                    if i * THREADS + tx < vectors:
                                        value: T.float32x4 = V[((key0 + j) * kv_heads + head) * vectors + i * THREADS + tx]
                                        for r in T.unroll(rows):
                                            sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] + value * T.Broadcast(
                                                scores[r * THREADS + j], 4)
                        for r in T.unroll(rows):
                            if tile * rows + r < tokens * group:
                                for i in T.unroll(columns_a_thread):
                                    if i * THREADS + tx < vectors:
                                        out = T.meta_var(row_token(tile, r) * heads + head * group + (tile * rows + r) % group)
                                        Y[out * vectors + i * THREADS + tx] = sums[r * columns_a_thread + i] / T.Broadcast(mass[r], 4)

    present = [(Parameter("X", bytes_moved=4 * tokens * heads * head_size), True), (Parameter("G"), q_norm),
               (Parameter("TABLE", bytes_moved=tokens * heads * head_size * 8), True), (Parameter("STATE_WORDS", bytes_moved=8), True),
               (Parameter("K"), True), (Parameter("V"), True), (Parameter("Y", written=True), True)]
    return Kernel(name, func, (row_tiles, kv_heads), tuple(parameter for parameter, wanted in present if wanted))
