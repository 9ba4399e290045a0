"""Writes a step's keys and values to their cache: K normed and rotated, V normed where the model does so.

Four neighbouring slots of K lie side by side, so that attention finds four keys' values of one dimension in a vector; values lie
slot after slot. A work item is a KV head of a token, or a quarter of the only token's, so that all threads have some: it writes single values of K,
since the other lanes are other items'.
"""
from math import gcd

from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact, number_name
from ..kernels.kv_append import vnorm_name
from ..kernels.position import row_position, slot_of
from ..kernels.rope import DIGIT, rotate
from ..state import STATE
from .cpu_kernel import CpuKernel
from .norm import sum_of_squares

KEY_LANES = 4  # slots of a vector of the K cache
PARTS = 4  # of a head, for one token


def key_vector(slot, head, kv_heads: int, head_size: int):
    """Index in float32x4 of dimension 0 of the vectors that hold a slot's key."""
    return (slot // KEY_LANES * kv_heads + head) * head_size


def kv_append_kernel(tokens: int, kv_heads: int, head_size: int, stride: int, k_offset: int, v_offset: int, slots: int,
                     ring: int | None, eps: float, k_norm: bool, v_norm: float) -> CpuKernel:
    """K cache float32 [slots / 4][kv heads][head size][4], V cache float32 [slots][kv heads][head size].

    X: rows of `stride` values that hold K at `k_offset` and V at `v_offset` (equal offsets: K = V before the norms).
    G: weight of the K norm; V's norm has none, and v_norm is what its result is multiplied with (0: no norm). ring: slot = position mod ring, else slot = position.
    """
    vectors, half = head_size // 4, head_size // 8
    parts, normed = gcd(PARTS, half) if tokens == 1 else 1, bool(v_norm)
    turn, add_squares = rotate(head_size), sum_of_squares(vectors)
    name = (f"kv_append_m{tokens}_h{kv_heads}_d{head_size}_s{stride}_k{k_offset}_v{v_offset}_n{slots}"
            + (f"_ring{ring}" if ring else "") + ("_knorm" if k_norm else "") + (f"_{vnorm_name(v_norm)}" if v_norm else "")
            + (f"_{number_name('eps', eps)}" if k_norm or v_norm else ""))

    @T.inline
    def inverse_rms(X, start, out):
        add_squares(X, start, out)
        out[0] = T.float32(1) / T.sqrt(out[0] * exact(1 / head_size) + exact(eps))

    @T.jit
    def func(x: T.handle("float32x4"), g: T.handle("float32x4"), table: T.handle("float32x4"), state_words: T.handle("int32"),
             k: T.handle("float32"), v: T.handle("float32x4"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * stride // 4,), "float32x4", data=x)
        G = T.decl_buffer((vectors,), "float32x4", data=g)
        TABLE = T.decl_buffer((2 * DIGIT * vectors,), "float32x4", data=table)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        K = T.decl_buffer((slots * kv_heads * head_size,), "float32", data=k)
        V = T.decl_buffer((slots * kv_heads * vectors,), "float32x4", data=v)
        factor = T.alloc_buffer((1,), "float32", scope="local")
        turned = T.alloc_buffer((2,), "float32x4", scope="local")
        for item in T.serial(last - first):
            part: T.int32 = T.truncmod(first + item, parts)
            m: T.int32 = T.truncdiv(first + item, parts * kv_heads)
            head: T.int32 = T.truncmod(T.truncdiv(first + item, parts), kv_heads)
            position: T.int32 = row_position(STATE_WORDS, m)
            slot: T.int32 = slot_of(position, ring)
            k_start: T.int32 = T.truncdiv(m * stride + k_offset, 4) + head * vectors
            v_start: T.int32 = T.truncdiv(m * stride + v_offset, 4) + head * vectors
            key: T.int32 = key_vector(slot, head, kv_heads, head_size) * KEY_LANES + slot % KEY_LANES
            factor[0] = T.float32(1)
            if k_norm:
                inverse_rms(X, k_start, factor)
            for step in T.serial(half // parts):
                i: T.int32 = part * (half // parts) + step
                low: T.float32x4 = X[k_start + i] * T.Broadcast(factor[0], 4)
                high: T.float32x4 = X[k_start + half + i] * T.Broadcast(factor[0], 4)
                if k_norm:
                    low = low * G[i]
                    high = high * G[half + i]
                turn(TABLE, low, high, i, position, turned)
                for which in T.unroll(2):
                    for lane in T.unroll(4):
                        K[key + ((which * half + i) * 4 + lane) * KEY_LANES] = T.Shuffle([turned[which]], [lane])
            factor[0] = T.float32(1)
            if normed:
                inverse_rms(X, v_start, factor)
                if v_norm != 1:
                    factor[0] = factor[0] * exact(v_norm)
            for step in T.serial(vectors // parts):
                i: T.int32 = part * (vectors // parts) + step
                V[(slot * kv_heads + head) * vectors + i] = X[v_start + i] * T.Broadcast(factor[0], 4)

    present = [(Parameter("X"), True), (Parameter("G"), k_norm), (Parameter("TABLE"), True), (Parameter("STATE_WORDS"), True),
               (Parameter("K", written=True), True), (Parameter("V", written=True), True)]
    return CpuKernel(name, func, parts * kv_heads, tuple(parameter for parameter, wanted in present if wanted), per_token=True)
