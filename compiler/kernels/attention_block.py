"""What attention_vector (compiler/kernels/attention_vector.py) does with one block of keys: scores, their weights, and the values under them.

On a GPU the time goes into waiting for memory, so that chains of loads are kept short: four groups of 64 threads divide the head among
themselves to find scores, the queries to weigh them, and the keys to add values up.
"""
from collections.abc import Callable
from dataclasses import dataclass

from tvm.script import tirx as T

from .kernel import TILE, UNDER_WAY, ceil_div
from .position import slot_of

# Keys of a block, and threads of a group.
BLOCK = 64
GROUPS = 4
# The highest scores of a block are found in two steps, by so many threads first.
LANES = 8
# Below every score that a float32 product can give in practice, and far from overflow when subtracted.
MASKED = -1e30


@dataclass(frozen=True)
class KeyBlocks:
    """Code for one kernel. rows: query heads that a workgroup has, at most GROUPS. vectors: of four values, of a head. ring: slots of the cache
    where they come round, window: tokens that are seen, or None. appends: whether the last key and value are not in the cache."""

    rows: int
    vectors: int
    kv_heads: int
    ring: int | None
    window: int | None
    appends: bool

    @property
    def columns_a_thread(self) -> int:
        """Vectors of values whose sums a thread has."""
        return ceil_div(self.vectors, BLOCK)

    @property
    def reach(self) -> int:
        return self.window or 2**30

    def oldest(self, last):
        """The first position that the token at `last` can see."""
        return T.max(0, last - (self.reach - 1)) if self.window else T.int32(0)

    def newest(self, last):
        """The last position whose key is in the cache."""
        return last - 1 if self.appends else last

    def score(self) -> Callable:
        """Inline (K, queries, own_key, partial, key0, head, last, ty, tx): partial[r, group, key], a group's share of the scores."""
        rows, vectors, kv_heads = self.rows, self.vectors, self.kv_heads
        vectors_a_group = ceil_div(vectors, GROUPS)

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
            at: T.int32 = key0 + tx
            slot: T.int32 = slot_of(key0, self.ring) + tx
            products = T.alloc_buffer((rows,), "float32", scope="local")
            for r in T.unroll(rows):
                products[r] = T.float32(0)
            if at <= self.newest(last):
                add_products(lambda u: K[((slot // TILE * kv_heads + head) * vectors + u) * TILE + slot % TILE], queries, products, ty * vectors_a_group)
            if self.appends:
                if at == last:
                    add_products(lambda u: own_key[u], queries, products, ty * vectors_a_group)
            for r in T.unroll(rows):
                partial[(r * GROUPS + ty) * BLOCK + tx] = products[r]

        return score

    def weigh(self) -> Callable:
        """Inline (partial, weights, highest, peak, mass, sums, key0, last, ty, tx): weights[r, key] = exp(score - peak), 0 for keys that the token
        cannot see; what is older fades to the new peak. Group r has row r. A barrier stands behind it."""
        rows, columns_a_thread = self.rows, self.columns_a_thread

        @T.inline
        def weigh(partial, weights, highest, peak, mass, sums, key0, last, ty, tx):
            own_score = T.alloc_buffer((1,), "float32", scope="local")
            own_peak = T.alloc_buffer((1,), "float32", scope="local")
            own_score[0] = T.float32(0)
            row: T.int32 = T.min(ty, rows - 1)
            for g in T.unroll(GROUPS):
                own_score[0] = own_score[0] + partial[(row * GROUPS + g) * BLOCK + tx]
            own_score[0] = T.Select(T.And(key0 + tx <= last, last - (key0 + tx) < self.reach), own_score[0], T.float32(MASKED))
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

        return weigh

    def add_values(self) -> Callable:
        """Inline (V, own_value, weights, mass, sums, key0, head, last, ty, tx): a group adds every fourth key; group 1 has the token's own value."""
        rows, vectors, kv_heads, columns_a_thread = self.rows, self.vectors, self.kv_heads, self.columns_a_thread

        @T.inline
        def add_value(weights, mass, sums, i, j, counts, value, tx):
            for r in T.unroll(rows):
                weight: T.float32 = T.Select(counts, weights[r * BLOCK + j], T.float32(0))
                if i == 0:
                    mass[r] = mass[r] + weight
                sums[r * columns_a_thread + i] = sums[r * columns_a_thread + i] + value * T.Broadcast(weight, 4)

        @T.inline
        def add_values(V, own_value, weights, mass, sums, key0, head, last, ty, tx):
            # Where a loop ends between keys, the last one is loaded again, for nothing.
            first: T.int32 = T.max(0, self.oldest(last) - key0)
            end: T.int32 = T.min(BLOCK, self.newest(last) + 1 - key0)
            slot0: T.int32 = slot_of(key0, self.ring)
            for outer in T.serial(T.truncdiv(T.max(0, end - first) + GROUPS * UNDER_WAY - 1, GROUPS * UNDER_WAY)):
                for inner in T.unroll(UNDER_WAY):
                    wanted: T.int32 = first + (outer * UNDER_WAY + inner) * GROUPS + ty
                    j: T.int32 = T.min(wanted, end - 1)
                    for i in T.unroll(columns_a_thread):
                        column: T.int32 = T.min(i * BLOCK + tx, vectors - 1)
                        add_value(weights, mass, sums, i, j, wanted < end, V[((slot0 + j) * kv_heads + head) * vectors + column], tx)
            if self.appends:
                if ty == 1 and last - key0 < BLOCK:
                    for i in T.unroll(columns_a_thread):
                        add_value(weights, mass, sums, i, last - key0, T.bool(True), own_value[i], tx)

        return add_values
