"""A whole Program for WebGPU on llvmpipe, through the Python package wgpu, from its WGSL."""
from functools import cache

from compiler.emit.webgpu import emit_kernel
from tests.fixtures.native_gpu import USAGE, NativeGpu
from tests.property.models import Case, weight_bytes
from tests.property.runs import TOLERANCE, Outcome, Target, check


@cache
def device() -> NativeGpu:
    return NativeGpu()


@cache
def pipeline(wgsl: str, entry: str):
    """Made once for all configurations."""
    module = device().device.create_shader_module(code=wgsl)
    return device().device.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": entry})


class WebGpuTarget(Target):
    """The kernels that every device can run."""

    def __init__(self, case: Case):
        self.program, self.gpu = case.lowered.program, device().device
        self.buffers = {buffer.name: self.gpu.create_buffer(size=buffer.bytes, usage=USAGE) for buffer in self.program.buffers.values()}
        for name, content in weight_bytes(case.lowered, self.program).items():
            self.write(name, content)
        self.steps = {step: [self.bound(launch) for launch in launches] for step, launches in self.program.steps.items()}

    def bound(self, launch):
        """A launch's pipeline, bind group and grid."""
        shader = emit_kernel(launch.kernel)
        made, names = pipeline(shader.wgsl, shader.entry), dict(zip(launch.kernel.parameter_names, launch.buffers))
        entries = [{"binding": binding, "resource": {"buffer": self.buffers[names[name]], "offset": 0, "size": self.buffers[names[name]].size}}
                   for binding, name in enumerate(shader.bindings)]
        return made, self.gpu.create_bind_group(layout=made.get_bind_group_layout(0), entries=entries), launch.kernel.grid

    def write(self, buffer: str, content: bytes) -> None:
        assert len(content) == self.program.buffers[buffer].bytes, f"{buffer}: {len(content)} bytes, expected {self.program.buffers[buffer].bytes}"
        self.gpu.queue.write_buffer(self.buffers[buffer], 0, content)

    def read(self, buffer: str, count: int) -> bytes:
        return bytes(self.gpu.queue.read_buffer(self.buffers[buffer], 0, count))

    def run(self, step: str) -> None:
        encoder = self.gpu.create_command_encoder()
        launches = encoder.begin_compute_pass()
        for made, group, grid in self.steps[step]:
            launches.set_pipeline(made)
            launches.set_bind_group(0, group)
            launches.dispatch_workgroups(*grid)
        launches.end()
        self.gpu.queue.submit([encoder.finish()])

    def close(self) -> None:
        for buffer in self.buffers.values():
            buffer.destroy()


def check_webgpu(case: Case) -> Outcome:
    target = WebGpuTarget(case)
    outcome = check(case, target, TOLERANCE)
    target.close()
    return outcome
