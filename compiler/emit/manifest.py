"""model.json: everything that a loader needs to know (docs/artifact.md)."""
from ..checkpoint import Checkpoint
from ..checkpoint.tokenizer import SpecialTokenIds
from ..errors import GemletError
from ..kernels.kernel import Kernel
from ..known_answer.prompt import LENGTH
from ..pipeline import Lowered
from ..schedule.layer_ends import layer_ends
from ..schedule.program import Buffer, Program
from ..state import STATE
from .limits import largest, shared_bytes
from .webgpu import Shader

SCHEMA = 1
VERSION = "0.1.0"


def manifest(name: str, checkpoint: Checkpoint, quant: str, targets: tuple[str, ...], lowered: Lowered, shaders: dict[str, Shader] | None, tokens: SpecialTokenIds | None,
             shards: list[dict], pieces: dict[str, list]) -> dict:
    """The manifest as JSON values, but for its `wasm` and its `known_answer`. shaders: None where WebGPU is not a target. tokens: None where the folder has no
    weights and so no tokenizer."""
    return {
        "schema": SCHEMA,
        "generator": f"gemlet {VERSION}",
        "name": name,
        "title": checkpoint.title,
        "source": source(checkpoint),
        "targets": list(targets),
        "architecture": checkpoint.config["model_type"],
        "chat": checkpoint.chat_template is not None,
        "license": {"name": checkpoint.license.name, "url": checkpoint.license.url, "file": "LICENSE.txt"},
        "facts": facts(checkpoint, lowered),
        "context": lowered.program.context,
        "quantization": {"requested": quant, "formats": formats(lowered)},
        "tokenizer": None if tokens is None else {"file": "tokenizer.json", "add_bos": tokens.add_bos, "bos": tokens.bos, "stop": list(tokens.stop),
                                                   "without_text": [list(ids) for ids in lowered.withheld]},
        "chat_template": "chat_template.jinja" if checkpoint.chat_template is not None else None,
        "prefill": list(lowered.program.chunks),
        "shards": shards,
        **webgpu_entries(lowered.program, checkpoint.config["num_hidden_layers"], lowered.config.hidden_size, shaders, pieces),
    }


def webgpu_entries(program: Program, layers: int, hidden_size: int, shaders: dict[str, Shader] | None, pieces: dict[str, list]) -> dict:
    """What only WebGPU reads; empty lists where it is not a target."""
    if shaders is None:
        return {"limits": {}, "state": {"buffer": -1, "fields": STATE}, "adjust": None, "buffers": [], "tables": [], "kernels": [], "steps": {}, "layers": [], "weights": []}
    buffers = list(program.buffers.values())
    index = {buffer.name: number for number, buffer in enumerate(buffers)}
    kernels = program.kernels
    kernel_index = {kernel.name: number for number, kernel in enumerate(kernels)}
    return {
        "limits": limits(program, shaders),
        "state": {"buffer": index["state"], "fields": STATE},
        "adjust": {"adjustments": index["adjustments"], "mask": index["mask"]},
        "buffers": [buffer_entry(buffer) for buffer in buffers],
        "tables": [{"rows": table.rows, "buffers": [index[name] for name in table.buffers], "part": index[table.part]} for table in program.tables],
        "kernels": [kernel_entry(kernel, program, shaders) for kernel in kernels],
        "steps": {step: [launch_entry(launch, kernel_index, index, shaders[launch.kernel.name]) for launch in launches]
                  for step, launches in program.steps.items()},
        "layers": [end and end.entry({"buffer": index[end.buffer]}) for end in layer_ends(program, layers, hidden_size, LENGTH)],
        "weights": [{"buffer": index[buffer], "pieces": places} for buffer, places in sorted(pieces.items()) if buffer in index],
    }


def source(checkpoint: Checkpoint) -> dict[str, str] | None:
    """Where on the hub the weights came from."""
    return {"id": checkpoint.hub_id, "revision": checkpoint.revision} if checkpoint.hub_id else None


def buffer_entry(buffer: Buffer) -> dict:
    slots = {"slots": buffer.slots, "slot_bytes": buffer.slot_bytes, "slot_tile": buffer.slot_tile}
    return {"name": buffer.name, "kind": buffer.kind, "bytes": buffer.bytes} | {key: number for key, number in slots.items() if number is not None}


def kernel_entry(kernel: Kernel, program: Program, shaders: dict[str, Shader]) -> dict:
    """A kernel, with its variants where it has some. A variant has one grid for all launches, so that these must have one, too."""
    entry = shader_entry(kernel, shaders[kernel.name])
    if kernel.variants:
        grids = {launch.kernel.grid for launches in program.steps.values() for launch in launches if launch.kernel.name == kernel.name}
        if grids != {kernel.grid}:
            raise GemletError(f"kernel {kernel.name}: it has variants, so that all its launches need the grid {kernel.grid}, but there are {sorted(grids)}")
        entry["variants"] = [shader_entry(variant, shaders[variant.name]) | {
            "grid": [*variant.grid, 1], "requires": list(variant.requires), "exact": variant.exact} for variant in kernel.variants]
    return entry


def shader_entry(kernel: Kernel, shader: Shader) -> dict:
    return {"name": kernel.name, "file": f"webgpu/{kernel.shader}.wgsl", "entry": shader.entry, "workgroup": list(shader.workgroup),
            "shared_bytes": shared_bytes(shader.wgsl)}


def launch_entry(launch, kernel_index: dict[str, int], index: dict[str, int], shader: Shader) -> dict:
    """A launch with its buffers in the order of the shader's bindings."""
    bound = dict(zip(launch.kernel.parameter_names, launch.buffers))
    return {"kernel": kernel_index[launch.kernel.name], "grid": [*launch.kernel.grid, 1],
            "buffers": [index[bound[name]] for name in shader.bindings]}


def limits(program: Program, shaders: dict[str, Shader]) -> dict[str, int]:
    """WebGPU limits that the Program needs of a device, without its variants: a device takes those that it can run."""
    bytes = max(buffer.bytes for buffer in program.in_one_binding)
    grid = max(extent for launches in program.steps.values() for launch in launches for extent in launch.kernel.grid)
    return {"maxStorageBufferBindingSize": bytes, "maxBufferSize": bytes, "maxBindGroups": 1, "maxComputeWorkgroupsPerDimension": grid,
            **largest(shaders[kernel.name].needs for kernel in program.kernels)}


def formats(lowered: Lowered) -> dict[str, dict[str, int]]:
    """Tensors and bytes in each storage format."""
    totals: dict[str, dict[str, int]] = {}
    for weight in lowered.weights:
        total = totals.setdefault(weight.format, {"tensors": 0, "bytes": 0})
        total["tensors"] += 1
        total["bytes"] += sum(buffer.bytes for buffer in weight.buffers())
    return totals


def facts(checkpoint: Checkpoint, lowered: Lowered) -> dict:
    """Numbers for people."""
    config = checkpoint.config
    return {"parameters": sum(weight.count for weight in lowered.weights), "layers": config["num_hidden_layers"], "hidden_size": config["hidden_size"],
            "vocab_size": config["vocab_size"], "sliding_window": config["sliding_window"],
            "trained_context": config["max_position_embeddings"], "kv_layers": len(lowered.caches)}
