"""The plan of a decoded token by kind of work: launches, and bytes moved against the least possible."""
from .kernels.attention_block import BLOCK
from .pipeline import Lowered
from .quantize import format_named
from .quantize.format import UNIT_BYTES
from .schedule.program import Launch
from .weights import Weight

KV_VALUE_BYTES = 4


def decode_table(lowered: Lowered, context: int) -> list[dict]:
    """A row for each kind of launch of `decode`, for the token at position `context` - 1; bytes of one token.

    work: the matrix that is multiplied with or looked up, without its layer; else `attention`, `sampling` or the kernel's own name.
    weight_bytes, kv_bytes, activation_bytes (of activations, logits and state, read or written): each buffer of a launch counts once, since what
    several workgroups read comes from the GPU's caches after the first.
    least_bytes: the bits of the weights that the token needs, without padding and read once, and the keys and values that it sees.
    """
    program = lowered.program
    sizes = {name: buffer.bytes for name, buffer in program.buffers.items()}
    windows = {cache.layer: cache.window for cache in lowered.model.caches()}
    plans = {plan.layer: plan for plan in lowered.caches}
    matrices = {f"{weight.name}.data": weight for weight in lowered.weights if weight.is_matrix}
    rows: dict[str, dict] = {}
    for launch in program.steps["decode"]:
        row = rows.setdefault(work_of(launch), {"work": work_of(launch), "launches": 0, "weight_bytes": 0, "kv_bytes": 0, "activation_bytes": 0,
                                                "least_bytes": 0})
        row["launches"] += 1
        for name, moved, _ in launch.traffic(sizes):
            kind = program.buffers[name].kind
            if kind != "cache":
                row["weight_bytes" if kind == "weight" else "activation_bytes"] += moved
        row["least_bytes"] += least_weight_bytes(launch, matrices)
        layers = {int(name.split(".")[1]) for name in launch.buffers if program.buffers[name].kind == "cache"}
        for layer in layers:
            keys, values = seen(context, windows[layer])
            slot = plans[layer].kv_heads * plans[layer].stored_head * KV_VALUE_BYTES
            row["kv_bytes"] += (keys + values) * slot
            row["least_bytes"] += 2 * values * slot
    return list(rows.values())


def work_of(launch: Launch) -> str:
    """What a launch does, alike in all layers."""
    matrices = [name.removesuffix(".data").removesuffix(".weight") for name in launch.buffers if name.endswith(".data")]
    if not matrices:
        return launch.kernel.name.split("_")[0]
    name = matrices[0].split(".", 2)[2] if matrices[0].startswith("layers.") else matrices[0]
    return f"{name}, lookup" if launch.kernel.multiply_accumulates == 0 else name


def least_weight_bytes(launch: Launch, matrices: dict[str, Weight]) -> int:
    """Bytes of the numbers and scales that a product of one token, or the lookup of a row, cannot do without."""
    found = [matrices[name] for name in launch.buffers if name in matrices]
    if not found:
        return 0
    format, columns = format_named(found[0].format), found[0].shape[-1]
    rows = launch.kernel.multiply_accumulates // columns or 1
    scales = 4 * format.scale.words(columns) if format.scale else 0
    return rows * (columns * UNIT_BYTES // format.values_per_unit + scales)


def seen(context: int, window: int | None) -> tuple[int, int]:
    """Keys and values that `attention_vector` reads: keys from the start of a block of positions on, values those that count."""
    oldest = max(0, context - window) if window else 0
    return context - oldest // BLOCK * BLOCK, context - oldest
