"""Attention of one token over a KV cache, cut along the keys (flash-decoding, arXiv 2311.01282).

The positions that the token can see are divided among `splits` workgroups for each KV head and up to four of the query heads that share
it, so the work follows the length of the conversation, or the window, with no word from the CPU: a workgroup without keys leaves at once. Each leaves the
sums of its own online softmax (arXiv 2205.14135), with their peak and mass; the product that follows adds the parts up
(compiler/kernels/vector_input.py).

A workgroup takes blocks of 64 keys. On a GPU the time goes into waiting for memory, so that chains of loads are kept short: its four
groups of 64 threads divide the head among themselves to find scores, the queries to norm and weigh them, and the keys to add values up.

Where the layer owns KV, the token's own key and value come straight from the product before: normed and rotated here by the split with the
newest block, of which they are the last, and stored in the cache by one workgroup. No other workgroup reads that slot.
"""
from dataclasses import dataclass

from tvm.script import tirx as T

from ..state import STATE
from .kernel import TILE, Kernel, Parameter, ceil_div, exact, number_name
from .position import end_position, slot_of
from .rope import DIGIT, rotate
from .workgroup_sum import sum_of_squares

# Keys of a block, and threads of a group.
BLOCK = 64
GROUPS = 4
ROWS = 4
# Loads that a thread has under way: so many steps of a loop are written out.
UNDER_WAY = 4
# The highest scores of a block are found in two steps, by so many threads first.
LANES = 8
# A split has at least so many slots at full context; beyond MAX_SPLITS it has more.
SLOTS_A_SPLIT = 128
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
    columns_a_thread = ceil_div(vectors, BLOCK)
    vectors_a_group = ceil_div(vectors, GROUPS)
    splits = splits_for(slots)
    reach = window or 2**30
    appends = own is not None
    k_norm, v_norm = appends and own.k_norm, appends and own.v_norm
    turn, add_squares = rotate(head_size), sum_of_squares(vectors, BLOCK)
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
        if k_norm or v_norm:
            inverse_rms(X, T.Select(ty == 0, k_start, v_start), partial, factor, ty, tx)
        if ty == 0:
            turned_head(X, G, TABLE, k_start, k_norm, vectors if q_norm else 0, factor[0] if k_norm else T.float32(1), position, own_key, 0, tx)
        for i in T.unroll(columns_a_thread):
            if ty == 1 and i * BLOCK + tx < vectors:
                own_value[i] = X[v_start + i * BLOCK + tx] * T.Broadcast(factor[0] if v_norm else T.float32(1), 4)
                if tile == 0:
                    V[(slot * kv_heads + head) * vectors + i * BLOCK + tx] = own_value[i]
        T.tvm_storage_sync("shared")
        if ty == 0 and tile == 0:
            for i in T.serial(T.truncdiv(vectors - tx + BLOCK - 1, BLOCK)):
                K[((slot // TILE * kv_heads + head) * vectors + i * BLOCK + tx) * TILE + slot % TILE] = own_key[i * BLOCK + tx]

    @T.inline
    def add_products(key, queries, products, start):
        # A group's share of one key; key: Python function of the vector.
        for outer in T.serial(ceil_div(vectors_a_group, UNDER_WAY)):
            for inner in T.unroll(UNDER_WAY):
                u: T.int32 = start + outer * UNDER_WAY + inner
                if outer * UNDER_WAY + inner < vectors_a_group and u < vectors:
                    held: T.float32x4 = key(u)
                    for r in T.unroll(rows):
                        products[r] = products[r] + T.call_pure_extern("float32", "dot", held, queries[r * vectors + u])

    @T.inline
    def score(K, queries, own_key, partial, key0, head, last, ty, tx):
        # partial[r, group, key]
        at: T.int32 = key0 + tx
        slot: T.int32 = slot_of(key0, ring) + tx
        products = T.alloc_buffer((rows,), "float32", scope="local")
        for r in T.unroll(rows):
            products[r] = T.float32(0)
        if at <= newest(last):
            add_products(lambda u: K[((slot // TILE * kv_heads + head) * vectors + u) * TILE + slot % TILE], queries, products, ty * vectors_a_group)
        if appends:
            if at == last:
                add_products(lambda u: own_key[u], queries, products, ty * vectors_a_group)
        for r in T.unroll(rows):
            partial[(r * GROUPS + ty) * BLOCK + tx] = products[r]

    @T.inline
    def weigh(partial, weights, highest, peak, mass, sums, key0, last, ty, tx):
        # weights[r, key] = exp(score - peak), 0 for keys that the token cannot see; what is older fades to the new peak. Group r has row r.
        own_score = T.alloc_buffer((1,), "float32", scope="local")
        own_peak = T.alloc_buffer((1,), "float32", scope="local")
        own_score[0] = T.float32(0)
        row: T.int32 = T.min(ty, rows - 1)
        for g in T.unroll(GROUPS):
            own_score[0] = own_score[0] + partial[(row * GROUPS + g) * BLOCK + tx]
        own_score[0] = T.Select(T.And(key0 + tx <= last, last - (key0 + tx) < reach), own_score[0], T.float32(MASKED))
        if ty < rows:
            weights[row * BLOCK + tx] = own_score[0]
        T.tvm_storage_sync("shared")
        if ty < rows and tx < LANES:
            most: T.float32 = weights[row * BLOCK + tx]
            for i in T.unroll(BLOCK // LANES - 1):
                most = T.max(most, weights[row * BLOCK + (i + 1) * LANES + tx])
            highest[row * LANES + tx] = most
        T.tvm_storage_sync("shared")
        own_peak[0] = T.float32(0)
        for r in T.unroll(rows):
            risen: T.float32 = peak[r]
            for i in T.unroll(LANES):
                risen = T.max(risen, highest[r * LANES + i])
            fade: T.float32 = T.exp(peak[r] - risen)
            peak[r] = risen
            mass[r] = mass[r] * fade
            for i in T.unroll(columns_a_thread):
                sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] * T.Broadcast(fade, 4)
            own_peak[0] = T.Select(row == r, risen, own_peak[0])
        if ty < rows:
            weights[row * BLOCK + tx] = T.Select(own_score[0] <= T.float32(MASKED), T.float32(0), T.exp(own_score[0] - own_peak[0]))
        T.tvm_storage_sync("shared")

    @T.inline
    def add_value(weights, mass, sums, i, j, counts, value, tx):
        for r in T.unroll(rows):
            weight: T.float32 = T.Select(counts, weights[r * BLOCK + j], T.float32(0))
            if i == 0:
                mass[r] = mass[r] + weight
            sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] + value * T.Broadcast(weight, 4)

    @T.inline
    def add_values(V, own_value, weights, mass, sums, key0, head, last, ty, tx):
        # Every fourth key is a group's. Where a loop ends between keys, the last one is loaded again, for nothing.
        first: T.int32 = T.max(0, oldest(last) - key0)
        end: T.int32 = T.min(BLOCK, newest(last) + 1 - key0)
        slot0: T.int32 = slot_of(key0, ring)
        for outer in T.serial(T.truncdiv(T.max(0, end - first) + GROUPS * UNDER_WAY - 1, GROUPS * UNDER_WAY)):
            for inner in T.unroll(UNDER_WAY):
                wanted: T.int32 = first + (outer * UNDER_WAY + inner) * GROUPS + ty
                j: T.int32 = T.min(wanted, end - 1)
                for i in T.unroll(columns_a_thread):
                    column: T.int32 = T.min(i * BLOCK + tx, vectors - 1)
                    add_value(weights, mass, sums, i, j, wanted < end, V[((slot0 + j) * kv_heads + head) * vectors + column], tx)
        if appends:
            if ty == 1 and last - key0 < BLOCK:
                for i in T.unroll(columns_a_thread):
                    add_value(weights, mass, sums, i, last - key0, T.bool(True), own_value[i], tx)

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
                        block0: T.int32 = oldest(last) // BLOCK
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
