"""Writes a step's keys and values to their cache: K normed and rotated, V normed where the model does so.

Keys lie like the rows of a weight matrix, in tiles of 32 slots and units of four values, because attention reads a
key a thread; values lie slot after slot, because it reads a slot's values with neighbouring threads.
"""
from tvm.script import tirx as T

from ..state import STATE
from .kernel import ANY_EXTENT, TILE, Kernel, Parameter, exact, number_name
from .position import row_position, slot_of
from .rope import DIGIT, rotate
from .workgroup_sum import sum_of_squares

THREADS = 64


def vnorm_name(factor: float) -> str:
    """A part of a kernel's name: V is normed, and then multiplied."""
    return "vnorm" if factor == 1 else number_name("vnorm", float(factor))


def kv_append_kernel(tokens: int, kv_heads: int, head_size: int, stride: int, k_offset: int, v_offset: int, slots: int,
                     ring: int | None, eps: float, k_norm: bool, v_norm: float) -> Kernel:
    """K cache float32 [slots / 32][kv heads][head size / 4][32][4], V cache float32 [slots][kv heads][head size].

    X: rows of `stride` values that hold K at `k_offset` and V at `v_offset` (equal offsets: K = V before the norms).
    G: weight of the K norm; V's norm has none, and v_norm is what its result is multiplied with (0: no norm). ring: slot = position mod ring, else slot = position. Rows beyond
    the state's `length` write nothing.
    """
    vectors, half, normed = head_size // 4, head_size // 8, bool(v_norm)
    turn, add_squares = rotate(head_size), sum_of_squares(vectors, THREADS)
    name = (f"kv_append_h{kv_heads}_d{head_size}_s{stride}_k{k_offset}_v{v_offset}"
            + (f"_ring{ring}" if ring else "") + ("_knorm" if k_norm else "") + (f"_{vnorm_name(v_norm)}" if v_norm else "")
            + (f"_{number_name('eps', eps)}" if k_norm or v_norm else ""))

    @T.inline
    def inverse_rms(X, start, partial, tx, out):
        add_squares(X, start, partial, 0, out, tx)
        out[0] = T.float32(1) / T.sqrt(out[0] / T.float32(head_size) + exact(eps))

    @T.jit
    def func(X: T.Buffer((ANY_EXTENT * stride // 4,), "float32x4"), G: T.Buffer((vectors,), "float32x4"),
             TABLE: T.Buffer((2 * DIGIT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             K: T.Buffer((slots * kv_heads * vectors,), "float32x4"), V: T.Buffer((slots * kv_heads * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for m in T.thread_binding(ANY_EXTENT, thread="blockIdx.x"):
            for head in T.thread_binding(kv_heads, thread="blockIdx.y"):
                for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                    partial = T.alloc_buffer((THREADS,), "float32", scope="shared")
                    factor = T.alloc_buffer((1,), "float32", scope="local")
                    turned = T.alloc_buffer((2,), "float32x4", scope="local")
                    position: T.int32 = row_position(STATE_WORDS, m)
                    slot: T.int32 = slot_of(position, ring)
                    k_start: T.int32 = (m * stride + k_offset) // 4 + head * vectors
                    v_start: T.int32 = (m * stride + v_offset) // 4 + head * vectors
                    if m < STATE_WORDS[STATE["length"]]:
                        factor[0] = T.float32(1)
                        if k_norm:
                            inverse_rms(X, k_start, partial, tx, factor)
                        for i in T.serial(T.truncdiv(half - tx + THREADS - 1, THREADS)):
                            at: T.int32 = i * THREADS + tx
                            low: T.float32x4 = X[k_start + at] * T.Broadcast(factor[0], 4)
                            high: T.float32x4 = X[k_start + half + at] * T.Broadcast(factor[0], 4)
                            if k_norm:
                                low = low * G[at]
                                high = high * G[half + at]
                            key: T.int32 = ((slot // TILE * kv_heads + head) * vectors + at) * TILE + slot % TILE
                            turn(TABLE, low, high, at, position, turned)
                            K[key] = turned[0]
                            K[key + half * TILE] = turned[1]
                        factor[0] = T.float32(1)
                        if normed:
                            inverse_rms(X, v_start, partial, tx, factor)
                            if v_norm != 1:
                                factor[0] = factor[0] * exact(v_norm)
                        for i in T.serial(T.truncdiv(vectors - tx + THREADS - 1, THREADS)):
                            V[(slot * kv_heads + head) * vectors + i * THREADS + tx] = (
                                X[v_start + i * THREADS + tx] * T.Broadcast(factor[0], 4))

    moved = 4 * tokens * kv_heads * head_size
    present = [(Parameter("X", bytes_moved=moved if k_offset == v_offset else 2 * moved), True), (Parameter("G"), k_norm),
               (Parameter("TABLE", bytes_moved=tokens * kv_heads * head_size * 8), True),
               (Parameter("STATE_WORDS", bytes_moved=8), True), (Parameter("K", written=True, bytes_moved=moved), True),
               (Parameter("V", written=True, bytes_moved=moved), True)]
    return Kernel(name, func, (tokens, kv_heads), tuple(parameter for parameter, wanted in present if wanted))
