"""Finds the safetensors files of a Hugging Face folder: those that transformers would take.

That is `model.safetensors`, or else the shards of `model.safetensors.index.json`; what else lies there, adapters,
optimizers, other formats and older saves, is left out. A folder with neither is taken where it holds one file alone.
"""

import re
from os.path import realpath
from pathlib import Path, PurePosixPath
from typing import Any

from compiler.checkpoint.file_kind import CONVERT, require_content
from compiler.checkpoint.json_file import read_json_object, shown
from compiler.checkpoint.safetensors_file import Entry, read_safetensors_header
from compiler.errors import GemletError

WHOLE = "model.safetensors"
INDEX = f"{WHOLE}.index.json"
SHARD = re.compile(r".*-\d{5}-of-(\d{5})\.safetensors")
# Safetensors that are no model, or not the one that transformers reads.
BESIDE = re.compile(r"(adapter|consolidated|optimizer|scheduler|training|trainer|rng|scaler|mmproj|lora)[\w.-]*", re.IGNORECASE)
LONGEST_NAME = 200  # characters; file systems end at 255 bytes
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def read_entries(folder: Path, config: dict[str, Any]) -> tuple[dict[str, Entry], list[str]]:
    """All tensors by the files' own names, and what to tell the user of files that were left out.

    config: the object in config.json, whose `transformers_weights` may name the file. Raises GemletError where there are no
    weights, saying what is there instead, and where files are missing or unsound or disagree.
    """
    named = config.get("transformers_weights")
    if named is not None:
        _require_inside(folder / "config.json", "transformers_weights", named)
        return (_shards(folder, named) if named.endswith(".index.json") else _read(folder / named)), []
    if (folder / WHOLE).is_file():
        return _whole(folder), _left_out(folder)
    if (folder / INDEX).is_file():
        return _shards(folder, INDEX), _left_out(folder)
    files = sorted(file for file in folder.glob("*.safetensors") if not BESIDE.match(file.name))
    shards = [file.name for file in files if (match := SHARD.fullmatch(file.name)) and int(match[1]) > 1]
    if shards:
        raise GemletError(
            f"{folder}: {INDEX} is missing, which says what lies in the shards {', '.join(shards[:4])}. Download it, too."
        )
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise GemletError(f"{folder}: expected {INDEX} or exactly one safetensors file; found {found}. {_advice(folder, bool(files))}")
    return _read(files[0]), _left_out(folder)


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter for a model, and no model."""
    models = [WHOLE, INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json"]
    return any((folder / name).is_file() for name in ADAPTER) and not any((folder / name).is_file() for name in models)


def adapter_error(folder: Path) -> GemletError:
    found = ", ".join(name for name in ADAPTER if (folder / name).is_file())
    return GemletError(
        f"{folder}: this is an adapter (LoRA) for a model, not a model: found {found}. Merge it into its model first: "
        "PeftModel.from_pretrained(MODEL, FOLDER).merge_and_unload().save_pretrained(NEW_FOLDER), and save the tokenizer."
    )


def _read(path: Path) -> dict[str, Entry]:
    if not path.is_file():
        raise GemletError(f"{path}: the file is missing. Download it.")
    require_content(path, "a safetensors file")
    return read_safetensors_header(path)


def _whole(folder: Path) -> dict[str, Entry]:
    """The tensors of model.safetensors. An index beside it is of another save, unless it says that all is in this one file."""
    if (folder / INDEX).is_file():
        shards = set(_places(folder / INDEX).values())
        if shards == {WHOLE}:
            return _shards(folder, INDEX)
        missing = sorted(shard for shard in shards if not (folder / shard).is_file())
        if missing:
            raise GemletError(
                f"{folder / INDEX}: names the shard {missing[0]}, which is missing, and {WHOLE} is there, too. "
                f"Delete whichever is of an older save: the index, or {WHOLE}."
            )
    return _read(folder / WHOLE)


def _places(index: Path) -> dict[str, str]:
    """The file of each tensor, as an index says."""
    places = read_json_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise GemletError(
            f"{index}: weight_map is missing; expected an object that names each tensor's file. Download the file again."
        )
    for name, shard in places.items():
        _require_inside(index, f"weight_map.{name}", shard)
    return places


def _shards(folder: Path, index: str) -> dict[str, Entry]:
    """The tensors of all shards that an index names."""
    path = folder / index
    places = _places(path)
    entries: dict[str, Entry] = {}
    for shard in sorted(set(places.values())):
        if not (folder / shard).is_file():
            raise GemletError(f"{path}: names the shard {shard}, which is missing. Download it.")
        for name, entry in _read(folder / shard).items():
            if name in entries:
                raise GemletError(
                    f"{entry.file}: tensor {name} is also in {entries[name].file.name}. One of them is of another save: "
                    "download the shards and the index again."
                )
            entries[name] = entry
    for name, shard in places.items():
        if name not in entries or entries[name].file != folder / shard:
            where = f"; it is in {entries[name].file.name}" if name in entries else ""
            raise GemletError(
                f"{folder / shard}: tensor {name} is missing{where}; {index} says it is there. Download both again."
            )
    return entries


def _require_inside(path: Path, key: str, name: Any) -> None:
    """Raises GemletError unless `name`, which the file states, is a safetensors file or index in the same folder or below it.

    Links may lead elsewhere only where the stating file's own link leads: the hub's cache keeps all files of a model so.
    """
    fits = isinstance(name, str) and name.endswith((".safetensors", ".safetensors.index.json")) and len(name) <= LONGEST_NAME
    if not fits or not name.isprintable() or "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise GemletError(f"{path}: {key}: expected the name of a safetensors file in this folder, found {shown(name)}.")
    place = Path(realpath(path.parent / name))
    if not any(place.is_relative_to(folder) for folder in (realpath(path.parent), Path(realpath(path)).parent)):
        raise GemletError(f"{path}: {key}: {shown(name)} leads out of this folder, to {place}. Put the file itself here.")


def _left_out(folder: Path) -> list[str]:
    """What the user may take for a part of the model and is none."""
    notes = []
    if (folder / WHOLE).is_file() and (folder / INDEX).is_file() and set(_places(folder / INDEX).values()) != {WHOLE}:
        notes.append(f"{folder}: {INDEX} and its shards are left out, since {WHOLE} is there: transformers reads that one.")
    adapters = [name for name in ADAPTER[1:] if (folder / name).is_file()]
    if adapters:
        notes.append(f"{folder}: {adapters[0]} is left out: it is an adapter beside the model, and is not merged into it.")
    return notes


def _advice(folder: Path, has_variants: bool) -> str:
    """What to do about a folder without a model that could be read, from what else it holds."""

    def names(*patterns: str) -> str:
        return ", ".join(sorted({file.name for pattern in patterns for file in folder.glob(pattern)})[:4])

    if has_variants:
        return f"Of several variants rename the one that is meant to {WHOLE}."
    if pickled := names("pytorch_model*", "*.bin", "*.pt", "*.pth"):
        return f"There is {pickled}, in PyTorch's own format. {CONVERT}"
    if gguf := names("*.gguf"):
        return f"There is a GGUF model beside the config.json: {gguf}. Give that file."
    if original := names("consolidated*"):
        return f"There is {original}, in the form of the model's authors. Take the checkpoint that transformers reads."
    if others := names("*.h5", "*.msgpack", "*.onnx", "*.task", "*.tflite", "*.litertlm", "*.npz", "*.safetensors"):
        return f"There is {others}, which is no checkpoint that can be read. Take the one that transformers reads."
    return "Download the checkpoint's missing files."
