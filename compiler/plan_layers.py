"""The plan of each layer: whose KV it reads, what its weights take, and its share of a token's work."""
from dataclasses import replace

from .pipeline import Lowered
from .quantize.choose import REQUESTS
from .schedule.kv_plan import CachePlan, plan_caches
from .schedule.program import Launch
from .weights import Weight


def layer_table(lowered: Lowered, contexts: list[int]) -> list[dict]:
    """A row a layer: its kind, whose KV it reads, its weights, and its share of a decoded and of a prompt token."""
    program, chunk = lowered.program, max(lowered.program.chunks)
    sizes = {name: buffer.bytes for name, buffer in program.buffers.items()}
    decode, prefill = (launches_by_layer(program.steps[step], lowered.weights) for step in ("decode", f"prefill_{chunk}"))
    kv: dict[int, dict[int, int]] = {}
    for context in contexts:
        for plan in caches_at(lowered, context):
            kv.setdefault(plan.layer, {})[context] = cache_bytes(plan)
    rows = []
    for layer, (kind, source) in enumerate(lowered.model.kv_sources()):
        own = [weight for weight in lowered.weights if layer_of(weight.name) == layer]
        rows.append({
            "layer": layer, "kind": kind, "kv_source": source, "parameters": sum(weight.count for weight in own),
            "bytes": sum(buffer.bytes for weight in own for buffer in weight.buffers()),
            "bytes_by_quantization": bytes_by_quantization(own),
            "kv_bytes": by_context(kv.get(layer, dict.fromkeys(contexts, 0))),
            "launches_per_decoded_token": len(decode.get(layer, [])),
            "weight_bytes_per_decoded_token": sum(moved for launch in decode.get(layer, []) for name, moved, _ in launch.traffic(sizes)
                                                  if program.buffers[name].kind == "weight"),
            "macs_per_decoded_token": sum(launch.kernel.multiply_accumulates for launch in decode.get(layer, [])),
            "macs_per_prompt_token": sum(launch.kernel.multiply_accumulates for launch in prefill.get(layer, [])) // chunk,
        })
    return rows


def layer_of(weight: str) -> int | None:
    """The layer that a weight belongs to; None for the model's own."""
    first, *rest = weight.split(".")
    return int(rest[0]) if first == "layers" else None


def launches_by_layer(launches: list[Launch], weights: list[Weight]) -> dict[int | None, list[Launch]]:
    """The launches of a step by layer: that of the weights it binds, or, without any, of the launch before."""
    owners = {buffer.name: layer_of(weight.name) for weight in weights for buffer in weight.buffers()}
    found: dict[int | None, list[Launch]] = {}
    layer = None
    for launch in launches:
        layer = next((owners[name] for name in launch.buffers if name in owners), layer)
        found.setdefault(layer, []).append(launch)
    return found


def by_context(values: dict[int, int]) -> dict[str, int]:
    """The same with text as keys: JSON has no numbers there."""
    return {str(context): value for context, value in values.items()}


def caches_at(lowered: Lowered, context: int) -> list[CachePlan]:
    """The caches as they would be at another context."""
    return plan_caches(lowered.model.caches(), context, max(lowered.program.chunks))


def cache_bytes(plan: CachePlan) -> int:
    """Bytes of K and V."""
    return sum(buffer.bytes for buffer in plan.buffers())


def bytes_by_quantization(weights: list[Weight]) -> dict[str, int]:
    """Bytes of the weights with every matrix in one format, for each format that can be asked for."""
    return {format: sum(buffer.bytes for weight in weights for buffer in replace(weight, format=format).buffers())
            for format in REQUESTS if format != "auto"}
