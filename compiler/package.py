"""Writes a model's artifact folder (docs/artifact.md) into a site, whole or not at all."""
import json
import re
import shutil
import tempfile
from pathlib import Path

from .checkpoint import Checkpoint
from .checkpoint.texts import read_texts
from .emit.manifest import SCHEMA, manifest
from .emit.shards import ShardWriter
from .emit.wasm import LIMIT, WasmTarget, emit_modules, plan_wasm, unfit_entry, wasm_entry
from .emit.webgpu import Shader, emit_with_variants
from .errors import GemletError
from .known_answer import known_answer
from .pipeline import Lowered, lower_model
from .progress import Progress
from .schedule.program import Program
from .weights import STEPS, Weight, pack
from .weights_check import check_norms, left_out

INDEX = "index.json"
WEBGPU, WASM = "webgpu", "wasm"


def compile_model(checkpoint: Checkpoint, out: Path, name: str | None, quant: str, context: int | None, targets: tuple[str, ...],
                  dump: Path | None, progress: Progress, weights: bool = True) -> Path:
    """Compiles a checkpoint into `out/models/NAME` and lists it in `out/models/index.json`; returns the folder.

    weights: false for the kernels and the manifest alone, which a bare configuration is enough for; such a folder is not
    listed. Everything is written beside its place first and renamed when it is complete, so that a failure leaves `out`
    as it was. Raises GemletError for a checkpoint without tensors, a bad name, or whatever the compiler finds wrong.
    """
    name = checked_name(checkpoint.name if name is None else name)
    if weights and not checkpoint.tensors:
        raise GemletError(f"{checkpoint.path}: no weights here, only a configuration; compile needs a checkpoint, or --no-weights for the kernels alone")
    with progress.phase("lowering the model", None, "steps"):
        texts = read_texts(checkpoint) if weights else None  # first, since what is wrong with them is found in seconds
        lowered = lower_model(checkpoint, quant, context, dump, withheld=texts.withheld if texts else ())
        check_norms(lowered.weights)
        wasm = plan_wasm(lowered) if WASM in targets else None
    for note in (*checkpoint.notes, *left_out(checkpoint, lowered.weights)):
        progress.note(note)
    fits = wasm is not None and wasm.memory_bytes <= LIMIT
    if targets == (WASM,) and not fits:
        raise GemletError(f"{checkpoint.path}: {wasm.memory_bytes} bytes of linear memory, but WebAssembly addresses {LIMIT}; take --targets webgpu, "
                          "a smaller --context or fewer bits (--quant q4)")
    models = out / "models"
    made = [folder for folder in (models, *models.parents) if not folder.exists()]
    models.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=models))
    try:
        folder.chmod(0o755)
        shaders = write_shaders(folder, lowered, dump, progress) if WEBGPU in targets else {}
        modules = write_modules(folder, wasm, dump, progress) if fits else []
        programs = ([lowered.program] if WEBGPU in targets else []) + (wasm.programs[:1] if fits else [])
        answer = known_answer(lowered, texts.tokenizer, texts.tokens, progress) if texts else None
        shards, pieces = write_weights(folder, lowered, programs, progress) if weights else ([], {})
        write_texts(folder, checkpoint, texts.tokenizer if texts else None)
        document = manifest(name, checkpoint, quant, targets, lowered, shaders if WEBGPU in targets else None, texts and texts.tokens, shards, pieces)
        document["known_answer"] = answer
        document["wasm"] = wasm and (wasm_entry(wasm, modules, pieces) if fits else unfit_entry(wasm))
        write_json(folder / "model.json", document)
        # In the model's folder at first, so that whatever fails takes it along.
        write_json(folder / INDEX, models_index(models, name, document))
        put_in_place(folder, models / name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in made:
            if not any(empty.iterdir()):
                empty.rmdir()
        raise
    return models / name


def checked_name(name: str) -> str:
    """The name of the model's folder, which is also part of its address."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise GemletError(f"--name {name!r}: expected letters, digits, dots, dashes and underscores, starting with a letter or digit")
    if name.lower() == INDEX:  # where upper and lower case are the same file, too
        raise GemletError(f"--name {name!r}: this file lists the models; expected another name")
    return name


def write_shaders(folder: Path, lowered: Lowered, dump: Path | None, progress: Progress) -> dict[str, Shader]:
    """Emits every kernel once, and its variants; returns the shaders by kernel name."""
    (folder / "webgpu").mkdir()
    shaders = {}
    with progress.phase("compiling kernels", len(lowered.program.kernels), "kernels") as phase:
        for kernel in lowered.program.kernels:
            emitted = emit_with_variants(kernel)
            for each in (kernel, *kernel.variants):
                (folder / "webgpu" / f"{each.shader}.wgsl").write_text(emitted[each.name].wgsl, encoding="utf-8")
                if dump is not None:
                    (dump / "kernels").mkdir(exist_ok=True)
                    (dump / "kernels" / f"{each.shader}.tir.txt").write_text(each.prim_func.script(), encoding="utf-8")
                    (dump / "kernels" / f"{each.shader}.wgsl").write_text(emitted[each.name].wgsl, encoding="utf-8")
            shaders |= emitted
            phase.advance(1)
    return shaders


def write_modules(folder: Path, wasm: WasmTarget, dump: Path | None, progress: Progress) -> list[dict]:
    """Emits the WebAssembly modules; returns what the manifest says of them."""
    with progress.phase("compiling WebAssembly", None, "modules"):
        return emit_modules(wasm, folder, dump)


def write_weights(folder: Path, lowered: Lowered, programs: list[Program], progress: Progress) -> tuple[list[dict], dict[str, list]]:
    """Streams what the Programs need of weights, packs and constants into shards, tensor by tensor."""
    writer = ShardWriter(folder)
    add_weights(writer, lowered, programs, progress)
    return writer.finish()


def add_weights(writer: ShardWriter, lowered: Lowered, programs: list[Program], progress: Progress) -> None:
    """Hands a writer the contents of the Programs' weight buffers, by name."""
    wanted = {buffer.name: buffer.bytes for program in programs for buffer in program.buffers.values() if buffer.kind == "weight"}
    with progress.phase("packing weights", sum(wanted.values()), "bytes") as phase:

        def counted(chunks):
            for chunk in chunks:
                yield chunk
                phase.advance(memoryview(chunk).nbytes)

        for weight in lowered.weights:
            if any(buffer.name in wanted for buffer in weight.buffers()):
                add_weight(writer, weight, counted)
            if f"{weight.name}{STEPS}" in wanted:
                writer.add(f"{weight.name}{STEPS}", counted([weight.steps()]))
        for name, parts in {name: parts for program in programs for name, parts in program.packs.items()}.items():
            writer.add(name, counted([pack(parts, lowered.weights)]))
        for name, table in {name: table for program in programs for name, table in program.constants.items()}.items():
            writer.add(name, counted([table]))


def add_weight(writer: ShardWriter, weight: Weight, counted) -> None:
    """One parameter's values: a matrix in its format, a vector as float32."""
    if not weight.is_matrix:
        writer.add(weight.name, counted([weight.values()]))
        return
    matrix = weight.matrix()
    writer.add(f"{weight.name}.data", counted(matrix.data()))
    if matrix.scale_bytes:
        writer.add(f"{weight.name}.scale", counted([matrix.scales()]))


def write_texts(folder: Path, checkpoint: Checkpoint, tokenizer: bytes | None) -> None:
    """The tokenizer, the chat template and the licence of the weights."""
    if tokenizer is not None:
        (folder / "tokenizer.json").write_bytes(tokenizer)
    (folder / "LICENSE.txt").write_text(checkpoint.license.text, encoding="utf-8")
    if checkpoint.chat_template is not None:
        (folder / "chat_template.jinja").write_text(checkpoint.chat_template, encoding="utf-8")


def write_json(path: Path, document: dict) -> None:
    """JSON whose bytes depend on the content alone."""
    path.write_text(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


def put_in_place(folder: Path, place: Path) -> None:
    """Renames a complete folder to its place, and the list of models in it to its own; an older one there goes, but is put back
    where anything fails."""
    old = folder.with_name(folder.name + "-old")
    if place.exists():
        place.rename(old)
    try:
        folder.rename(place)
        (place / INDEX).rename(place.parent / INDEX)
    except BaseException:
        if place.exists():
            place.rename(folder)
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def models_index(models: Path, name: str, document: dict) -> dict:
    """The list of all models with weights: those that are there, and the one named `name` with that manifest.

    Raises GemletError where a manifest that is there cannot be read.
    """
    entries = [index_entry(name, document)]
    for path in models.glob("[!.]*/model.json"):
        if path.parent.name != name:
            try:
                entries.append(index_entry(path.parent.name, json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, KeyError, TypeError) as error:
                raise GemletError(f"{path}: not the manifest of a compiled model ({type(error).__name__}: {error}). "
                                  "Delete its folder, or compile it again after that.") from None
    # A folder without weights is nothing that a page could offer.
    return {"schema": SCHEMA, "models": sorted((entry for entry in entries if entry["bytes"]), key=lambda entry: entry["name"])}


def index_entry(name: str, document: dict) -> dict:
    return {"name": name, "title": document["title"], "chat": document["chat"],
            "bytes": sum(shard["bytes"] for shard in document["shards"])}
