"""Finds the licence of a checkpoint's weights."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from compiler.checkpoint.checkpoint import License
from compiler.checkpoint.json_file import typed
from compiler.checkpoint.text_file import read_text
from compiler.errors import GemletError

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


README_BYTES = 1 << 18  # of a README; its front matter stands at the beginning
LONGEST = 200  # characters of a name, and ten times as many of an address


def license_named(identifier: str | None, model_type: str, url: str = "", text: str = "") -> License:
    """The licence with that hub identifier (`gemma`, `apache-2.0`, …); `text` replaces our notice where given.

    Without an identifier or text, Gemma 4 is Apache 2.0, as its authors publish it; any other model's is unknown. An
    address that is not http or https is left out: pages make a link of it.
    """
    url = url if is_web_address(url) else ""
    if identifier is None and not text:
        return APACHE if model_type.startswith("gemma4") else UNKNOWN
    if identifier is None:
        return License("stated in the text", url, text)
    known = KNOWN.get(identifier.lower())
    if known:
        return License(known.name, known.url, text or known.text)
    return License(identifier, url, text or f"The checkpoint states its licence as: {identifier} {url}".rstrip() + "\n")


def is_web_address(url: str) -> bool:
    """Whether it is an address with http or https and a host, and nothing else beside it."""
    if len(url) > 10 * LONGEST or not url.isprintable() or any(character in url for character in " \\<>\"'`"):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address between them
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def gguf_license(fields: dict, model_type: str, path: Path) -> License:
    """The licence stated by a GGUF file's metadata. Raises GemletError where that is no text."""
    stated = {}
    for key in ("general.license", "general.license.name", "general.license.link"):
        stated[key] = None if key not in fields else typed(fields[key], str, f"{path}: metadata {key}")
    identifier = stated["general.license"]
    if identifier == "other":  # the hub's word for "see license_name"
        identifier = stated["general.license.name"] or identifier
    return license_named(_name(identifier, path), model_type, stated["general.license.link"] or "")


def folder_license(folder: Path, model_type: str) -> License:
    """The licence stated by the README's front matter and the LICENSE file of a Hugging Face folder.

    Raises GemletError for a LICENSE of more than a mebibyte.
    """
    stated = _front_matter(folder / "README.md")
    identifier = stated.get("license")
    if identifier == "other":  # the hub's word for "see license_name"
        identifier = stated.get("license_name", identifier)
    identifier = _name(identifier, folder / "README.md")
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md"):
        if (folder / name).is_file():
            text = read_text(folder / name, errors="replace")
            return license_named(identifier, model_type, stated.get("license_link", ""), text)
    return license_named(identifier, model_type, stated.get("license_link", ""))


def _name(identifier: str | None, path: Path) -> str | None:
    if identifier is not None and (len(identifier) > LONGEST or not identifier.isprintable()):
        raise GemletError(
            f"{path}: the licence's name has {len(identifier)} characters or does not print; expected at most {LONGEST}."
        )
    return identifier or None


def _front_matter(readme: Path) -> dict[str, str]:
    """The keys `license...` between two lines `---` at the README's beginning."""
    if not readme.is_file():
        return {}
    with open(readme, "rb") as stream:
        lines = stream.read(README_BYTES).decode("utf-8", "replace").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    end = next((number for number, line in enumerate(lines) if number and line.startswith("---")), 0)
    found = (re.match(r"(license\w*):[ \t]*[\"']?([^\s\"']+)", line) for line in lines[1:end] if line.startswith("license"))
    return {match[1]: match[2] for match in found if match}
