"""The site that a bare `python build.py` serves: the default model, compiled again only when an input changed."""

from __future__ import annotations

from pathlib import Path

from compiler.compress import compress_site
from compiler.progress import Progress
from compiler.setup.folders import CACHE, PROJECT, REQUIREMENTS, SITE
from compiler.setup.steps import digest, is_stamped, write_stamp
from compiler.site import copy_page, describe

NAME = "gemma-3-270m"


def ensure_default_site(page: Path, progress: Progress) -> None:
    """Makes site/ hold the default model and the built page `page`; prints what it is and the licence of its weights.

    Raises GemletError where the model cannot be had or compiled.
    """
    from compiler.checkpoint.default_model import default_model_path

    model = default_model_path(CACHE, progress)
    folder = SITE / "models" / NAME
    stamp = CACHE / "default-site.stamp"
    inputs = _inputs(model)
    if not (is_stamped(stamp, inputs) and (folder / "model.json").is_file()):
        # Only here: they take seconds to import, and most runs find the model compiled.
        from compiler.checkpoint import open_checkpoint
        from compiler.package import compile_model

        compile_model(open_checkpoint(model), SITE, NAME, "auto", None, ("webgpu", "wasm"), None, progress)
        write_stamp(stamp, inputs)
    copy_page(page, SITE)
    compress_site(SITE)
    print(describe(folder))


def _inputs(model: Path) -> str:
    """Digest of all that the compiled model depends on: our sources, the pinned packages and the model's file.

    The file's size and time stand for its content, which default_model_path has checked; reading it takes a second.
    """
    sources = [*sorted((PROJECT / "compiler").rglob("*.py")), *sorted((PROJECT / "model_defs").rglob("*.py"))]
    status = model.stat()
    packages = [REQUIREMENTS / "run.txt", REQUIREMENTS / "lock.txt"]
    return digest([*sources, *packages], str(status.st_size), str(status.st_mtime_ns))
