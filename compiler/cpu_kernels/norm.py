"""RMS norm over rows, alone or with the residual that Gemma adds after it: a work item is a row, or a quarter of the only one."""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact, number_name
from .cpu_kernel import CpuKernel
from .mathematics import lane_sum

PARTS = 4  # of the only row: each sums up all of it, which is less than to wait for one thread
SUMS = 4  # that grow side by side, so that an addition need not wait for the one before it


def sum_of_squares(vectors: int):
    """Inline (X: float32x4 buffer, start, out: local float32): out[0] = the sum of the squares of `vectors` vectors from X[start] on."""

    @T.inline
    def add_squares(X, start, out):
        sums = T.alloc_buffer((SUMS,), "float32x4", scope="local")
        for i in T.unroll(SUMS):
            sums[i] = T.Broadcast(T.float32(0), 4)
        for step in T.serial(vectors // SUMS):
            for i in T.unroll(SUMS):
                sums[i] = sums[i] + X[start + step * SUMS + i] * X[start + step * SUMS + i]
        for i in T.unroll(vectors % SUMS):
            sums[i] = sums[i] + X[start + vectors // SUMS * SUMS + i] * X[start + vectors // SUMS * SUMS + i]
        total: T.float32x4 = (sums[0] + sums[1]) + (sums[2] + sums[3])
        out[0] = lane_sum(total)

    return add_squares


def norm_kernel(rows: int, rows_per_token: int, width: int, eps: float, residual: bool = False, input_scale: float = 1.0,
                output_scale: float | str = 1.0) -> CpuKernel:
    """Y[rows, K] = (R + rms_norm(input_scale * X) * G) * output_scale, as compiler/kernels/norm.py has it.

    output_scale: a number, or "tensor": the first value of a parameter C. K is a multiple of 4. Rows of tokens beyond the state's
    `length` are left as they were.
    """
    vectors = width // 4
    parts = PARTS if rows == 1 and vectors % PARTS == 0 else 1
    add_squares = sum_of_squares(vectors)
    scaled_by_tensor = output_scale == "tensor"
    name = f"norm_m{rows}_t{rows_per_token}_k{width}_{number_name('eps', eps)}" + ("_residual" if residual else "")
    name += f"_{number_name('in', input_scale)}" if input_scale != 1.0 else ""
    if scaled_by_tensor:
        name += "_scaled"
    elif output_scale != 1.0:
        name += f"_{number_name('out', output_scale)}"

    @T.jit
    def func(x: T.handle("float32x4"), g: T.handle("float32x4"), r: T.handle("float32x4"), c: T.handle("float32"), y: T.handle("float32x4"),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((rows * vectors,), "float32x4", data=x)
        G = T.decl_buffer((vectors,), "float32x4", data=g)
        R = T.decl_buffer((rows * vectors,), "float32x4", data=r)
        C = T.decl_buffer((1,), "float32", data=c)
        Y = T.decl_buffer((rows * vectors,), "float32x4", data=y)
        square = T.alloc_buffer((1,), "float32", scope="local")
        for item in T.serial(last - first):
            start: T.int32 = (first + item) // parts * vectors
            part: T.int32 = (first + item) % parts * (vectors // parts)
            add_squares(X, start, square)
            # The scale of the input is folded in: c x / sqrt(c^2 mean(x^2) + eps).
            if scaled_by_tensor:
                after: T.float32 = C[0]
            else:
                after: T.float32 = exact(output_scale)
            factor: T.float32 = exact(input_scale) / T.sqrt(exact(input_scale * input_scale / width) * square[0] + exact(eps))
            for step in T.serial(vectors // parts):
                i: T.int32 = part + step
                value: T.float32x4 = X[start + i] * G[i] * T.Broadcast(factor, 4)
                if residual:
                    value = value + R[start + i]
                Y[start + i] = value * T.Broadcast(after, 4)

    present = [(Parameter("X"), True), (Parameter("G"), True), (Parameter("R"), residual), (Parameter("C"), scaled_by_tensor),
               (Parameter("Y", written=True), True)]
    return CpuKernel(name, func, parts * rows_per_token, tuple(parameter for parameter, wanted in present if wanted), per_token=True)
