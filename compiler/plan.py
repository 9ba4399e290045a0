"""`plan`: what a model will need, from its configuration alone: memory, launches, bytes and multiply-accumulates."""
from .checkpoint import Checkpoint
from .emit.shards import SHARD_BYTES
from .pipeline import CHUNKS, Lowered, lower_model
from .quantize.matrix import BLOCK_VALUES
from .schedule.kv_plan import plan_caches

CONTEXTS = (4096, 32768)
# Arrays of a block of weights that are alive at once while it is encoded: float32 values, scaled copies, packed units.
BLOCK_COPIES = 6


def plan_model(checkpoint: Checkpoint, quant: str, context: int | None) -> dict:
    """The plan as JSON values; sizes in bytes. `kv_bytes` and `gpu_bytes` are by context, in tokens.

    A bare config counts as bf16 weights unless `quant` says otherwise. Raises GemletError as `lower_model` does.
    """
    lowered = lower_model(checkpoint, quant, context)
    program = lowered.program
    chunk = max(program.chunks)
    head = program.steps["tail"][-1].kernel.multiply_accumulates
    contexts = sorted({c for c in (*CONTEXTS, program.context, lowered.config.max_position_embeddings)
                       if c <= lowered.config.max_position_embeddings})
    kv = {c: cache_bytes(lowered, c) for c in contexts}
    others = sum(buffer.bytes for buffer in program.buffers.values() if buffer.kind != "cache")
    return {
        "model": checkpoint.title,
        "architecture": checkpoint.config["model_type"],
        "quantization": {format: sum(1 for weight in lowered.weights if weight.format == format)
                         for format in sorted({weight.format for weight in lowered.weights})},
        "context": program.context,
        "parameters": sum(weight.count for weight in lowered.weights),
        "weight_bytes": sum(buffer.bytes for buffer in program.buffers.values() if buffer.kind == "weight"),
        "launches_per_decoded_token": len(program.steps["decode"]),
        "launches_per_step": {step: len(launches) for step, launches in program.steps.items()},
        "kernels": len(program.kernels),
        "weight_bytes_per_decoded_token": program.weight_bytes_read("decode"),
        "macs_per_decoded_token": program.multiply_accumulates("decode"),
        "macs_per_prompt_token": program.multiply_accumulates(f"prefill_{chunk}") // chunk,
        "macs_per_prompt_token_without_skip": program.multiply_accumulates("decode") - head,
        "kv_bytes": {str(c): size for c, size in kv.items()},
        "gpu_bytes": {str(c): others + size for c, size in kv.items()},
        "largest_buffer_bytes": max(buffer.bytes for buffer in program.buffers.values()),
        "build_peak_bytes": build_peak(lowered),
        "layers": layer_table(lowered),
    }


def cache_bytes(lowered: Lowered, context: int) -> int:
    """Bytes of all KV caches at a context."""
    return sum(buffer.bytes for plan in plan_caches(lowered.model.caches(), context, max(CHUNKS)) for buffer in plan.buffers())


def build_peak(lowered: Lowered) -> int:
    """Memory that packing the weights needs beyond Python and TVM: one block of rows in its stages, the scales of the
    largest matrix (held until its data is written) and one shard."""
    scales = max((buffer.bytes for weight in lowered.weights for buffer in weight.buffers()[1:]), default=0)
    widest = max((weight.shape[-1] for weight in lowered.weights), default=0)
    block = max(BLOCK_VALUES, 32 * widest)
    return BLOCK_COPIES * 4 * block + 2 * scales + SHARD_BYTES


def layer_table(lowered: Lowered) -> list[dict]:
    """For each layer: kind, whose KV it reads, parameters and bytes of its weights."""
    sources = lowered.model.kv_sources()
    rows = []
    for layer, (kind, source) in enumerate(sources):
        own = [weight for weight in lowered.weights if weight.name.startswith(f"layers.{layer}.")]
        rows.append({"layer": layer, "kind": kind, "kv_source": source, "parameters": sum(weight.count for weight in own),
                     "bytes": sum(buffer.bytes for weight in own for buffer in weight.buffers())})
    return rows


def size(count: int) -> str:
    """Bytes for people, in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def format_plan(plan: dict) -> str:
    """The plan for a terminal."""
    formats = ", ".join(f"{count} {format}" for format, count in plan["quantization"].items())
    skip = plan["macs_per_prompt_token_without_skip"] / plan["macs_per_prompt_token"]
    lines = [
        f"{plan['model']} ({plan['architecture']}), {plan['parameters'] / 1e9:.3f} B parameters, tensors: {formats}",
        f"weights {size(plan['weight_bytes'])}, largest buffer {size(plan['largest_buffer_bytes'])}, compiled for {plan['context']} tokens",
        "",
        f"a decoded token   {plan['launches_per_decoded_token']} launches, {size(plan['weight_bytes_per_decoded_token'])} of weights read, "
        f"{plan['macs_per_decoded_token'] / 1e9:.3f} G multiply-accumulates",
        f"a prompt token    {plan['macs_per_prompt_token'] / 1e9:.3f} G multiply-accumulates ({skip:.2f} times as many without the skip)",
        f"distinct kernels  {plan['kernels']}",
        f"memory to build   about {size(plan['build_peak_bytes'])} beside Python and TVM",
        "",
        "  context         KV   GPU memory",
    ]
    lines += [f"{int(c):9d} {size(kv):>10} {size(plan['gpu_bytes'][c]):>12}" for c, kv in plan["kv_bytes"].items()]
    lines += ["", "layer  kind     KV from  parameters      bytes"]
    lines += [f"{row['layer']:5d}  {row['kind'].removesuffix('_attention'):7s}  {'own' if row['kv_source'] == row['layer'] else row['kv_source']!s:>7}  "
              f"{row['parameters']:10d} {size(row['bytes']):>10}" for row in plan["layers"]]
    return "\n".join(lines)
