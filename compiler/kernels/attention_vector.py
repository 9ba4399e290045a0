"""Attention of one token over a KV cache, cut along the keys (flash-decoding, arXiv 2311.01282).

The positions that the token can see are divided among `splits` workgroups for each KV head and up to four of the query heads that share
it, so the work follows the length of the conversation, or the window, with no word from the CPU: a workgroup without keys leaves at once. Each leaves the
sums of its own online softmax (arXiv 2205.14135), with their peak and mass; the product that follows adds the parts up
(compiler/kernels/vector_input.py).

Where the layer owns KV, the token's own key and value come straight from the product before: normed and rotated here, taken
by the first split as its first key, and stored in the cache by one workgroup. No other workgroup reads that slot.
"""
from dataclasses import dataclass

from tvm.script import tirx as T

from ..state import STATE
from .kernel import TILE, Kernel, Parameter, ceil_div, exact, number_name
from .position import end_position, slot_of
from .rope import DIGIT, rotate
from .workgroup_sum import sum_of_squares, workgroup_sum

THREADS = 64
ROWS = 4
# A split has at least so many slots at full context; beyond MAX_SPLITS it has more.
SLOTS_A_SPLIT = 256
MAX_SPLITS = 16
# Below every score that a float32 product can give in practice, and far from overflow when subtracted.
MASKED = -1e30


@dataclass(frozen=True)
class OwnKeyValue:
    """Where the token's own K and V start in X, and what is normed: K with a weight, V without. eps is the attention's."""

    k_offset: int
    v_offset: int
    k_norm: bool
    v_norm: bool

    @property
    def name(self) -> str:
        return f"k{self.k_offset}_v{self.v_offset}" + ("_knorm" if self.k_norm else "") + ("_vnorm" if self.v_norm else "")


def splits_for(slots: int) -> int:
    """Parts that the attention over a cache of so many slots is cut into."""
    return min(MAX_SPLITS, ceil_div(slots, SLOTS_A_SPLIT))


