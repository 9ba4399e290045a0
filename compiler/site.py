"""The static site around compiled models: the page from web/dist, and a few words about a model for the terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from compiler.errors import GemletError


def check_folder(out: Path) -> None:
    """Raises GemletError where `out` cannot become the folder of a site because it is a file."""
    if out.exists() and not out.is_dir():
        raise GemletError(f"{out}: expected a folder or nothing, found a file\n  what to do: give another folder to -o")


def copy_page(page: Path, out: Path) -> None:
    """Copies the built page into the site `out`, over an older one."""
    shutil.copytree(page, out, dirs_exist_ok=True)


def describe(folder: Path) -> str:
    """A few lines on the model in that artifact folder: its title, size and place, the licence of its weights, and how many
    ids have no text."""
    manifest = json.loads((folder / "model.json").read_text("utf-8"))
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 2**20
    terms = manifest["license"]
    licence = " ".join(word for word in (terms["name"], terms["url"]) if word)
    lines = [f"{manifest['title']}: {size:.0f} MiB of weights in {folder}", f"licence of its weights: {licence}"]
    if withheld := sum(end - first for first, end in manifest["tokenizer"]["without_text"]):
        lines.append(f"{withheld:,} of {manifest['facts']['vocab_size']:,} rows of the vocabulary have no token: never drawn")
    return "\n".join(lines)
