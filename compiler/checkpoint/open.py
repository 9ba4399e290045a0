"""Opens whatever a user may call a model."""

from dataclasses import replace
from pathlib import Path

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.gguf_model import open_gguf
from compiler.checkpoint.gguf_split import text_models
from compiler.checkpoint.hub import HUB_NAME, download
from compiler.checkpoint.huggingface import open_config, open_folder
from compiler.checkpoint.weight_files import adapter_error, is_adapter
from compiler.checkpoint.file_kind import require_content
from compiler.errors import GemletError


def open_checkpoint(model: str | Path) -> Checkpoint:
    """Opens a Hugging Face folder, a GGUF file (or any part of a split one), a folder with one GGUF model, a bare
    config.json (no tensors), or a model on the hub: `owner/name` or `owner/name@revision`, with `:file.gguf` behind it
    where that holds several GGUF models.

    Only headers are read here; tensors read their rows when asked. Raises GemletError where the model is none of
    these, or a file is missing, unsound or of an unknown kind.
    """
    path = Path(model)
    if path.is_dir():
        return _open_directory(path)
    if path.is_file():
        return _open_file(path)
    if HUB_NAME.fullmatch(str(model)):
        found = download(str(model))
        is_file = found.path.is_file()
        opened = open_gguf(found.path) if is_file else open_folder(found.path, title=found.hub_id.split("/")[1])
        return replace(opened, hub_id=found.hub_id, revision=found.revision)
    raise GemletError(
        f"{model}: no such file or folder. Expected a Hugging Face folder, a .gguf file, a config.json, "
        "or owner/name on the hub."
    )


def _open_file(path: Path) -> Checkpoint:
    if path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json"):
        raise GemletError(f"{path}: a file with weights alone. Give its folder, which has config.json and tokenizer, too.")
    if path.suffix == ".json":
        if path.name == "adapter_config.json":
            raise adapter_error(path.parent)
        return open_config(path)
    require_content(path, "a GGUF file")
    return open_gguf(path)


def _open_directory(folder: Path) -> Checkpoint:
    if is_adapter(folder):
        raise adapter_error(folder)
    if (folder / "config.json").is_file():
        return open_folder(folder, title=folder.resolve().name)
    models = text_models(sorted(file.name for file in folder.glob("*.gguf")))
    if not models:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise GemletError(
            f"{folder}: holds neither config.json nor a .gguf file; found {found}. Is this the checkpoint's folder?"
        )
    if len(models) > 1:
        raise GemletError(f"{folder}: holds {len(models)} GGUF models ({', '.join(models)}). Give the file of one.")
    return open_gguf(folder / models.popitem()[1][0])
