"""The Programs of a model for CPUs: the same steps and weights as for GPUs, with fewer fusions and one size of chunk."""
from dataclasses import dataclass, replace

from .cpu_kernels.adjust import adjust_kernel, mask_kernel
from .cpu_kernels.cpu_kernel import RELAXED, SIMD128
from .cpu_kernels.sample import peaks_kernel, sample_kernel
from .cpu_kernels.weight_quads import is_paired, prepare_kernel
from .cpu_kernels.withhold import withhold_kernel
from .kernels.adjust import list_words, mask_words
from .kernels.kernel import ceil_div
from .kernels.withhold import withheld_table
from .pipeline import Lowered
from .schedule.lower_cpu import CpuOperators
from .schedule.lower_step import Context, StepLowering, View
from .schedule.memory_plan import plan_memory
from .schedule.program import PREPARE, TRIAL, Buffer, Launch, Program
from .state import state_words

PEAK_BLOCK = 1024
# About as many multiply-accumulates has a trial. Their weights (q8: 256 KiB) stay in the caches of a core, so that the instructions take the time and not memory.
TRIAL_PRODUCTS = 1 << 18


@dataclass(frozen=True)
class CpuVariant:
    """simd: the instruction set. activations: how products take them: as whole numbers, "int16", or as they are, "float"."""

    simd: str
    activations: str


VARIANTS = (CpuVariant(RELAXED, "int16"), CpuVariant(SIMD128, "int16"), CpuVariant(SIMD128, "float"))


def lower_for_cpu(lowered: Lowered, variant: CpuVariant) -> Program:
    """The Program of a variant. Kernels read the chunk's length from the state, so that the largest chunk serves all lengths."""
    model, weights, caches, context = lowered.model, lowered.weights, lowered.caches, lowered.program.context
    chunk = max(lowered.program.chunks)
    sizes: dict[str, int] = {}
    tables = frozenset(weight.name for weight in weights if weight.is_table)
    roundings = {weight.name: weight.rounding for weight in weights if weight.rounding}
    lowering = Context({weight.name: weight.format for weight in weights}, roundings, tables, caches, context, sizes, {}, {})
    handover = {f"handover.{name}": width for name, width in model.handover().items()}
    inputs = {"tokens": "state", "state": "state", "caches": tuple(caches),
              "handover": tuple(View(name, (1, width), width) for name, width in handover.items())}
    apart = {weight.name: weight.stored_rows for weight in weights if weight.rounding and not weight.rounding.one_input}
    simd = None if variant.activations == "float" else variant.simd
    operators = CpuOperators(simd, apart).lowerings
    names = [weight.name for weight in weights]

    def lower(step: str, results: list[str]) -> list[Launch]:
        return StepLowering(step, lowered.module[step], names, inputs, results, lowering, operators).launches

    vocabulary = model.config.vocab_size
    draw = Launch(sample_kernel(vocabulary, PEAK_BLOCK), ("logits", "peaks", "state"))
    withhold = []
    if lowered.withheld:
        table = lowering.constants["withheld.wasm"] = withheld_table(lowered.withheld, vocabulary, PEAK_BLOCK)
        withhold.append(Launch(withhold_kernel(vocabulary, PEAK_BLOCK, len(table)), ("logits", "withheld.wasm")))
    sample = [*withhold, Launch(peaks_kernel(vocabulary, PEAK_BLOCK), ("logits", "peaks")), draw]
    sample_adjusted = [Launch(adjust_kernel(vocabulary), ("logits", "adjustments")), *withhold,
                       Launch(mask_kernel(vocabulary, PEAK_BLOCK), ("logits", "peaks", "adjustments", "mask")), draw]
    decode = lower("decode", ["logits"])
    data = [(buffer, is_paired(weight.format, simd)) for weight in weights if weight.is_matrix and not weight.is_table
            for buffer in weight.buffers() if buffer.name.endswith(".data")]
    steps = {PREPARE: [Launch(prepare_kernel(buffer.bytes // 16, paired), (buffer.name,)) for buffer, paired in data],
             f"prefill_{chunk}": lower(f"prefill_{chunk}", list(handover)), "tail": lower("tail", ["logits"]), "sample": sample,
             "decode": decode + sample, "decode_logits": decode, "sample_adjusted": sample_adjusted}
    steps, scratch = plan_memory(steps, sizes)
    steps[TRIAL] = [first_part(max(steps["decode"], key=lambda launch: launch.kernel.multiply_accumulates))]
    buffers = [Buffer("state", "state", 4 * state_words(chunk)), Buffer("logits", "logits", 4 * vocabulary),
               Buffer("peaks", "activation", 4 * ceil_div(vocabulary, PEAK_BLOCK)), Buffer("adjustments", "input", 4 * list_words(vocabulary)),
               Buffer("mask", "input", 4 * mask_words(vocabulary))]
    buffers += [buffer for weight in weights for buffer in weight.buffers()]
    buffers += [Buffer(name, "weight", table.nbytes) for name, table in lowering.constants.items()]
    buffers += [buffer for plan in caches for buffer in plan.buffers()]
    buffers += [Buffer(name, "activation", 4 * width) for name, width in handover.items()] + scratch
    bound = {name for launches in steps.values() for launch in launches for name in launch.buffers}
    program = Program({buffer.name: buffer for buffer in buffers if buffer.name in bound}, steps, (chunk,), context, lowering.constants)
    program.check()
    return program


def first_part(launch: Launch) -> Launch:
    """The launch of a product, of which it does but the first TRIAL_PRODUCTS."""
    kernel = launch.kernel
    items = max(1, kernel.items * TRIAL_PRODUCTS // kernel.multiply_accumulates) if kernel.multiply_accumulates > TRIAL_PRODUCTS else kernel.items
    return replace(launch, kernel=replace(kernel, items=items, multiply_accumulates=kernel.multiply_accumulates * items // kernel.items))
