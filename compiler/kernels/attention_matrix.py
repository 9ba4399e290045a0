"""Attention of a chunk's queries over a KV cache, in one pass (online softmax, arXiv 2205.14135).

A workgroup takes 16 query rows of one KV head; a row is a token and one of the query heads that share the KV head. It walks
along the positions that any of its rows can see, 128 at a time, and reads nothing beyond the causal end or behind the window.
A thread scores four keys for eight rows, then owns some columns of V for the same rows, so that each value that it loads
serves eight or four products. Which slot a position has, in a ring or a linear cache, is its own arithmetic.
"""
from tvm.script import tirx as T

from ..state import STATE
from .attention_block import MASKED
from .held_heads import HeldHeads
from .kernel import ANY_EXTENT, TILE, Kernel, Parameter, ceil_div
from .position import end_position, last_row, row_position, slot_of

ROWS_A_THREAD = 8
SLICES = 2
KEYS_A_THREAD = 4
ROWS = ROWS_A_THREAD * SLICES
MOST_BLOCKS = STATE["tokens"] - STATE["blocks"]
KEYS = KEYS_A_THREAD * TILE


def attention_matrix(tokens: int, heads: int, kv_heads: int, head_size: int, slots: int, ring: int | None, window: int | None,
                     blocks: bool = False, held: int | None = None) -> Kernel:
    """Y[M, heads * held] = softmax(Q K^T, masked) V, float32; Q [M, heads, head size] as `rotate_queries_kernel` leaves it. held: values of a head that
    are no padding (None: all); a row of Y is filled up with zeros to a multiple of 4.

    A key at position p counts for a query at position t where p <= t and, with a window, t - p < window. Caches as in
    `kv_append_kernel`. blocks: keys after the query count too where both are of this step and the state's `blocks` gives
    them the same number above 0: an image's tokens see each other. Rows of Y beyond the state's `length` are left as they were or hold values of no meaning.
    """
    group, vectors = heads // kv_heads, head_size // 4
    tiles = ceil_div(tokens * group, ROWS)
    columns = ceil_div(vectors, TILE)
    reach, kept = window or 2**30, HeldHeads(heads, head_size, held or head_size)
    y_type, y_values = ("float32", kept.width) if kept.is_padded else ("float32x4", heads * vectors)
    name = (f"attention_matrix_h{heads}_{kv_heads}_d{head_size}" + (f"_ring{ring}" if ring else "")
            + (f"_window{window}" if window else "") + ("_blocks" if blocks else "") + kept.name)

    def row_token(state, row):
        """Token of a row, held inside the chunk for the rows that pad the last tile."""
        return T.min(last_row(state), row // group)

    def block_of(state, at):
        """Number of the image that a position of this step belongs to; of an earlier position, some number of no meaning."""
        return state[STATE["blocks"] + T.max(0, T.min(at - state[STATE["position"]], MOST_BLOCKS - 1))]

    @T.inline
    def score(Q, K, STATE_WORDS, starts, sums, row0, key0, head, last, tx):
        keys = T.alloc_buffer((KEYS_A_THREAD,), "int32", scope="local")
        k = T.alloc_buffer((KEYS_A_THREAD,), "float32x4", scope="local")
        q = T.alloc_buffer((ROWS_A_THREAD,), "float32x4", scope="local")
        for j in T.unroll(KEYS_A_THREAD):
            slot: T.int32 = slot_of(T.min(key0 + j * TILE + tx, last), ring)
            keys[j] = (slot // TILE * kv_heads + head) * vectors * TILE + slot % TILE
        for i in T.unroll(ROWS_A_THREAD * KEYS_A_THREAD):
            sums[i] = T.float32(0)
        for u in T.serial(vectors):
            for j in T.unroll(KEYS_A_THREAD):
                k[j] = K[keys[j] + u * TILE]
            for r in T.unroll(ROWS_A_THREAD):
                q[r] = Q[starts[r] + u]
            for r in T.unroll(ROWS_A_THREAD):
                for j in T.unroll(KEYS_A_THREAD):
                    at = T.meta_var(r * KEYS_A_THREAD + j)
                    sums[at] = sums[at] + T.call_pure_extern("float32", "dot", k[j], q[r])
        # Selects alone: a condition of several parts would become branches, and these 32 of them a compiler's burden.
        for j in T.unroll(KEYS_A_THREAD):
            at: T.int32 = key0 + j * TILE + tx
            for r in T.unroll(ROWS_A_THREAD):
                query: T.int32 = row_position(STATE_WORDS, row_token(STATE_WORDS, row0 + r))
                limit: T.int32 = T.min(query, last)
                if blocks:
                    # Text has number 0, which no key may share.
                    own_block: T.int32 = T.max(block_of(STATE_WORDS, query) * 2 - 1, 0)
                    limit = T.Select(block_of(STATE_WORDS, at) * 2 - 1 == own_block, last, limit)
                i = T.meta_var(r * KEYS_A_THREAD + j)
                sums[i] = T.Select(at <= limit, sums[i], T.float32(MASKED))
                if window is not None:
                    sums[i] = T.Select(query - at < window, sums[i], T.float32(MASKED))

    @T.inline
    def softmax(weights, partial, peak, fade, mass, sums, row0, thread, tx):
        """Leaves the weights of this block, what earlier sums fade by, and the new peaks and masses."""
        for r in T.unroll(ROWS_A_THREAD):
            highest: T.float32 = sums[r * KEYS_A_THREAD]
            for j in T.unroll(1, KEYS_A_THREAD):
                highest = T.max(highest, sums[r * KEYS_A_THREAD + j])
            partial[(row0 + r) * TILE + tx] = highest
        T.tvm_storage_sync("shared")
        if thread < ROWS:
            top: T.float32 = peak[thread]
            for i in T.serial(TILE):
                top = T.max(top, partial[thread * TILE + i])
            fade[thread] = T.exp(peak[thread] - top)
            peak[thread] = top
        T.tvm_storage_sync("shared")
        for r in T.unroll(ROWS_A_THREAD):
            own_peak: T.float32 = peak[row0 + r]
            total: T.float32 = T.float32(0)
            for j in T.unroll(KEYS_A_THREAD):
                at = T.meta_var(r * KEYS_A_THREAD + j)
                sums[at] = T.Select(sums[at] <= T.float32(MASKED), T.float32(0), T.exp(sums[at] - own_peak))
                total = total + sums[at]
            weights[(row0 + r) * TILE + tx] = sums[T.Ramp(r * KEYS_A_THREAD, 1, 4)]
            partial[(row0 + r) * TILE + tx] = total
        T.tvm_storage_sync("shared")
        if thread < ROWS:
            sum_of_row: T.float32 = mass[thread] * fade[thread]
            for i in T.serial(TILE):
                sum_of_row = sum_of_row + partial[thread * TILE + i]
            mass[thread] = sum_of_row

    @T.inline
    def add_values(V, weights, fade, acc, row0, key0, head, last, tx):
        w = T.alloc_buffer((ROWS_A_THREAD,), "float32x4", scope="local")
        values = T.alloc_buffer((KEYS_A_THREAD * 4,), "float32", scope="local")
        turned = T.alloc_buffer((16,), "float32", scope="local")
        for r in T.unroll(ROWS_A_THREAD):
            factor: T.float32 = fade[row0 + r]
            for i in T.unroll(columns * 4):
                acc[r * columns * 4 + i] = acc[r * columns * 4 + i] * factor
        for n in T.serial(TILE):
            for r in T.unroll(ROWS_A_THREAD):
                w[r] = weights[(row0 + r) * TILE + n]
            for i in T.unroll(columns):
                column: T.int32 = T.min(i * TILE + tx, vectors - 1)
                for j in T.unroll(KEYS_A_THREAD):
                    # Keys beyond the last weigh nothing, but what lies in their slots need not be a number.
                    slot: T.int32 = slot_of(T.min(key0 + j * TILE + n, last), ring)
                    values[T.Ramp(j * 4, 1, 4)] = V[(slot * kv_heads + head) * vectors + column]
                for c in T.unroll(4):
                    for j in T.unroll(KEYS_A_THREAD):
                        turned[c * 4 + j] = values[j * 4 + c]
                    for r in T.unroll(ROWS_A_THREAD):
                        at = T.meta_var((r * columns + i) * 4 + c)
                        acc[at] = acc[at] + T.call_pure_extern("float32", "dot", turned[T.Ramp(c * 4, 1, 4)], w[r])

    @T.inline
    def store_held(Y, STATE_WORDS, acc, mass, r, row0, row, head, tx):
        # Value by value, since a head need not begin at a multiple of four.
        own: T.int32 = head * group + row % group
        start: T.int32 = row_token(STATE_WORDS, row) * kept.width
        if row < STATE_WORDS[STATE["length"]] * group:
            for i in T.unroll(columns):
                for lane in T.unroll(4):
                    at: T.int32 = (i * TILE + tx) * 4 + lane
                    if at < head_size and kept.is_held(at):
                        Y[start + own * kept.held + kept.place(at)] = acc[(r * columns + i) * 4 + lane] / mass[row0 + r]
            if own == heads - 1 and tx < kept.width - kept.values:
                Y[start + kept.values + tx] = T.float32(0)

    @T.jit
    def func(Q: T.Buffer((ANY_EXTENT * heads * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             K: T.Buffer((slots * kv_heads * vectors,), "float32x4"), V: T.Buffer((slots * kv_heads * vectors,), "float32x4"),
             Y: T.Buffer((ANY_EXTENT * y_values,), y_type)):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for tile in T.thread_binding(ANY_EXTENT, thread="blockIdx.x"):
            for head in T.thread_binding(kv_heads, thread="blockIdx.y"):
                for ty in T.thread_binding(SLICES, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        weights = T.alloc_buffer((ROWS * TILE,), "float32x4", scope="shared")
                        partial = T.alloc_buffer((ROWS * TILE,), "float32", scope="shared")
                        peak = T.alloc_buffer((ROWS,), "float32", scope="shared")
                        fade = T.alloc_buffer((ROWS,), "float32", scope="shared")
                        mass = T.alloc_buffer((ROWS,), "float32", scope="shared")
                        starts = T.alloc_buffer((ROWS_A_THREAD,), "int32", scope="local")
                        sums = T.alloc_buffer((ROWS_A_THREAD * KEYS_A_THREAD,), "float32", scope="local")
                        acc = T.alloc_buffer((ROWS_A_THREAD * columns * 4,), "float32", scope="local")
                        if tile * ROWS < STATE_WORDS[STATE["length"]] * group:
                            thread: T.int32 = ty * TILE + tx
                            row0: T.int32 = ty * ROWS_A_THREAD
                            for r in T.unroll(ROWS_A_THREAD):
                                row: T.int32 = tile * ROWS + row0 + r
                                starts[r] = (row_token(STATE_WORDS, row) * heads + head * group + row % group) * vectors
                            for i in T.unroll(ROWS_A_THREAD * columns * 4):
                                acc[i] = T.float32(0)
                            if thread < ROWS:
                                peak[thread] = T.float32(MASKED)
                                mass[thread] = T.float32(0)
                            end: T.int32 = end_position(STATE_WORDS)
                            # The last position that a row of this tile can see, and the first, moved to the start of a tile of keys.
                            last: T.int32 = end if blocks else T.min(end, row_position(STATE_WORDS, row_token(STATE_WORDS, tile * ROWS + ROWS - 1)))
                            oldest: T.int32 = T.max(0, row_position(STATE_WORDS, tile * ROWS // group) - (reach - 1))
                            first: T.int32 = oldest // TILE * TILE
                            for step in T.serial(T.truncdiv(last - first + KEYS, KEYS)):
                                key0: T.int32 = first + step * KEYS
                                score(Q, K, STATE_WORDS, starts, sums, tile * ROWS + row0, key0, head, last, tx)
                                T.tvm_storage_sync("shared")
                                softmax(weights, partial, peak, fade, mass, sums, row0, thread, tx)
                                add_values(V, weights, fade, acc, row0, key0, head, last, tx)
                            T.tvm_storage_sync("shared")
                            for r in T.unroll(ROWS_A_THREAD):
                                if kept.is_padded:
                                    store_held(Y, STATE_WORDS, acc, mass, r, row0, tile * ROWS + row0 + r, head, tx)
                                else:
                                    for i in T.unroll(columns):
                                        if tile * ROWS + row0 + r < STATE_WORDS[STATE["length"]] * group and i * TILE + tx < vectors:
                                            Y[starts[r] + i * TILE + tx] = acc[T.Ramp((r * columns + i) * 4, 1, 4)] / T.Broadcast(mass[row0 + r], 4)

    moved = 4 * tokens * heads * head_size
    return Kernel(name, func, (tiles, kv_heads), (Parameter("Q", bytes_moved=moved), Parameter("STATE_WORDS", bytes_moved=8), Parameter("K"),
                                                  Parameter("V"), Parameter("Y", written=True)))
