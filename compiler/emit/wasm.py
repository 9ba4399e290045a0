"""The WebAssembly modules of a model: kernels through TVM, a driver in C, linked over one plan of linear memory."""
import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..cpu_kernels.cpu_kernel import RELAXED
from ..cpu_programs import VARIANTS, CpuVariant, lower_for_cpu
from ..known_answer.prompt import LENGTH
from ..pipeline import Lowered
from ..quantize.format import round_up
from ..schedule.kv_plan import SLOT_TILE
from ..schedule.layer_ends import layer_ends
from ..schedule.program import Program
from .wasm_driver import driver
from .wasm_link import MOST_PAGES, PAGE, compile_c, link
from .wasm_object import compile_kernel, compiled

STACKS = 1 << 20  # where stacks start; the module's own data lies below
STACK_BYTES = 128 << 10
MOST_THREADS = 16
ALIGNMENT = 64
LIMIT = PAGE * MOST_PAGES
EXPORTS = {True: ["alone", "part", "run", "serve", "abandon", "quit"], False: ["alone", "part", "run"]}


@dataclass(frozen=True)
class WasmTarget:
    """What `model.json` says of the target. programs, offsets: one a variant; offsets by buffer name. Weights, state and logits
    have the same in all."""

    programs: list[Program]
    offsets: list[dict[str, int]]
    memory_bytes: int
    layers: int
    hidden_size: int

    @property
    def weights(self) -> list[str]:
        """Names of the weight buffers, in the order of their places."""
        return [name for name, buffer in self.programs[0].buffers.items() if buffer.kind == "weight"]


def plan_wasm(lowered: Lowered) -> WasmTarget:
    """Places every buffer; nothing is compiled. The caller compares `memory_bytes` with LIMIT."""
    programs = [lower_for_cpu(lowered, variant) for variant in VARIANTS]
    placed = [place(program) for program in programs]
    return WasmTarget(programs, [offsets for offsets, _ in placed], max(end for _, end in placed), len(lowered.model.kv_sources()), lowered.config.hidden_size)


def place(program: Program) -> tuple[dict[str, int], int]:
    """A place for each buffer, scratch last since it alone differs between variants; and the end, in whole pages."""
    order = sorted(program.buffers.values(), key=lambda buffer: buffer.name.startswith("scratch."))
    offsets, end = {}, STACKS + MOST_THREADS * STACK_BYTES
    for buffer in order:
        offsets[buffer.name] = end
        end = round_up(end + buffer.bytes, ALIGNMENT)
    return offsets, round_up(end, PAGE)


def emit_modules(target: WasmTarget, folder: Path, dump: Path | None) -> list[dict]:
    """Writes `wasm/*.wasm` into the model's folder; returns what the manifest says of them. Raises GemletError where linking fails."""
    (folder / "wasm").mkdir()
    # Side by side: LLVM, and the compiler and the linker of the driver, leave Python's lock alone.
    with ThreadPoolExecutor() as pool:
        entries = pool.map(lambda parts: emit_variant(*parts, folder, dump), zip(VARIANTS, target.programs, target.offsets))
        layers = [layers_entry(*parts, target.layers, target.hidden_size) for parts in zip(target.programs, target.offsets)]
        return [entry | {"layers": of_layers} for of_variant, of_layers in zip(entries, layers) for entry in of_variant]


def emit_variant(variant: CpuVariant, program: Program, offsets: dict[str, int], folder: Path, dump: Path | None) -> list[dict]:
    """The modules of a variant, with threads and without."""
    label = f"{variant.activations}-relaxed" if variant.simd == RELAXED else variant.activations
    compiled_kernels = {kernel.name: compiled(kernel, variant.simd) for kernel in program.kernels}
    source = driver(program.steps, offsets, {name: each.signature for name, each in compiled_kernels.items()})
    entries = []
    with tempfile.TemporaryDirectory() as place:
        objects = [Path(place) / "driver.o", *(Path(place) / f"{number}.o" for number in range(len(compiled_kernels)))]
        compile_c(source, objects[0])
        for file, each in zip(objects[1:], compiled_kernels.values()):
            file.write_bytes(each.code)
        for threads in (True, False):
            linked = link(objects, EXPORTS[threads], threads)
            entries.append(write_module(folder, f"wasm/{label}{'-threads' if threads else ''}.wasm", linked)
                           | {"threads": threads, "simd": variant.simd, "activations": variant.activations})
    if dump is not None:
        (dump / "wasm").mkdir(parents=True, exist_ok=True)
        (dump / "wasm" / f"{label}.txt").write_text(program.text(), encoding="utf-8")
        texts = [compile_kernel(kernel, variant.simd).inspect_source("ll") for kernel in program.kernels]
        (dump / "wasm" / f"{label}.ll").write_text("\n".join(texts), encoding="utf-8")
        (dump / "wasm" / f"{label}.c").write_text(source, encoding="utf-8")
    return entries


def write_module(folder: Path, file: str, linked: bytes) -> dict:
    (folder / file).write_bytes(linked)
    return {"file": file, "bytes": len(linked), "sha256": hashlib.sha256(linked).hexdigest()}


def layers_entry(program: Program, offsets: dict[str, int], layers: int, hidden_size: int) -> list[dict | None]:
    """Where a module leaves what each layer gives."""
    return [end and end.entry({"offset": offsets[end.buffer]}) for end in layer_ends(program, layers, hidden_size, LENGTH)]


def wasm_entry(target: WasmTarget, modules: list[dict], pieces: dict[str, list]) -> dict:
    """The manifest's `wasm` (docs/artifact.md). pieces: none in a folder without weights."""
    program, offsets = target.programs[0], target.offsets[0]
    return {
        "modules": modules,
        "memory_bytes": target.memory_bytes,
        "stacks": {"offset": STACKS, "bytes": STACK_BYTES, "threads": MOST_THREADS},
        "steps": {step: number for number, step in enumerate(program.steps)},
        "prefill": list(program.chunks),
        "state": offsets["state"],
        "state_bytes": program.buffers["state"].bytes,
        "logits": offsets["logits"],
        "adjust": {"adjustments": offsets["adjustments"], "mask": offsets["mask"]},
        "caches": [{"offset": offsets[buffer.name], "bytes": buffer.bytes, "slot_bytes": buffer.slot_bytes, "slot_tile": buffer.slot_tile}
                   for buffer in program.buffers.values() if buffer.kind == "cache"],
        "weights": [{"name": name, "offset": offsets[name], "bytes": program.buffers[name].bytes, "pieces": pieces.get(name, [])} for name in target.weights],
    }


def unfit_entry(target: WasmTarget) -> dict:
    """The manifest's `wasm` of a model that 32 bits cannot address; what would fit, since linear caches shrink with the context."""
    program = target.programs[0]
    a_token = sum(buffer.slot_bytes for buffer in program.buffers.values() if buffer.slots)
    excess = target.memory_bytes - LIMIT
    context = program.context - -(-excess // a_token) // SLOT_TILE * SLOT_TILE - SLOT_TILE if a_token else 0
    return {"unfit": {"memory_bytes": target.memory_bytes, "limit_bytes": LIMIT, "context_that_fits": max(0, context)}}
