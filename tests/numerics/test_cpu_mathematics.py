"""Exponentials and their kin on the CPU against numpy in float64, in wasmtime."""
import numpy as np
import pytest
from tvm.script import tirx as T

from compiler.cpu_kernels import mathematics
from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128, CpuKernel
from compiler.kernels import twins
from compiler.kernels.kernel import Parameter
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within
from tests.fixtures.native_wasm import run_cpu_kernel

ULP = tolerances.ULP
TINY = 2.0**-126


def apply(name: str, x: np.ndarray, simd: str = RELAXED) -> np.ndarray:
    """The function of that name on every value of x (a multiple of 4 of them)."""
    function, lanes = getattr(mathematics, name), int(name[-1])
    dtype = "float32" if lanes == 1 else "float32x4"
    items = len(x) // lanes

    @T.jit
    def func(x: T.handle(dtype), y: T.handle(dtype), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((items,), dtype, data=x)
        Y = T.decl_buffer((items,), dtype, data=y)
        value = T.alloc_buffer((1,), dtype, scope="local")
        for i in T.serial(last - first):
            value[0] = X[first + i]
            function(value, 0)
            Y[first + i] = value[0]

    kernel = CpuKernel(name, func, items, (Parameter("X"), Parameter("Y", written=True)))
    return run_cpu_kernel(kernel, {"X": x.astype(np.float32), "Y": np.zeros(len(x), np.float32)}, [(0, items // 3), (items // 3, items)], simd)["Y"]


def inputs(low: float, high: float) -> np.ndarray:
    return np.concatenate([np.linspace(low, high, 40000), np.linspace(-1, 1, 4000), 10.0 ** np.linspace(-30, 0, 400), [0, low, high, -0.0]]).astype(np.float32)


@pytest.mark.parametrize("simd", [RELAXED, SIMD128])
@pytest.mark.parametrize("name", ["exp1", "exp4"])
def test_exp(name, simd):
    x = inputs(-87.3, 88.3)
    expected = np.exp(x.astype(np.float64))
    assert_within(apply(name, x, simd), expected, 2 * ULP * expected)
    # Results that are no normal numbers lose their last bits, down to 0.
    tiny = np.linspace(-89, -87, 400, dtype=np.float32)
    assert_within(apply(name, tiny, simd), np.exp(tiny.astype(np.float64)), np.full(400, 0.75 * TINY))
    assert (apply(name, np.array([-88, -1e4, -np.inf, -3e38], np.float32), simd) == 0).all()
    assert (apply(name, np.array([89, 1e4, np.inf, 3e38], np.float32), simd) > 2e38).all()


@pytest.mark.parametrize("name", ["log1", "log4"])
def test_log(name):
    x = np.concatenate([10.0 ** np.linspace(-37.9, 38.5, 40000), np.linspace(0.5, 2, 40000), [1, TINY, 1 + ULP, 1 - ULP]]).astype(np.float32)
    expected = np.log(x.astype(np.float64))
    assert_within(apply(name, x), expected, 2 * ULP * np.abs(expected))


@pytest.mark.parametrize("name", ["tanh1", "tanh4"])
def test_tanh(name):
    x = inputs(-20, 20)
    expected = np.tanh(x.astype(np.float64))
    assert_within(apply(name, x), expected, 4 * ULP * np.abs(expected))
    assert (apply(name, np.array([1e3, -1e3, np.inf, -np.inf], np.float32)) == [1, -1, 1, -1]).all()


@pytest.mark.parametrize("name", ["gelu1", "gelu4"])
def test_gelu(name):
    x = inputs(-20, 20)
    expected = twins.gelu(x.astype(np.float64))
    # Rounding the argument of exp takes its size times U off the result's factor; where it is large and x negative, next to nothing is left.
    assert_within(apply(name, x), expected, 5 * ULP * np.abs(x))
    assert (apply(name, np.array([1e3, 1e13, 1e20, 3e38], np.float32)) == np.array([1e3, 1e13, 1e20, 3e38], np.float32)).all()
    assert (np.abs(apply(name, np.array([-1e3, -1e13, -1e17, -40], np.float32))) <= 1e-18).all()


def test_lane_sum():
    @T.jit
    def func(x: T.handle("float32x4"), y: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": "lane_sum", "tirx.noalias": True})
        X = T.decl_buffer((4,), "float32x4", data=x)
        Y = T.decl_buffer((4,), "float32", data=y)
        for i in T.serial(last - first):
            value: T.float32x4 = X[first + i]
            Y[first + i] = mathematics.lane_sum(value)

    x = np.random.default_rng(1).integers(-99, 99, (4, 4)).astype(np.float32)
    kernel = CpuKernel("lane_sum", func, 4, (Parameter("X"), Parameter("Y", written=True)))
    assert (run_cpu_kernel(kernel, {"X": x, "Y": np.zeros(4, np.float32)}, [(0, 1), (1, 4)])["Y"] == x.sum(axis=1)).all()
