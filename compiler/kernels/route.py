"""Mixture of experts: which experts a token goes to, and, for a chunk, which tokens an expert gets."""
from tvm.script import tirx as T

from ..state import STATE
from .kernel import ANY_EXTENT, Kernel, Parameter

THREADS = 128


def route_kernel(tokens: int, experts: int, chosen: int) -> Kernel:
    """ROUTE float32 [M, 2 * chosen]: the numbers of the `chosen` best experts, best first, then their weights.

    From SCORES float32 [M, experts]: softmax over all experts, the best kept, their probabilities scaled to a sum of 1,
    then each multiplied by its expert's own PER_EXPERT [experts]. Of equal scores the lower expert wins.
    """
    name = f"route_e{experts}_top{chosen}"

    @T.jit
    def func(SCORES: T.Buffer((ANY_EXTENT * experts,), "float32"), PER_EXPERT: T.Buffer((experts,), "float32"),
             ROUTE: T.Buffer((ANY_EXTENT * 2 * chosen,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for m in T.thread_binding(ANY_EXTENT, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                scores = T.alloc_buffer((experts,), "float32", scope="shared")
                best = T.alloc_buffer((chosen,), "int32", scope="local")
                for i in T.serial(T.truncdiv(experts - tx + THREADS - 1, THREADS)):
                    scores[i * THREADS + tx] = SCORES[m * experts + i * THREADS + tx]
                T.tvm_storage_sync("shared")
                if tx == 0:
                    # The softmax's own sum cancels against the sum over the chosen, so only these are needed.
                    sum_chosen: T.float32 = T.float32(0)
                    highest: T.float32 = T.float32(0)
                    for k in T.unroll(chosen):
                        expert: T.int32 = 0
                        score: T.float32 = T.float32(-3.0e38)
                        for e in T.serial(experts):
                            if scores[e] > score:
                                score = scores[e]
                                expert = e
                        if k == 0:
                            highest = score
                        best[k] = expert
                        scores[expert] = T.float32(-3.0e38)
                        ROUTE[m * 2 * chosen + k] = T.Cast("float32", expert)
                        sum_chosen = sum_chosen + T.exp(score - highest)
                    for k in T.unroll(chosen):
                        ROUTE[m * 2 * chosen + chosen + k] = (
                            T.exp(SCORES[m * experts + best[k]] - highest) / sum_chosen * PER_EXPERT[best[k]])

    return Kernel(name, func, (tokens, 1), (Parameter("SCORES"), Parameter("PER_EXPERT"), Parameter("ROUTE", written=True)))


def group_kernel(tokens: int, experts: int, chosen: int) -> Kernel:
    """COUNT int32 [experts], LIST int32 [experts, M]: how many and which of the chunk's choices fall to each expert.

    A choice is numbered token * chosen + place in the token's ROUTE; a list is in rising order. Tokens beyond the
    state's `length` make no choice.
    """
    name = f"route_group_m{tokens}_e{experts}_top{chosen}"

    @T.jit
    def func(ROUTE: T.Buffer((tokens * 2 * chosen,), "float32"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             COUNT: T.Buffer((experts,), "int32"), LIST: T.Buffer((experts * tokens,), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(-(-experts // THREADS), thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                expert: T.int32 = block * THREADS + tx
                count: T.int32 = 0
                if expert < experts:
                    for m in T.serial(STATE_WORDS[STATE["length"]]):
                        for k in T.serial(chosen):
                            if ROUTE[m * 2 * chosen + k] == T.Cast("float32", expert):
                                LIST[expert * tokens + count] = m * chosen + k
                                count = count + 1
                    COUNT[expert] = count

    return Kernel(name, func, (-(-experts // THREADS), 1), (Parameter("ROUTE"), Parameter("STATE_WORDS", bytes_moved=4),
                                                            Parameter("COUNT", written=True), Parameter("LIST", written=True)))
