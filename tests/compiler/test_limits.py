"""Limits of devices: a kernel that needs more than every device offers is refused by name, and the manifest states what is needed."""
import json
import re

import pytest
from tvm.script import tirx as T

from compiler.emit.limits import shader_needs, shared_bytes
from compiler.emit.webgpu import emit_kernel
from compiler.errors import GemletError
from compiler.kernels.kernel import Kernel, Parameter
from tests.fixtures.sites import add_model


def many_buffers(count: int) -> Kernel:
    """A kernel that binds ten buffers at most, of which `count` are used: else the text would not declare them."""
    name = f"adds_{count}"

    @T.jit
    def func(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32"), C: T.Buffer((64,), "float32"), D: T.Buffer((64,), "float32"),
             E: T.Buffer((64,), "float32"), F: T.Buffer((64,), "float32"), G: T.Buffer((64,), "float32"), H: T.Buffer((64,), "float32"),
             Y: T.Buffer((64,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(64, thread="threadIdx.x"):
                if count == 9:
                    Y[block + tx] = A[tx] + B[tx] + C[tx] + D[tx] + E[tx] + F[tx] + G[tx] + H[tx]
                else:
                    Y[block + tx] = A[tx] + B[tx] + C[tx] + D[tx] + E[tx] + F[tx] + G[tx]

    return Kernel(name, func, (1, 1), tuple(Parameter(each) for each in "ABCDEFGH"[: count - 1]) + (Parameter("Y", written=True),))


def wide(x: int, y: int, shared: int) -> Kernel:
    """A kernel with a workgroup of that size and float32 values of workgroup memory."""
    name = f"wide_{x}_{y}_{shared}"

    @T.jit
    def func(Y: T.Buffer((x * y,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for ty in T.thread_binding(y, thread="threadIdx.y"):
                for tx in T.thread_binding(x, thread="threadIdx.x"):
                    memory = T.alloc_buffer((shared,), "float32", scope="shared")
                    memory[ty * x + tx] = T.float32(1)
                    T.tvm_storage_sync("shared")
                    Y[block + ty * x + tx] = memory[x * y - 1 - ty * x - tx]

    return Kernel(name, func, (1, 1), (Parameter("Y", written=True),))


def test_a_ninth_storage_buffer_is_refused_by_the_kernels_name():
    with pytest.raises(GemletError, match="^kernel adds_9: maxStorageBuffersPerShaderStage: needed 9, offered by every device 8$"):
        emit_kernel(many_buffers(9))


def test_more_threads_than_every_device_has_are_refused():
    with pytest.raises(GemletError, match="kernel wide_32_16_512: maxComputeInvocationsPerWorkgroup: needed 512, offered by every device 256"):
        emit_kernel(wide(32, 16, 512))


def test_more_workgroup_memory_than_every_device_has_is_refused():
    with pytest.raises(GemletError, match="kernel wide_16_16_4097: maxComputeWorkgroupStorageSize: needed 16400, offered by every device 16384"):
        emit_kernel(wide(16, 16, 4097))
    assert emit_kernel(wide(16, 16, 4096)).needs["maxComputeWorkgroupStorageSize"] == 16384


def test_workgroup_memory_counts_as_webgpu_counts_it():
    text = "var<workgroup> a : array<vec3<f32>, 3>;\nvar<workgroup> b : array<f16, 3>;\nvar<workgroup> c : array<vec4<f16>, 5>;\nvar<workgroup> d : array<u32, 8>;"
    assert shared_bytes(text) == 48 + 16 + 48 + 32
    with pytest.raises(GemletError, match="workgroup memory e is mat4x4<f32>"):
        shared_bytes("var<workgroup> e : mat4x4<f32>;")


@pytest.fixture(scope="module")
def compiled(checkpoints, tmp_path_factory):
    return add_model(tmp_path_factory.mktemp("limits"), checkpoints("plain"), "plain", "q8")


def test_the_manifest_states_what_its_kernels_launches_and_buffers_need(compiled):
    manifest = json.loads((compiled / "model.json").read_text())
    needs: dict[str, int] = {}

    def need(name: str, amount: int) -> None:
        needs[name] = max(amount, needs.get(name, 0))

    for kernel in manifest["kernels"]:
        text = (compiled / kernel["file"]).read_text()
        x, y, z = kernel["workgroup"]
        assert [int(extent) for extent in re.search(r"@workgroup_size\((\d+), (\d+), (\d+)\)", text).groups()] == [x, y, z]
        need("maxStorageBuffersPerShaderStage", text.count("var<storage"))
        need("maxComputeInvocationsPerWorkgroup", x * y * z)
        for axis, extent in zip("XYZ", (x, y, z)):
            need(f"maxComputeWorkgroupSize{axis}", extent)
        need("maxComputeWorkgroupStorageSize", kernel["shared_bytes"])
        assert text.count("var<uniform") == 0 and "@group(1)" not in text
        for variant in kernel.get("variants", []):
            assert shader_needs(0, (1, 1, 1), (compiled / variant["file"]).read_text())["maxComputeWorkgroupStorageSize"] == variant["shared_bytes"]
    for launches in manifest["steps"].values():
        for launch in launches:
            need("maxComputeWorkgroupsPerDimension", max(launch["grid"]))
    split = {index for table in manifest["tables"] for index in table["buffers"]}
    for index, buffer in enumerate(manifest["buffers"]):
        if index not in split:
            need("maxBufferSize", buffer["bytes"])
            need("maxStorageBufferBindingSize", buffer["bytes"])
    assert manifest["limits"] == needs | {"maxBindGroups": 1}
