"""Attention of one token over a KV cache, cut along the keys (flash-decoding, arXiv 2311.01282).

The positions that the token can see are divided among `splits` workgroups for each KV head and up to four of the query heads that share
it, so the work follows the length of the conversation, or the window, with no word from the CPU: a workgroup without keys leaves at once. Each leaves the
sums of its own online softmax (arXiv 2205.14135), with their peak and mass; the product that follows adds the parts up
(compiler/kernels/vector_input.py).

A workgroup takes blocks of 64 keys (compiler/kernels/attention_block.py). Before them, each of its four groups of threads makes a query.

Where the layer owns KV, the token's own key and value come straight from the product before: normed and rotated here by the split with the
newest block, of which they are the last, and stored in the cache by one workgroup. No other workgroup reads that slot.
"""
from dataclasses import dataclass

from tvm.script import tirx as T

from ..state import STATE
from .attention_block import BLOCK, GROUPS, LANES, MASKED, KeyBlocks
from .kernel import TILE, Kernel, Parameter, ceil_div, exact, number_name
from .kv_append import vnorm_name
from .position import end_position, slot_of
from .rope import DIGIT, rotate
from .workgroup_sum import sum_of_squares

ROWS = 4
# A split has at least so many slots at full context; beyond MAX_SPLITS it has more.
SLOTS_A_SPLIT = 128
MAX_SPLITS = 16


