"""`plan`: what a model will need, from its configuration alone: memory, launches, bytes and multiply-accumulates."""
from .checkpoint import Checkpoint
from .emit.shards import SHARD_BYTES
from .kernels.kernel import ceil_div
from .kernels.rope import DIGIT
from .pipeline import Lowered, lower_model
from .plan_decode import decode_table
from .plan_layers import by_context, bytes_by_quantization, cache_bytes, caches_at, layer_table
from .quantize.matrix import BLOCK_VALUES
from .schedule.program import Program

CONTEXTS = (4096, 32768)
# Arrays of a block of weights that are alive at once while it is encoded: float32 values, scaled copies, packed units.
BLOCK_COPIES = 6
# What GPUs bind: WebGPU's default for a storage buffer, and what adapters commonly offer beyond it.
BINDING_LIMITS = {"128 MiB": 128 << 20, "1 GiB": 1 << 30, "2 GiB": 2 << 30, "4 GiB": 4 << 30}
GPU_MEMORY = {f"{size} GiB": size << 30 for size in (4, 8, 16, 24)}


def plan_model(checkpoint: Checkpoint, quant: str, context: int | None) -> dict:
    """The plan as JSON values; sizes in bytes. What goes by context has the number of tokens as its key.

    A bare config counts as bf16 weights unless `quant` says otherwise. Raises GemletError as `lower_model` does.
    """
    lowered = lower_model(checkpoint, quant, context)
    program = lowered.program
    chunk = max(program.chunks)
    head = program.steps["tail"][-1].kernel.multiply_accumulates
    trained = lowered.config.max_position_embeddings
    contexts = sorted({c for c in (*CONTEXTS, program.context, trained) if c <= trained})
    kv = {c: sum(map(cache_bytes, caches_at(lowered, c))) for c in contexts}
    gpu = {c: fixed_bytes(lowered, c) + kv[c] for c in contexts}
    return {
        "model": checkpoint.title,
        "architecture": checkpoint.config["model_type"],
        "quantization": {format: sum(1 for weight in lowered.weights if weight.format == format)
                         for format in sorted({weight.format for weight in lowered.weights})},
        "context": program.context,
        "parameters": sum(weight.count for weight in lowered.weights),
        "weight_bytes": sum(buffer.bytes for buffer in program.buffers.values() if buffer.kind == "weight"),
        "bytes_by_quantization": bytes_by_quantization(lowered.weights),
        "launches_per_decoded_token": len(program.steps["decode"]),
        "launches_per_step": {step: len(launches) for step, launches in program.steps.items()},
        "kernels": len({kernel.shader for kernel in program.kernels}),
        "weight_bytes_per_decoded_token": program.weight_bytes_read("decode"),
        "macs_per_decoded_token": program.multiply_accumulates("decode"),
        "macs_per_prompt_token": program.multiply_accumulates(f"prefill_{chunk}") // chunk,
        "macs_per_prompt_token_without_skip": program.multiply_accumulates("decode") - head,
        "kv_bytes": by_context(kv),
        "gpu_bytes": by_context(gpu),
        "placements": placements(lowered, gpu),
        "largest_buffer_bytes": max(buffer.bytes for buffer in program.in_one_binding),
        "build_peak_bytes": build_peak(lowered),
        "decode": {"tokens": min(contexts), "work": decode_table(lowered, min(contexts))},
        "layers": layer_table(lowered, contexts),
    }


def fixed_bytes(lowered: Lowered, context: int) -> int:
    """Bytes of all buffers but the caches, at a context, of which the RoPE tables are a part."""
    program = lowered.program
    fixed = sum(buffer.bytes for buffer in program.buffers.values() if buffer.kind != "cache")
    row = sum(table[0].nbytes for name, table in program.constants.items() if name.startswith("rope."))
    return fixed + row * (ceil_div(context, DIGIT) - ceil_div(program.context, DIGIT))


def placements(lowered: Lowered, gpu: dict[int, int]) -> dict[str, dict]:
    """For each place of the tables that are only looked up, such as per-layer embeddings: GPU memory and the largest binding by
    context, and what they fit.

    `in_gpu_memory` alone for a model without such tables. `fits_binding` and `fits_memory`: the longest of the contexts that
    fits a limit, 0 for none.
    """
    binding = {context: largest_binding(lowered, context) for context in gpu}
    saved = {"in_gpu_memory": 0} | ({"outside": bytes_saved_outside(lowered.program)} if lowered.program.tables else {})
    found = {}
    for place, saved_bytes in saved.items():
        memory = {context: size - saved_bytes for context, size in gpu.items()}
        found[place] = {"gpu_bytes": by_context(memory), "largest_binding_bytes": by_context(binding),
                        "fits_binding": {limit: longest(binding, size) for limit, size in BINDING_LIMITS.items()},
                        "fits_memory": {limit: longest(memory, size) for limit, size in GPU_MEMORY.items()}}
    return found


def bytes_saved_outside(program: Program) -> int:
    """What tables outside GPU memory save of it: there each has the rows of one chunk, and ids in the form of a state."""
    saved = 0
    for table in program.tables:
        row = sum(program.buffers[name].bytes for name in table.buffers) // table.rows
        saved += (table.rows - max(program.chunks)) * row - program.buffers["state"].bytes
    return saved


def largest_binding(lowered: Lowered, context: int) -> int:
    """Bytes of the largest buffer at a context that is bound whole."""
    fixed = [buffer for buffer in lowered.program.in_one_binding if buffer.kind != "cache"]
    caches = [buffer for plan in caches_at(lowered, context) for buffer in plan.buffers()]
    return max(buffer.bytes for buffer in fixed + caches)


def longest(sizes: dict[int, int], limit: int) -> int:
    """The longest context whose size is within a limit; 0 for none."""
    return max((context for context, size in sizes.items() if size <= limit), default=0)


def build_peak(lowered: Lowered) -> int:
    """Memory that packing the weights needs beyond Python and TVM: one block of rows in its stages, the scales of the
    largest matrix (held until its data is written) and one shard."""
    scales = max((buffer.bytes for weight in lowered.weights for buffer in weight.buffers()[1:]), default=0)
    widest = max((weight.shape[-1] for weight in lowered.weights), default=0)
    block = max(BLOCK_VALUES, 32 * widest)
    return BLOCK_COPIES * 4 * block + 2 * scales + SHARD_BYTES
