"""Opens a Hugging Face folder (config.json and safetensors) or a bare config.json as a checkpoint."""

from pathlib import Path
from typing import Any

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.config import text_config
from compiler.checkpoint.json_file import read_json_object
from compiler.checkpoint.license import folder_license, license_named
from compiler.checkpoint.mobile import DTYPES, MobileQuantization, mobile_name, mobile_tensor, read_quantization
from compiler.checkpoint.safetensors_file import Entry, read_safetensors_header
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError

INDEX = "model.safetensors.index.json"
# Longest first: what stands before the names of the text model in the ways that its checkpoints are saved.
PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
OTHER_PARTS = ("vision_tower.", "audio_tower.", "embed_vision.", "embed_audio.", "multi_modal_projector.")
SAMPLING_DEFAULTS = ("temperature", "top_k", "top_p")


def open_folder(folder: Path, title: str) -> Checkpoint:
    """Opens a folder with config.json and one safetensors file, or several with an index.

    Raises GemletError where a file is missing or unsound, or the model is of an unknown type.
    """
    raw = read_json_object(folder / "config.json")
    config = text_config(raw, folder / "config.json")
    quantization = read_quantization(raw, folder / "config.json")
    stated = folder / "generation_config.json"
    return Checkpoint(
        path=folder,
        title=title,
        config=config,
        tensors=_text_tensors(_entries(folder), config, quantization),
        generation=_generation(read_json_object(stated) if stated.is_file() else raw, config),
        chat_template=_chat_template(folder),
        license=folder_license(folder, config["model_type"]),
        gguf_fields={},
        quantization=quantization,
    )


def open_config(path: Path) -> Checkpoint:
    """Opens a config.json alone: a checkpoint without tensors, enough to plan."""
    raw = read_json_object(path)
    config = text_config(raw, path)
    return Checkpoint(
        path=path,
        title=path.resolve().parent.name if path.name == "config.json" else path.stem,
        config=config,
        tensors={},
        generation=_generation(raw, config),
        chat_template=None,
        license=license_named(None, config["model_type"]),
        gguf_fields={},
        quantization=read_quantization(raw, path),
    )


def _entries(folder: Path) -> dict[str, Entry]:
    """All tensors of the folder's safetensors files, by the files' own names."""
    if not (folder / INDEX).is_file():
        files = sorted(folder.glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise GemletError(
                f"{folder}: expected {INDEX} or exactly one safetensors file; found {found}. "
                "Download the checkpoint's missing files."
            )
        return read_safetensors_header(files[0])
    places = read_json_object(folder / INDEX).get("weight_map")
    if not isinstance(places, dict):
        raise GemletError(f"{folder / INDEX}: weight_map is missing. Download the file again.")
    entries = {}
    for shard in sorted(set(places.values())):
        if not (folder / shard).is_file():
            raise GemletError(f"{folder / INDEX}: names the shard {shard}, which is missing. Download it.")
        entries |= read_safetensors_header(folder / shard)
    for name, shard in places.items():
        if name not in entries:
            raise GemletError(
                f"{folder / shard}: tensor {name} is missing; {INDEX} says it is there. Download both again."
            )
    return entries


def _text_tensors(
    entries: dict[str, Entry], config: dict[str, Any], quantization: MobileQuantization | None
) -> dict[str, Tensor]:
    """The text model's tensors under canonical names, without the towers and a head that repeats the embedding."""
    norms_add = 1.0 if config["model_type"] == "gemma3_text" else 0.0  # Gemma 3 stores w and multiplies by 1 + w
    tensors: dict[str, Tensor] = {}
    for source_name, entry in entries.items():
        name = canonical_name(source_name)
        if name is not None and quantization is not None:
            name = mobile_name(name)
        if name is None or (name == "lm_head.weight" and config["tie_word_embeddings"]):
            continue
        if name in tensors:
            raise GemletError(
                f"{entry.file}: tensors {tensors[name].source_name} and {source_name} are both {name}. "
                "Save the model again, once."
            )
        if quantization is not None and entry.dtype in DTYPES.values():
            tensors[name] = mobile_tensor(name, entry, entries, quantization)
        else:
            tensors[name] = entry.tensor(name, norms_add if name.endswith("norm.weight") else 0.0)
    return tensors


def canonical_name(source_name: str) -> str | None:
    """The tensor's name in the text model, or None for one of the vision or audio parts."""
    if source_name.removeprefix("model.").startswith(OTHER_PARTS):
        return None
    prefix = next(prefix for prefix in PREFIXES if source_name.startswith(prefix))
    rest = source_name.removeprefix(prefix)
    return rest if rest.startswith("lm_head.") else f"model.{rest}"


def _generation(stated: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What `Checkpoint.generation` says, from generation_config.json or, without one, from config.json."""
    ends = stated.get("eos_token_id", config["eos_token_id"])
    generation = {key: stated[key] for key in SAMPLING_DEFAULTS if stated.get(key) is not None}
    generation["eos_token_id"] = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return generation | {key: config[key] for key in ("bos_token_id", "pad_token_id")}


def _chat_template(folder: Path) -> str | None:
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8")
    if not (folder / "tokenizer_config.json").is_file():
        return None
    template = read_json_object(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several, by name
        return next((entry["template"] for entry in template if entry["name"] == "default"), None)
    return template
