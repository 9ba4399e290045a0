"""Finds all parts of a split GGUF model, given any one of them."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

from compiler.checkpoint.gguf_file import GGUFFile, read_gguf_file
from compiler.checkpoint.json_file import typed
from compiler.errors import GemletError

PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def model_stem(path: PurePath) -> str:
    """The file's name without its part numbers and suffix; the same for all parts of one model."""
    match = PART.fullmatch(path.name)
    return match["stem"] if match else path.stem


def text_models(names: Iterable[str]) -> dict[str, list[str]]:
    """The GGUF models among files: stem, with its folder -> names of its parts, in the order given.

    Files with `mmproj` in their name are left out: llama.cpp calls those so that hold what turns images into tokens.
    """
    models: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.suffix == ".gguf" and "mmproj" not in path.name:
            models.setdefault(str(path.with_name(model_stem(path))), []).append(name)
    return models


def read_gguf_model(path: Path) -> GGUFFile:
    """The model in a GGUF file or in all parts of a split one: metadata of the first part, tensors of all.

    Raises GemletError where a part is missing, is not what its name says, or the parts do not add up.
    """
    match = PART.fullmatch(path.name)
    if match is None:
        model = read_gguf_file(path)
        if _number(model, "split.count", 1) > 1:
            raise GemletError(
                f"{path}: this is part {_number(model, 'split.no', 0) + 1} of {model.fields['split.count']}, but its "
                "name does not end in -0000N-of-0000M.gguf, so the others cannot be found. Give the parts their names."
            )
        return model
    count = int(match["count"])
    parts = []
    for number in range(1, count + 1):
        part_path = path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf")
        if not part_path.is_file():
            raise GemletError(f"{part_path}: part {number} of {count} is missing. Download it beside {path.name}.")
        part = read_gguf_file(part_path)
        found = (_number(part, "split.no", None), _number(part, "split.count", None))
        if found != (number - 1, count):
            raise GemletError(
                f"{part_path}: expected split.no and split.count {(number - 1, count)} as in its name, found {found}. "
                "Rename the file or download it again."
            )
        parts.append(part)
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    expected = _number(parts[0], "split.tensors.count", len(tensors))
    if len(tensors) != expected:
        raise GemletError(
            f"{parts[0].path}: the parts hold {len(tensors)} different tensors; split.tensors.count says {expected}. "
            "The parts belong to different models; download them again."
        )
    return GGUFFile(parts[0].path, parts[0].fields, tensors)


def _number(part: GGUFFile, key: str, default: int | None) -> int | None:
    """The value of that key. Raises GemletError where it is no whole number."""
    return default if key not in part.fields else typed(part.fields[key], int, f"{part.path}: metadata {key}")
