"""Opens a Hugging Face folder (config.json and safetensors) or a bare config.json as a checkpoint."""

from pathlib import Path
from typing import Any

from compiler.checkpoint.template_choice import folder_template
from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.config import text_config
from compiler.checkpoint.config_types import LARGEST, POSITIONS, check_ends
from compiler.checkpoint.fields import Fields
from compiler.checkpoint.file_kind import require_content
from compiler.checkpoint.json_file import read_json_object
from compiler.checkpoint.license import folder_license, license_named
from compiler.checkpoint.mobile import DTYPES, MobileQuantization, mobile_name, mobile_tensor, read_quantization
from compiler.checkpoint.safetensors_file import Entry
from compiler.checkpoint.tensor import Tensor
from compiler.checkpoint.tensor_names import text_names
from compiler.checkpoint.tied_head import settle_head
from compiler.checkpoint.tokenizer_added import token_text, tokenizer_config
from compiler.checkpoint.weight_files import read_entries
from compiler.errors import GemletError

# Defaults that a checkpoint may state, and what each must be above.
SAMPLING = {"temperature": -1e-9, "top_k": -1, "top_p": -1e-9}


def open_folder(folder: Path, title: str) -> Checkpoint:
    """Opens a folder with config.json and the safetensors that belong to it (weight_files.py).

    Raises GemletError where a file is missing or unsound, or the model is of an unknown type.
    """
    require_content(folder / "config.json", "a config.json")
    raw = read_json_object(folder / "config.json")
    config = text_config(raw, folder / "config.json")
    quantization = read_quantization(raw, folder / "config.json")
    stated = folder / "generation_config.json"
    if stated.is_file():
        require_content(stated, "a generation_config.json")
    source = stated if stated.is_file() else folder / "config.json"
    generation = read_json_object(stated) if stated.is_file() else raw
    template, template_notes = folder_template(folder)
    entries, notes = read_entries(folder, raw)
    tensors = _text_tensors(entries, config, quantization, str(folder))
    settle_head(tensors, config)
    return Checkpoint(
        path=folder,
        title=title,
        config=config,
        tensors=tensors,
        generation=_generation(Fields(generation, f"{source}: "), config, folder),
        chat_template=template,
        license=folder_license(folder, config["model_type"]),
        gguf_fields={},
        quantization=quantization,
        notes=(*notes, *template_notes),
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
        generation=_generation(Fields(raw, f"{path}: "), config, None),
        chat_template=None,
        license=license_named(None, config["model_type"]),
        gguf_fields={},
        quantization=read_quantization(raw, path),
    )


def _text_tensors(
    entries: dict[str, Entry], config: dict[str, Any], quantization: MobileQuantization | None, where: str
) -> dict[str, Tensor]:
    """The text model's tensors under canonical names, without the towers."""
    norms_add = 1.0 if config["model_type"] == "gemma3_text" else 0.0  # Gemma 3 stores w and multiplies by 1 + w
    tensors: dict[str, Tensor] = {}
    for source_name, canonical in text_names(entries, where).items():
        name, entry = canonical if quantization is None else mobile_name(canonical), entries[source_name]
        if name is None:
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


def _generation(stated: Fields, config: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """What `Checkpoint.generation` says, from generation_config.json or, without one, from config.json."""
    check_ends(stated)
    ends = stated.values.get("eos_token_id", config["eos_token_id"])
    generation = {key: stated.number(key, least, LARGEST) for key, least in SAMPLING.items() if not stated.is_null(key)}
    if "top_k" in generation:
        stated.whole("top_k", 0, POSITIONS)
    generation["eos_token_id"] = ends if isinstance(ends, list) else [] if ends is None else [ends]
    end_of_turn = None if folder is None else token_text(tokenizer_config(folder), "eos_token")
    if end_of_turn is not None:
        generation["eos_token"] = end_of_turn
    return generation | {key: config[key] for key in ("bos_token_id", "pad_token_id")}
