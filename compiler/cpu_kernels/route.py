"""Mixture of experts: which experts a token goes to, and which choices an expert gets (compiler/kernels/route.py)."""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter
from ..state import STATE
from .cpu_kernel import CpuKernel
from .mathematics import exp1

LOWEST = -3.0e38


def route_kernel(tokens: int, experts: int, chosen: int) -> CpuKernel:
    """ROUTE float32 [M, 2 * chosen]: the numbers of the `chosen` best experts, best first, then their weights.

    From SCORES float32 [M, experts]: the softmax over the chosen, each times its expert's own PER_EXPERT [experts]. Of equal scores
    the lower expert wins.
    """
    name = f"route_m{tokens}_e{experts}_top{chosen}"

    @T.jit
    def func(scores: T.handle("float32"), per_expert: T.handle("float32"), route: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        SCORES = T.decl_buffer((tokens * experts,), "float32", data=scores)
        PER_EXPERT = T.decl_buffer((experts,), "float32", data=per_expert)
        ROUTE = T.decl_buffer((tokens * 2 * chosen,), "float32", data=route)
        left = T.alloc_buffer((experts,), "float32", scope="local")
        best = T.alloc_buffer((chosen,), "int32", scope="local")
        weights = T.alloc_buffer((chosen,), "float32", scope="local")
        for item in T.serial(last - first):
            m: T.int32 = first + item
            for e in T.serial(experts):
                left[e] = SCORES[m * experts + e]
            total: T.float32 = T.float32(0)
            for k in T.serial(chosen):
                expert: T.int32 = 0
                score: T.float32 = T.float32(LOWEST)
                for e in T.serial(experts):
                    if left[e] > score:
                        score = left[e]
                        expert = e
                left[expert] = T.float32(LOWEST)
                best[k] = expert
                weights[k] = score - SCORES[m * experts + best[0]]
                exp1(weights, k)
                total = total + weights[k]
            for k in T.serial(chosen):
                ROUTE[m * 2 * chosen + k] = T.Cast("float32", best[k])
                ROUTE[m * 2 * chosen + chosen + k] = weights[k] / total * PER_EXPERT[best[k]]

    return CpuKernel(name, func, 1, (Parameter("SCORES"), Parameter("PER_EXPERT"), Parameter("ROUTE", written=True)), per_token=True)


def group_kernel(tokens: int, experts: int, chosen: int) -> CpuKernel:
    """COUNT int32 [experts], LIST int32 [experts, M]: how many and which of the chunk's choices fall to each expert, in rising order."""
    name = f"route_group_m{tokens}_e{experts}_top{chosen}"

    @T.jit
    def func(route: T.handle("float32"), state_words: T.handle("int32"), count: T.handle("int32"), list: T.handle("int32"),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        ROUTE = T.decl_buffer((tokens * 2 * chosen,), "float32", data=route)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        COUNT = T.decl_buffer((experts,), "int32", data=count)
        LIST = T.decl_buffer((experts * tokens,), "int32", data=list)
        for e in T.serial(last - first):
            COUNT[first + e] = 0
        for m in T.serial(1 if tokens == 1 else STATE_WORDS[STATE["length"]]):
            for k in T.serial(chosen):
                expert: T.int32 = T.Cast("int32", ROUTE[m * 2 * chosen + k])
                if T.And(expert >= first, expert < last):
                    LIST[expert * tokens + COUNT[expert]] = m * chosen + k
                    COUNT[expert] = COUNT[expert] + 1

    return CpuKernel(name, func, experts, (Parameter("ROUTE"), Parameter("STATE_WORDS", bytes_moved=4), Parameter("COUNT", written=True),
                                           Parameter("LIST", written=True)))
