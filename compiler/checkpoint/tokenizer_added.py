"""Tokens that a folder's tokenizer.json does not know, but a file beside it does, with transformers' ids."""

from pathlib import Path
from typing import Any

from compiler.checkpoint.fields import Fields
from compiler.checkpoint.json_file import read_json_object

CONFIG, OLDER_MAP, OLDER_TOKENS = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
EXTRA = ("extra_special_tokens", "additional_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip")


def with_added_tokens(document: dict[str, Any], folder: Path, rows: int | None) -> dict[str, Any]:
    """The content of a tokenizer.json with the tokens that only other files of its folder state.

    A token that is a piece of the vocabulary keeps its id, another one gets the next free id, whatever id its file states:
    so does transformers. rows: of the embedding; a token beyond them, which no model could read, is left out (None: no limit).
    Raises GemletError, naming file and field, for values of wrong types.
    """
    added = list(document.get("added_tokens") or [])
    vocabulary = pieces(document)
    known = {token["content"] for token in added}
    for token in _stated(folder):
        if token["content"] in known:
            continue
        number = vocabulary.get(token["content"], max([len(vocabulary), *(one["id"] + 1 for one in added)]))
        if rows is None or number < rows:
            known.add(token["content"])
            added.append({"id": number, **token})
    return {**document, "added_tokens": sorted(added, key=lambda token: token["id"])}


def pieces(document: dict[str, Any]) -> dict[str, int]:
    """The vocabulary of a tokenizer.json that the library has read: texts and ids. Unigram's are numbered in their order."""
    vocabulary = document["model"].get("vocab") or {}
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    return {piece[0]: number for number, piece in enumerate(vocabulary)}


def token_text(fields: Fields, key: str) -> str | None:
    """The text of a token that a field names: a text or an object with `content`; None where it is null or absent."""
    if fields.is_null(key):
        return None
    if isinstance(fields.values[key], dict):
        return fields.object(key).text("content")
    return fields.text(key)


def tokenizer_config(folder: Path) -> Fields:
    """The object in tokenizer_config.json; empty where there is none."""
    path = folder / CONFIG
    return Fields(read_json_object(path) if path.is_file() else {}, f"{path}: ")


def _stated(folder: Path) -> list[dict[str, Any]]:
    """The tokens that the files beside tokenizer.json state, in transformers' order. The older files count where
    tokenizer_config.json has no `added_tokens_decoder`."""
    config = tokenizer_config(folder)
    if not config.is_null("added_tokens_decoder"):
        decoder = config.object("added_tokens_decoder")
        for key in decoder.values:
            if not (key.isascii() and key.isdecimal() and len(key) < 10):
                raise decoder.error(key, "a token's id as key")
        tokens = [_token(decoder, key) for key in sorted(decoder.values, key=int)]
        named = [config]
    else:
        older, encoder = (_older(folder / name) for name in (OLDER_MAP, OLDER_TOKENS))
        named = [Fields(config.values | older.values, config.where)]
        special = {token["content"] for token in _named(named[0])}
        ids = {text: encoder.whole(text, 0, 1 << 31) for text in encoder.values}
        tokens = [_plain(text, text in special) for text in sorted(ids, key=ids.__getitem__)]
    return tokens + [token for fields in named for token in _named(fields)]


def _named(fields: Fields) -> list[dict[str, Any]]:
    """The special tokens that single fields and lists name."""
    others = [key for key, value in fields.values.items() if key.endswith("_token") and isinstance(value, (str, dict))]
    texts = [token_text(fields, key) for key in dict.fromkeys([*NAMED, *others])]
    for key in EXTRA:
        if not fields.is_null(key):
            value = fields.values[key]
            if not isinstance(value, (list, dict)):
                raise fields.error(key, "a list of tokens")
            items = value if isinstance(value, dict) else {str(number): item for number, item in enumerate(value)}
            texts += [token_text(Fields(items, f"{fields.where}{key}."), name) for name in items]
            break  # the newer list takes the older one's place
    return [_plain(text, True) for text in texts if text is not None]


def _token(decoder: Fields, key: str) -> dict[str, Any]:
    token = decoder.object(key)
    flags = {flag: token.boolean(flag) for flag in ("special", "normalized", *FLAGS) if not token.is_null(flag)}
    return _plain(token.text("content"), flags.get("special", False)) | flags


def _plain(text: str, special: bool) -> dict[str, Any]:
    return {"content": text, "special": special, "normalized": not special, **dict.fromkeys(FLAGS, False)}


def _older(path: Path) -> Fields:
    return Fields(read_json_object(path) if path.is_file() else {}, f"{path}: ")