def attention_vector(heads: int, kv_heads: int, head_size: int, width: int, q_offset: int, slots: int, ring: int | None, window: int | None,
                     scale: float, eps: float, q_norm: bool, own: OwnKeyValue | None = None) -> Kernel:
    """PARTS[splits, heads * head size]: sums of exp(score - peak) V; STATS[splits, heads, 2]: peak, and mass: sums of exp(score - peak).

    score = scale * rope(norm(q)) . k for the query at the chunk's last position t, over keys at positions p <= t and, with a
    window, t - p < window. X: `width` values with Q at `q_offset`. Of a part with mass 0 nothing else is stored. Caches as in
    `kv_append_kernel`; own: the last key and value are not in them yet. All float32.
    """
    group = heads // kv_heads
    vectors, half = head_size // 4, head_size // 8
    rows = min(ROWS, group)
    row_tiles = ceil_div(group, rows)
    columns_a_thread = ceil_div(vectors, THREADS)
    splits = splits_for(slots)
    reach = window or 2**30
    appends = own is not None
    k_norm, v_norm = appends and own.k_norm, appends and own.v_norm
    turn, total, add_squares = rotate(head_size), workgroup_sum(THREADS), sum_of_squares(vectors, THREADS)
    name = (f"attention_vector_h{heads}_{kv_heads}_d{head_size}_x{width}_q{q_offset}_slots{slots}" + (f"_ring{ring}" if ring else "")
            + (f"_window{window}" if window else "") + f"_{number_name('scale', scale)}_" + (number_name("eps", eps) if q_norm or k_norm or v_norm else "plain")
            + ("_qnorm" if q_norm else "") + (f"_{own.name}" if appends else ""))

    def query_head(head, tile, r):
        """The head of row r; rows that pad the last tile repeat its last head."""
        return head * group + T.min(group - 1, tile * rows + r)

    def oldest(last):
        """The first position that the token at `last` can see."""
        return T.max(0, last - (reach - 1)) if window else T.int32(0)

    def newest(last):
        """The last position whose key is in the cache."""
        return last - 1 if appends else last

    @T.inline
    def inverse_rms(X, start, partial, out, tx):
        add_squares(X, start, partial, 0, out, tx)
        out[0] = T.float32(1) / T.sqrt(out[0] / T.float32(head_size) + exact(eps))

    @T.inline
    def turned_head(X, G, TABLE, start, normed, gain, factor, position, into, place, tx):
        # into[place ...] = rope(x * gain * factor): a thread takes both vectors of its pairs.
        turned = T.alloc_buffer((2,), "float32x4", scope="local")
        for i in T.serial(T.truncdiv(half - tx + THREADS - 1, THREADS)):
            at: T.int32 = i * THREADS + tx
            low: T.float32x4 = X[start + at] * T.Broadcast(factor, 4)
            high: T.float32x4 = X[start + half + at] * T.Broadcast(factor, 4)
            if normed:
                low = low * G[gain + at]
                high = high * G[gain + half + at]
            turn(TABLE, low, high, at, position, turned)
            into[place + at] = turned[0]
            into[place + half + at] = turned[1]

    @T.inline
    def load_queries(X, G, TABLE, queries, partial, head, tile, position, tx):
        factor = T.alloc_buffer((1,), "float32", scope="local")
        for r in T.serial(rows):
            start: T.int32 = q_offset // 4 + query_head(head, tile, r) * vectors
            factor[0] = T.float32(1)
            if q_norm:
                inverse_rms(X, start, partial, factor, tx)
            turned_head(X, G, TABLE, start, q_norm, 0, factor[0] * exact(scale), position, queries, r * vectors, tx)

    @T.inline
    def load_own(X, G, TABLE, own_key, own_value, partial, head, position, tx):
        factor = T.alloc_buffer((1,), "float32", scope="local")
        factor[0] = T.float32(1)
        if k_norm:
            inverse_rms(X, own.k_offset // 4 + head * vectors, partial, factor, tx)
        turned_head(X, G, TABLE, own.k_offset // 4 + head * vectors, k_norm, vectors if q_norm else 0, factor[0], position, own_key, 0, tx)
        factor[0] = T.float32(1)
        if v_norm:
            inverse_rms(X, own.v_offset // 4 + head * vectors, partial, factor, tx)
        for i in T.serial(T.truncdiv(vectors - tx + THREADS - 1, THREADS)):
            own_value[i * THREADS + tx] = X[own.v_offset // 4 + head * vectors + i * THREADS + tx] * T.Broadcast(factor[0], 4)

    @T.inline
    def store_own(K, V, own_key, own_value, head, slot, tx):
        for i in T.serial(T.truncdiv(vectors - tx + THREADS - 1, THREADS)):
            K[((slot // TILE * kv_heads + head) * vectors + i * THREADS + tx) * TILE + slot % TILE] = own_key[i * THREADS + tx]
            V[(slot * kv_heads + head) * vectors + i * THREADS + tx] = own_value[i * THREADS + tx]

    @T.inline
    def start_with_own(queries, own_key, own_value, partial, peak, mass, sums, tx):
        product = T.alloc_buffer((1,), "float32", scope="local")
        for r in T.unroll(rows):
            product[0] = T.float32(0)
            for i in T.serial(T.truncdiv(vectors - tx + THREADS - 1, THREADS)):
                product[0] = product[0] + T.call_pure_extern("float32", "dot", queries[r * vectors + i * THREADS + tx], own_key[i * THREADS + tx])
            total(partial, 0, product[0], product, tx)
            peak[r] = product[0]
            mass[r] = T.float32(1)
            for i in T.unroll(columns_a_thread):
                if i * THREADS + tx < vectors:
                    sums[r * columns_a_thread + i] = own_value[i * THREADS + tx]

    @T.inline
    def score(K, queries, scores, key0, head, last, tx):
        at: T.int32 = key0 + tx
        slot: T.int32 = slot_of(key0, ring) + tx
        products = T.alloc_buffer((rows,), "float32", scope="local")
        for r in T.unroll(rows):
            products[r] = T.float32(0)
        if at <= newest(last):
            for u in T.serial(vectors):
                key: T.float32x4 = K[((slot // TILE * kv_heads + head) * vectors + u) * TILE + slot % TILE]
                for r in T.unroll(rows):
                    products[r] = products[r] + T.call_pure_extern("float32", "dot", key, queries[r * vectors + u])
        for r in T.unroll(rows):
            scores[r * THREADS + tx] = T.Select(T.And(at <= newest(last), last - at < reach), products[r], T.float32(MASKED))

    @T.inline
    def add_values(V, scores, peak, mass, sums, key0, head, last, tx):
        first: T.int32 = T.max(0, oldest(last) - key0)
        slot0: T.int32 = slot_of(key0, ring)
        for step in T.serial(T.min(THREADS, newest(last) + 1 - key0) - first):
            j: T.int32 = first + step
            for r in T.unroll(rows):
                mass[r] = mass[r] + scores[r * THREADS + j]
            for i in T.unroll(columns_a_thread):
                if i * THREADS + tx < vectors:
                    value: T.float32x4 = V[((slot0 + j) * kv_heads + head) * vectors + i * THREADS + tx]
                    for r in T.unroll(rows):
                        sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] + value * T.Broadcast(scores[r * THREADS + j], 4)

    @T.inline
    def add_block(K, V, queries, scores, peak, mass, sums, key0, head, last, tx):
        T.tvm_storage_sync("shared")
        score(K, queries, scores, key0, head, last, tx)
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
            own_score: T.float32 = scores[r * THREADS + tx]
            scores[r * THREADS + tx] = T.Select(own_score <= T.float32(MASKED), T.float32(0), T.exp(own_score - peak[r]))
        T.tvm_storage_sync("shared")
        add_values(V, scores, peak, mass, sums, key0, head, last, tx)

    @T.jit
    def func(X: T.Buffer((width // 4,), "float32x4"), G: T.Buffer((2 * vectors if q_norm and k_norm else vectors,), "float32x4"),
             TABLE: T.Buffer((2 * DIGIT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             K: T.Buffer((slots * kv_heads * vectors,), "float32x4"), V: T.Buffer((slots * kv_heads * vectors,), "float32x4"),
             PARTS: T.Buffer((splits * heads * vectors,), "float32x4"), STATS: T.Buffer((splits * heads * 2,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for split in T.thread_binding(splits, thread="blockIdx.x"):
            for head_tile in T.thread_binding(kv_heads * row_tiles, thread="blockIdx.y"):
                for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                    queries = T.alloc_buffer((rows * vectors,), "float32x4", scope="shared")
                    scores = T.alloc_buffer((rows * THREADS,), "float32", scope="shared")
                    sums = T.alloc_buffer((rows * columns_a_thread,), "float32x4", scope="local")
                    mass = T.alloc_buffer((rows,), "float32", scope="local")
                    peak = T.alloc_buffer((rows,), "float32", scope="local")
                    head: T.int32 = head_tile // row_tiles
                    tile: T.int32 = head_tile % row_tiles
                    last: T.int32 = end_position(STATE_WORDS)
                    # Blocks of neighbouring positions, which are neighbouring slots: a ring holds whole blocks.
                    block0: T.int32 = oldest(last) // THREADS
                    blocks: T.int32 = last // THREADS - block0 + 1
                    blocks_a_split: T.int32 = T.truncdiv(blocks + splits - 1, splits)
                    first: T.int32 = split * blocks_a_split
                    for r in T.unroll(rows):
                        mass[r] = T.float32(0)
                        peak[r] = T.float32(MASKED)
                        for i in T.unroll(columns_a_thread):
                            sums[r * columns_a_thread + i] = T.Broadcast(T.float32(0), 4)
                    if first < blocks:
                        load_queries(X, G, TABLE, queries, scores, head, tile, last, tx)
                        if appends:
                            if split == 0:
                                own_key = T.alloc_buffer((vectors,), "float32x4", scope="shared")
                                own_value = T.alloc_buffer((vectors,), "float32x4", scope="shared")
                                load_own(X, G, TABLE, own_key, own_value, scores, head, last, tx)
                                T.tvm_storage_sync("shared")
                                if tile == 0:
                                    store_own(K, V, own_key, own_value, head, slot_of(last, ring), tx)
                                start_with_own(queries, own_key, own_value, scores, peak, mass, sums, tx)
                        for block in T.serial(T.min(blocks_a_split, blocks - first)):
                            add_block(K, V, queries, scores, peak, mass, sums, (block0 + first + block) * THREADS, head, last, tx)
                    for r in T.unroll(rows):
                        if tile * rows + r < group:
                            place: T.int32 = split * heads + query_head(head, tile, r)
                            if mass[r] > T.float32(0):
                                for i in T.unroll(columns_a_thread):
                                    if i * THREADS + tx < vectors:
                                        PARTS[place * vectors + i * THREADS + tx] = sums[r * columns_a_thread + i]
                            if tx == 0:
                                STATS[place * 2] = peak[r]
                                STATS[place * 2 + 1] = mass[r]

    present = [(Parameter("X", bytes_moved=4 * head_size * (heads + (2 * kv_heads if appends else 0))), True), (Parameter("G"), q_norm or k_norm),
               (Parameter("TABLE", bytes_moved=8 * head_size), True), (Parameter("STATE_WORDS", bytes_moved=8), True), (Parameter("K", written=appends), True),
               (Parameter("V", written=appends), True), (Parameter("PARTS", written=True, bytes_moved=4 * splits * heads * head_size), True),
               (Parameter("STATS", written=True, bytes_moved=8 * splits * heads), True)]
    return Kernel(name, func, (splits, kv_heads * row_tiles), tuple(parameter for parameter, wanted in present if wanted))
