"""RMS norm over rows, alone or with the residual that Gemma adds after it."""
from tvm.script import tirx as T

from .kernel import ANY_EXTENT, Kernel, Parameter, ceil_div, exact, number_name
from .workgroup_sum import LANES, sum_of_squares

# LANES threads a row: few, since each adds up what all of them have.
ROWS = 4


def norm_kernel(tokens: int, width: int, eps: float, residual: bool = False, input_scale: float = 1.0,
                output_scale: float | str = 1.0) -> Kernel:
    """Y[M, K] = (R + rms_norm(input_scale * X) * G) * output_scale, without R where `residual` is false.

    rms_norm(x) = x / sqrt(mean(x^2) + eps) (arXiv 1910.07467). output_scale: a number, or "tensor": the first value
    of a parameter C. All float32; K is a multiple of 4.
    """
    vectors, rows = width // 4, min(ROWS, tokens)
    add_squares = sum_of_squares(vectors, LANES)
    scaled_by_tensor = output_scale == "tensor"
    # Whole workgroups need no look at how many rows there are, and so one shader serves all numbers of them.
    whole = tokens % ROWS == 0
    name = f"norm{'' if whole else f'_m{tokens}'}_k{width}_{number_name('eps', eps)}" + ("_residual" if residual else "")
    name += f"_{number_name('in', input_scale)}" if input_scale != 1.0 else ""
    if scaled_by_tensor:
        name += "_scaled"
    elif output_scale != 1.0:
        name += f"_{number_name('out', output_scale)}"

    @T.jit
    def func(X: T.Buffer((ANY_EXTENT * vectors,), "float32x4"), G: T.Buffer((vectors,), "float32x4"),
             R: T.Buffer((ANY_EXTENT * vectors,), "float32x4"), C: T.Buffer((1,), "float32"),
             Y: T.Buffer((ANY_EXTENT * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(ANY_EXTENT, thread="blockIdx.x"):
            for ty in T.thread_binding(rows, thread="threadIdx.y"):
                for tx in T.thread_binding(LANES, thread="threadIdx.x"):
                    partial = T.alloc_buffer((rows * LANES,), "float32", scope="shared")
                    square = T.alloc_buffer((1,), "float32", scope="local")
                    # Rows that pad the last workgroup norm the last row once more, so that all threads meet at the barrier.
                    m: T.int32 = block * ROWS + ty if whole else T.min(block * ROWS + ty, tokens - 1)
                    add_squares(X, m * vectors, partial, ty * LANES, square, tx)
                    # The scale of the input is folded in: c x / sqrt(c^2 mean(x^2) + eps).
                    factor: T.float32 = exact(input_scale) / T.sqrt(
                        exact(input_scale * input_scale / width) * square[0] + exact(eps))
                    if scaled_by_tensor:
                        after: T.float32 = C[0]
                    else:
                        after: T.float32 = exact(output_scale)
                    if whole or block * ROWS + ty < tokens:
                        for i in T.serial(T.truncdiv(vectors - tx + LANES - 1, LANES)):
                            at: T.int32 = m * vectors + i * LANES + tx
                            y: T.float32x4 = X[at] * G[i * LANES + tx] * T.Broadcast(factor, 4)
                            if residual:
                                y = y + R[at]
                            Y[at] = y * T.Broadcast(after, 4)

    moved = 4 * tokens * width
    present = [(Parameter("X", bytes_moved=moved), True), (Parameter("G"), True), (Parameter("R", bytes_moved=moved), residual),
               (Parameter("C"), scaled_by_tensor), (Parameter("Y", written=True, bytes_moved=moved), True)]
    return Kernel(name, func, (ceil_div(tokens, ROWS), 1), tuple(parameter for parameter, wanted in present if wanted))