@dataclass(frozen=True)
class OwnKeyValue:
    """Where the token's own K and V start in X, and what is normed: K with a weight, V without, and then times v_norm (0: not normed). eps is the
    attention's."""

    k_offset: int
    v_offset: int
    k_norm: bool
    v_norm: float

    @property
    def name(self) -> str:
        return f"k{self.k_offset}_v{self.v_offset}" + ("_knorm" if self.k_norm else "") + (f"_{vnorm_name(self.v_norm)}" if self.v_norm else "")


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
    splits = splits_for(slots)
    appends = own is not None
    keys = KeyBlocks(rows, vectors, kv_heads, ring, window, appends)
    score, weigh, add_values, columns_a_thread = keys.score(), keys.weigh(), keys.add_values(), keys.columns_a_thread
    k_norm, v_norm = appends and own.k_norm, own.v_norm if appends else 0.0
    norms_own = bool(k_norm or v_norm)
    turn, add_squares = rotate(head_size), sum_of_squares(vectors, BLOCK)
    name = (f"attention_vector_h{heads}_{kv_heads}_d{head_size}_x{width}_q{q_offset}_slots{slots}" + (f"_ring{ring}" if ring else "")
            + (f"_window{window}" if window else "") + f"_{number_name('scale', scale)}_" + (number_name("eps", eps) if q_norm or k_norm or v_norm else "plain")
            + ("_qnorm" if q_norm else "") + (f"_{own.name}" if appends else ""))

    def query_head(head, tile, r):
        """The head of row r; rows that pad the last tile repeat its last head."""
        return head * group + T.min(group - 1, tile * rows + r)

    def own_factor(inverse):
        """What the token's value is multiplied with."""
        if not v_norm:
            return T.float32(1)
        return inverse if v_norm == 1 else inverse * exact(v_norm)

    @T.inline
    def inverse_rms(X, start, partial, out, ty, tx):
        add_squares(X, start, partial, ty * BLOCK, out, tx)
        out[0] = T.float32(1) / T.sqrt(out[0] / T.float32(head_size) + exact(eps))

    @T.inline
    def turned_head(X, G, TABLE, start, normed, gain, factor, position, into, place, tx):
        # into[place ...] = rope(x * gain * factor): a thread takes both vectors of its pairs.
        turned = T.alloc_buffer((2,), "float32x4", scope="local")
        for i in T.serial(T.truncdiv(half - tx + BLOCK - 1, BLOCK)):
            at: T.int32 = i * BLOCK + tx
            low: T.float32x4 = X[start + at] * T.Broadcast(factor, 4)
            high: T.float32x4 = X[start + half + at] * T.Broadcast(factor, 4)
            if normed:
                low = low * G[gain + at]
                high = high * G[gain + half + at]
            turn(TABLE, low, high, at, position, turned)
            into[place + at] = turned[0]
            into[place + half + at] = turned[1]

    @T.inline
    def load_queries(X, G, TABLE, queries, partial, head, tile, position, ty, tx):
        # A group makes a row; groups beyond the last row only keep step.
        factor = T.alloc_buffer((1,), "float32", scope="local")
        row: T.int32 = T.min(ty, rows - 1)
        start: T.int32 = q_offset // 4 + query_head(head, tile, row) * vectors
        factor[0] = T.float32(1)
        if q_norm:
            inverse_rms(X, start, partial, factor, ty, tx)
        if ty < rows:
            turned_head(X, G, TABLE, start, q_norm, 0, factor[0] * exact(scale), position, queries, row * vectors, tx)

    @T.inline
    def load_own(X, G, TABLE, K, V, own_key, own_value, partial, head, tile, position, ty, tx):
        # Group 0 makes the key, in workgroup memory; group 1 the value, of which a thread holds the columns whose sums it has.
        factor = T.alloc_buffer((1,), "float32", scope="local")
        k_start: T.int32 = own.k_offset // 4 + head * vectors
        v_start: T.int32 = own.v_offset // 4 + head * vectors
        slot: T.int32 = slot_of(position, ring)
        factor[0] = T.float32(1)
        if norms_own:
            inverse_rms(X, T.Select(ty == 0, k_start, v_start), partial, factor, ty, tx)
        if ty == 0:
            turned_head(X, G, TABLE, k_start, k_norm, vectors if q_norm else 0, factor[0] if k_norm else T.float32(1), position, own_key, 0, tx)
        for i in T.unroll(columns_a_thread):
            if ty == 1 and i * BLOCK + tx < vectors:
                own_value[i] = X[v_start + i * BLOCK + tx] * T.Broadcast(own_factor(factor[0]), 4)
                if tile == 0:
                    V[(slot * kv_heads + head) * vectors + i * BLOCK + tx] = own_value[i]
        T.tvm_storage_sync("shared")
        if ty == 0 and tile == 0:
            for i in T.serial(T.truncdiv(vectors - tx + BLOCK - 1, BLOCK)):
                K[((slot // TILE * kv_heads + head) * vectors + i * BLOCK + tx) * TILE + slot % TILE] = own_key[i * BLOCK + tx]

    @T.inline
    def store_row(PARTS, STATS, shared_sums, shared_mass, peak, mass, sums, r, place, wanted, ty, tx):
        # The groups' sums are added up; place: where the row lies in PARTS and STATS.
        for i in T.unroll(columns_a_thread):
            if i * BLOCK + tx < vectors:
                shared_sums[ty * vectors + i * BLOCK + tx] = sums[r * columns_a_thread + i]
        if tx == 0:
            shared_mass[ty] = mass[r]
        T.tvm_storage_sync("shared")
        whole: T.float32 = shared_mass[0]
        for g in T.unroll(GROUPS - 1):
            whole = whole + shared_mass[g + 1]
        if wanted:
            thread: T.int32 = ty * BLOCK + tx
            if whole > T.float32(0) and thread < vectors:
                total: T.float32x4 = shared_sums[thread]
                for g in T.unroll(GROUPS - 1):
                    total = total + shared_sums[(g + 1) * vectors + thread]
                PARTS[place * vectors + thread] = total
            if thread == 0:
                STATS[place * 2] = peak[r]
                STATS[place * 2 + 1] = whole
        T.tvm_storage_sync("shared")

    @T.jit
    def func(X: T.Buffer((width // 4,), "float32x4"), G: T.Buffer((2 * vectors if q_norm and k_norm else vectors,), "float32x4"),
             TABLE: T.Buffer((2 * DIGIT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             K: T.Buffer((slots * kv_heads * vectors,), "float32x4"), V: T.Buffer((slots * kv_heads * vectors,), "float32x4"),
             PARTS: T.Buffer((splits * heads * vectors,), "float32x4"), STATS: T.Buffer((splits * heads * 2,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for split in T.thread_binding(splits, thread="blockIdx.x"):
            for head_tile in T.thread_binding(kv_heads * row_tiles, thread="blockIdx.y"):
                for ty in T.thread_binding(GROUPS, thread="threadIdx.y"):
                    for tx in T.thread_binding(BLOCK, thread="threadIdx.x"):
                        queries = T.alloc_buffer((GROUPS * vectors,), "float32x4", scope="shared")
                        own_key = T.alloc_buffer((vectors,), "float32x4", scope="shared")
                        partial = T.alloc_buffer((rows * GROUPS * BLOCK,), "float32", scope="shared")
                        weights = T.alloc_buffer((rows * BLOCK,), "float32", scope="shared")
                        highest = T.alloc_buffer((max(rows * LANES, GROUPS),), "float32", scope="shared")
                        own_value = T.alloc_buffer((columns_a_thread,), "float32x4", scope="local")
                        sums = T.alloc_buffer((rows * columns_a_thread,), "float32x4", scope="local")
                        mass = T.alloc_buffer((rows,), "float32", scope="local")
                        peak = T.alloc_buffer((rows,), "float32", scope="local")
                        head: T.int32 = head_tile // row_tiles
                        tile: T.int32 = head_tile % row_tiles
                        last: T.int32 = end_position(STATE_WORDS)
                        # Blocks of neighbouring positions, which are neighbouring slots: a ring holds whole blocks.
                        block0: T.int32 = keys.oldest(last) // BLOCK
                        blocks: T.int32 = last // BLOCK - block0 + 1
                        blocks_a_split: T.int32 = T.truncdiv(blocks + splits - 1, splits)
                        first: T.int32 = split * blocks_a_split
                        if first < blocks:
                            for r in T.unroll(rows):
                                mass[r] = T.float32(0)
                                peak[r] = T.float32(MASKED)
                                for i in T.unroll(columns_a_thread):
                                    sums[r * columns_a_thread + i] = T.Broadcast(T.float32(0), 4)
                            load_queries(X, G, TABLE, queries, partial, head, tile, last, ty, tx)
                            if appends:
                                if first + blocks_a_split >= blocks:
                                    load_own(X, G, TABLE, K, V, own_key, own_value, partial, head, tile, last, ty, tx)
                            T.tvm_storage_sync("shared")
                            for block in T.serial(T.min(blocks_a_split, blocks - first)):
                                key0: T.int32 = (block0 + first + block) * BLOCK
                                score(K, queries, own_key, partial, key0, head, last, ty, tx)
                                T.tvm_storage_sync("shared")
                                weigh(partial, weights, highest, peak, mass, sums, key0, last, ty, tx)
                                add_values(V, own_value, weights, mass, sums, key0, head, last, ty, tx)
                            T.tvm_storage_sync("shared")
                            for r in T.unroll(rows):
                                store_row(PARTS, STATS, queries, highest, peak, mass, sums, r, split * heads + query_head(head, tile, r),
                                          tile * rows + r < group, ty, tx)
                        else:
                            if ty == 0 and tx < rows and tile * rows + tx < group:
                                STATS[(split * heads + query_head(head, tile, tx)) * 2] = T.float32(MASKED)
                                STATS[(split * heads + query_head(head, tile, tx)) * 2 + 1] = T.float32(0)

    present = [(Parameter("X", bytes_moved=4 * head_size * (heads + (2 * kv_heads if appends else 0))), True), (Parameter("G"), q_norm or k_norm),
               (Parameter("TABLE", bytes_moved=8 * head_size), True), (Parameter("STATE_WORDS", bytes_moved=8), True), (Parameter("K", written=appends), True),
               (Parameter("V", written=appends), True), (Parameter("PARTS", written=True, bytes_moved=4 * splits * heads * head_size), True),
               (Parameter("STATS", written=True, bytes_moved=8 * splits * heads), True)]
    return Kernel(name, func, (splits, kv_heads * row_tiles), tuple(parameter for parameter, wanted in present if wanted))
