"""Opens whatever a user may call a model."""

from dataclasses import replace
from pathlib import Path

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.gguf_model import open_gguf
from compiler.checkpoint.gguf_split import model_stem
from compiler.checkpoint.hub import HUB_ID, download_snapshot
from compiler.checkpoint.huggingface import open_config, open_folder
from compiler.errors import GemletError


def open_checkpoint(model: str | Path) -> Checkpoint:
    """Opens a Hugging Face folder, a GGUF file (or any part of a split one), a folder with one GGUF model, a bare
    config.json (no tensors), or `owner/name` on the hub.

    Only headers are read here; tensors read their rows when asked. Raises GemletError where the model is none of
    these, or a file is missing, unsound or of an unknown kind.
    """
    path = Path(model)
    if path.is_dir():
        return _open_directory(path)
    if path.is_file():
        return open_config(path) if path.suffix == ".json" else open_gguf(path)
    if HUB_ID.fullmatch(str(model)):
        folder, revision = download_snapshot(str(model))
        return replace(open_folder(folder, title=path.name), revision=revision)
    raise GemletError(
        f"{model}: no such file or folder. Expected a Hugging Face folder, a .gguf file, a config.json, "
        "or owner/name on the hub."
    )


def _open_directory(folder: Path) -> Checkpoint:
    if (folder / "config.json").is_file():
        return open_folder(folder, title=folder.resolve().name)
    files = sorted(folder.glob("*.gguf"))
    models = sorted({model_stem(file) for file in files})
    if not models:
        raise GemletError(f"{folder}: holds neither config.json nor a .gguf file. Is this the checkpoint's folder?")
    if len(models) > 1:
        raise GemletError(f"{folder}: holds {len(models)} GGUF models ({', '.join(models)}). Give the file of one.")
    return open_gguf(files[0])
