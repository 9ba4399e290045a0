"""The driver of a module as V8 gets it: functions that are compiled in a moment, whatever the number of launches."""
from compiler.cpu_programs import VARIANTS, lower_for_cpu
from compiler.emit.wasm import place
from compiler.emit.wasm_driver import driver
from compiler.emit.wasm_link import compile_c
from tests.fixtures.lowered import lowered
from tests.fixtures.wasm_sections import function_sizes

CONSTANT = 6  # bytes at most of an argument, and of a call: an instruction and a number of 32 bits
LENGTH = 24  # bytes at most that multiply a launch's work items by the state's length, and pass the number of threads
CONDITION = 24  # bytes at most that look whether a launch is wanted


def test_a_step_is_a_list_of_calls(tmp_path):
    """With loops and barriers in line, decode was a function of 45 KB, which a core compiled for 0.15 s in the midst of an answer."""
    program = lower_for_cpu(lowered("gemma3_270m"), VARIANTS[0])
    offsets, _ = place(program)
    signatures = {kernel.name: tuple(kernel.signature) for kernel in program.kernels}
    compile_c(driver(program.steps, offsets, signatures), tmp_path / "driver.o")
    sizes = function_sizes((tmp_path / "driver.o").read_bytes())
    calls = {name: sum(CONSTANT * (len(signatures[launch.kernel.name]) + 2) + LENGTH + CONDITION for launch in launches) for name, launches in program.steps.items()}
    assert max(sizes) <= max(calls.values())
    kernels = {launch.kernel.name for launches in program.steps.values() for launch in launches}
    assert len(sizes) >= len(kernels) + len(program.steps)  # each a function of its own: nothing was put in line
