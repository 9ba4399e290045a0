"""Finds a checkpoint's chat template: the one that transformers takes, or, without a default, the first by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.checkpoint.chat_template import check_template
from compiler.checkpoint.fields import Fields
from compiler.checkpoint.json_file import read_json_object
from compiler.checkpoint.text_file import read_text
from compiler.checkpoint.tokenizer_added import tokenizer_config

FILE, FOLDER, OLDER = "chat_template.jinja", "additional_chat_templates", "chat_template.json"
GGUF_KEY = "tokenizer.chat_template"


def folder_template(folder: Path) -> tuple[str | None, list[str]]:
    """The template of a Hugging Face folder, or None, and what the user should know of the choice.

    Files of templates come before tokenizer_config.json, and chat_template.json, which older processors wrote, comes last.
    Raises GemletError for a template that is no text or does not parse.
    """
    files = {"default": folder / FILE} if (folder / FILE).is_file() else {}
    files |= {path.stem: path for path in sorted((folder / FOLDER).glob("*.jinja")) if path.stem not in files}
    if files:
        texts = {name: read_text(path) for name, path in files.items()}
        return _chosen(texts, {name: str(path) for name, path in files.items()}, str(folder))
    config = tokenizer_config(folder)
    found = _by_name(config)
    if not found and (folder / OLDER).is_file():
        config = Fields(read_json_object(folder / OLDER), f"{folder / OLDER}: ")
        if config.is_null("chat_template"):
            raise config.error("chat_template", "a text")
        found = _by_name(config)
    return _chosen(found, dict.fromkeys(found, f"{config.where}chat_template"), str(folder))


def gguf_template(metadata: Mapping[str, Any], path: Path) -> tuple[str | None, list[str]]:
    """The template of a GGUF file: `tokenizer.chat_template`, or one with `.NAME` behind it. Raises as `folder_template`."""
    fields = Fields(dict(metadata), f"{path}: metadata ")
    keys = {"default": GGUF_KEY} if GGUF_KEY in metadata else {}
    keys |= {key.removeprefix(f"{GGUF_KEY}."): key for key in metadata if key.startswith(f"{GGUF_KEY}.")}
    texts = {name: fields.text(key) for name, key in keys.items()}
    return _chosen(texts, {name: f"{fields.where}{key}" for name, key in keys.items()}, str(path))


def _by_name(fields: Fields) -> dict[str, str]:
    """The templates in the field `chat_template`: a text, an object by name, or a list of objects with name and template."""
    value = fields.values.get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, dict):
        return {name: fields.object("chat_template").text(name) for name in value}
    if not isinstance(value, list):
        raise fields.error("chat_template", "a text, or a list of templates with their names")
    places = Fields({str(number): entry for number, entry in enumerate(value)}, f"{fields.where}chat_template.")
    entries = [places.object(number) for number in places.values]
    return {entry.text("name"): entry.text("template") for entry in entries}


def _chosen(templates: dict[str, str], places: dict[str, str], where: str) -> tuple[str | None, list[str]]:
    """The default one, or else the first by name; what to tell the user of it."""
    found = {name: text for name, text in templates.items() if text.strip()}
    if not found:
        notes = [f"{where}: the chat template is empty, so that this is no chat model."] if templates else []
        return None, notes
    name = "default" if "default" in found else min(found)
    check_template(found[name], places[name])
    others = sorted(set(found) - {name})
    if name == "default" and not others:
        return found[name], []
    left = f"; left out: {', '.join(others)}" if others else ""
    reason = "" if name == "default" else ", since none is called 'default'"
    return found[name], [f"{where}: of the chat templates {name!r} is taken{reason}{left}."]
