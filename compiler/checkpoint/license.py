"""Finds the licence of a checkpoint's weights."""

import re
from pathlib import Path

from compiler.checkpoint.checkpoint import License

GEMMA_TERMS = License(
    "Gemma Terms of Use",
    "https://ai.google.dev/gemma/terms",
    "Gemma is provided under and subject to the Gemma Terms of Use found at https://ai.google.dev/gemma/terms\n",
)
APACHE = License(
    "Apache 2.0",
    "https://www.apache.org/licenses/LICENSE-2.0",
    "The weights are licensed under the Apache License, Version 2.0.\n"
    "The licence is at https://www.apache.org/licenses/LICENSE-2.0\n",
)
UNKNOWN = License(
    "unknown",
    "",
    "The checkpoint does not state the licence of its weights. Ask whoever published it before you pass them on.\n",
)
KNOWN = {"gemma": GEMMA_TERMS, "apache-2.0": APACHE}


def license_named(identifier: str | None, model_type: str, url: str = "", text: str = "") -> License:
    """The licence with that hub identifier (`gemma`, `apache-2.0`, …); `text` replaces our notice where given.

    Without an identifier or text, Gemma 4 is Apache 2.0, as its authors publish it; any other model's is unknown.
    """
    if identifier is None and not text:
        return APACHE if model_type.startswith("gemma4") else UNKNOWN
    if identifier is None:
        return License("stated in the text", url, text)
    known = KNOWN.get(identifier.lower())
    if known:
        return License(known.name, known.url, text or known.text)
    return License(identifier, url, text or f"The checkpoint states its licence as: {identifier} {url}".rstrip() + "\n")


def folder_license(folder: Path, model_type: str) -> License:
    """The licence stated by the README's front matter and the LICENSE file of a Hugging Face folder."""
    stated = {}
    readme = folder / "README.md"
    if readme.is_file():
        front_matter = re.match(r"---\s*\n(.*?)\n---", readme.read_text("utf-8", "replace"), re.DOTALL)
        if front_matter:
            stated = dict(re.findall(r"^(license\w*):[ \t]*[\"']?([^\s\"']+)", front_matter[1], re.MULTILINE))
    identifier = stated.get("license")
    if identifier == "other":  # the hub's word for "see license_name"
        identifier = stated.get("license_name", identifier)
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md"):
        if (folder / name).is_file():
            text = (folder / name).read_text("utf-8", "replace")
            return license_named(identifier, model_type, stated.get("license_link", ""), text)
    return license_named(identifier, model_type, stated.get("license_link", ""))
