"""Variants by quads with subgroups of every size that WebGPU knows, and with threads in any order in them: emulated, and with those sizes that llvmpipe can have."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.kernels.kernel import SOFTWARE, SUBGROUPS
from tests.fixtures.emulated_subgroups import EmulatedSubgroups
from tests.numerics import test_kernel_experts, test_kernel_linear_matrix

FOLDER = Path(__file__).parent
PROCESSOR = Path("/proc/cpuinfo")
# The driver reads the width of its vectors, 32 bits a thread, when it is loaded: so each size has a process of its own, which tells the size that it really has.
SCRIPT = """
import sys
import numpy as np
import pytest
from compiler.emit.webgpu import Shader
from tests.fixtures.native_gpu import NativeGpu

WGSL = "@group(0) @binding(0) var<storage, read_write> y: array<u32>; @compute @workgroup_size(64) fn f(@builtin(subgroup_size) n: u32) { y[0] = n; }"
gpu = NativeGpu()
print("size", np.frombuffer(gpu.launch(Shader(WGSL, "f", (64, 1, 1), ["Y"], {"y"}), (1, 1), [bytes(4)], 1)[0], np.uint32)[0], flush=True)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:], "-k", "native and (quads or wide_tiles)"]))
"""


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 128])
def test_products_by_quads_are_right_in_emulated_subgroups(native_gpu, size):
    gpu = EmulatedSubgroups(native_gpu, size, seed=size)
    test_kernel_linear_matrix.check(gpu, 16, 150, 100, "q8", variant=SUBGROUPS)
    test_kernel_linear_matrix.check(gpu, 130, 270, 36, "q8", length=115, epilogue="gated", variant=(SUBGROUPS, SOFTWARE))
    test_kernel_experts.check_chunk(gpu, "q4", 33, 96, 16, 5, variant=SUBGROUPS)


# What runs in the tests' own process has eight.
@pytest.mark.parametrize("size", [4, 16])
def test_products_by_quads_are_right_in_subgroups_of_another_size(size):
    if size == 16 and not (PROCESSOR.exists() and "avx512f" in PROCESSOR.read_text()):
        pytest.skip("this processor has, or tells of, no AVX-512, without which llvmpipe's vectors are shorter")
    tests = [str(FOLDER / name) for name in ("test_kernel_linear_matrix.py", "test_kernel_experts.py")]
    environment = os.environ | {"LP_NATIVE_VECTOR_WIDTH": str(32 * size)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *tests], cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True)
    assert f"size {size}\n" in done.stdout
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-2000:]
