"""A whole WebAssembly module, driver and kernels, in wasmtime."""
import tempfile
from functools import cache
from pathlib import Path

import wasmtime

from compiler.cpu_programs import VARIANTS, CpuVariant, lower_for_cpu
from compiler.emit.wasm import EXPORTS, place
from compiler.emit.wasm_driver import driver
from compiler.emit.wasm_link import PAGE, compile_c, link
from compiler.emit.wasm_object import compiled
from compiler.schedule.program import PREPARE
from tests.fixtures.native_wasm import module_engine
from tests.property.models import Case, weight_bytes
from tests.property.runs import ROUNDED, TOLERANCE, Outcome, Target, check


@cache
def variants() -> dict[str, CpuVariant]:
    return {variant.activations if variant.activations == "float" else f"{variant.activations}-{variant.simd}": variant for variant in VARIANTS}


class WasmTarget(Target):
    """The module that has one thread."""

    def __init__(self, case: Case, variant: CpuVariant):
        self.program = lower_for_cpu(case.lowered, variant)
        self.offsets, end = place(self.program)
        kernels = {kernel.name: compiled(kernel, variant.simd) for kernel in self.program.kernels}
        source = driver(self.program.steps, self.offsets, {name: kernel.signature for name, kernel in kernels.items()})
        with tempfile.TemporaryDirectory() as folder:
            objects = [Path(folder) / "driver.o", *(Path(folder) / f"{number}.o" for number in range(len(kernels)))]
            compile_c(source, objects[0])
            for file, kernel in zip(objects[1:], kernels.values()):
                file.write_bytes(kernel.code)
            module = wasmtime.Module(module_engine(), link(objects, EXPORTS[False], False))
        self.store = wasmtime.Store(module_engine())
        self.memory = wasmtime.Memory(self.store, wasmtime.MemoryType(wasmtime.Limits(end // PAGE, PAGE)))
        self.alone = wasmtime.Instance(self.store, module, [self.memory]).exports(self.store)["alone"]
        self.numbers = {step: number for number, step in enumerate(self.program.steps)}
        for name, content in weight_bytes(case.lowered, self.program).items():
            self.write(name, content)
        self.run(PREPARE)

    def write(self, buffer: str, content: bytes) -> None:
        assert len(content) == self.program.buffers[buffer].bytes, f"{buffer}: {len(content)} bytes, expected {self.program.buffers[buffer].bytes}"
        self.memory.write(self.store, content, self.offsets[buffer])

    def read(self, buffer: str, count: int) -> bytes:
        return bytes(self.memory.read(self.store, self.offsets[buffer], self.offsets[buffer] + count))

    def run(self, step: str) -> None:
        self.alone(self.store, self.numbers[step])


def check_wasm(case: Case) -> Outcome:
    variant = variants()[case.configuration.variant]
    whole = variant.activations != "float" and case.configuration.format in ("q8", "q4", "mobile")
    return check(case, WasmTarget(case, variant), ROUNDED if whole else TOLERANCE)
