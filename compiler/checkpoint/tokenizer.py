"""The tokenizer that ships with a model: a tokenizer.json in Hugging Face's format, whatever the checkpoint has."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.checkpoint.guarded import guarded
from compiler.checkpoint.json_file import list_of, parse_json_object, shown, typed
from compiler.checkpoint.text_file import MIB, read_bytes
from compiler.checkpoint.tokenizer_added import pieces, with_added_tokens
from compiler.checkpoint.tokenizer_gguf import tokenizer_from_gguf
from compiler.checkpoint.tokenizer_merges import MOST_MERGES, needed_merges
from compiler.errors import GemletError

UNREADABLE = "the tokenizer cannot be loaded:"
KEYS = {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
LARGEST = 64 * MIB  # Gemma's own tokenizer.json has 33 MB
END_OF_TURN = ("<end_of_turn>", "<turn|>")  # of Gemma 3 and of Gemma 4


@dataclass(frozen=True)
class SpecialTokenIds:
    """Ids that the runtime has to know. A prompt must begin with `bos` where `add_bos`, but only once."""

    bos: int | None
    stop: tuple[int, ...]  # ids that end a generation
    pad: int | None
    add_bos: bool


def tokenizer_json_from_folder(folder: Path, rows: int | None = None) -> bytes:
    """The tokenizer.json of a Hugging Face folder, without what no text needs (see `_written`), and with the tokens that files
    beside it state (tokenizer_added.py). rows: of the embedding.

    Raises GemletError where there is none or it cannot be loaded.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        content = read_bytes(path, LARGEST)
        document = parse_json_object(content, path, UNREADABLE)
        _check(content, path)
        if rows is not None:
            _require_size(document, rows, path)
        return _written(with_added_tokens(document, folder, rows), path)
    if (folder / "tokenizer.model").is_file():
        raise GemletError(
            f"{folder}: there is a tokenizer.model but no tokenizer.json. Make one with transformers: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    raise GemletError(f"{path}: the file is missing. Download the checkpoint's tokenizer.json.")


def tokenizer_json_from_gguf(fields: Mapping[str, Any], path: Path) -> bytes:
    """A tokenizer.json with the vocabulary of a GGUF file, which encodes every text as SentencePiece does.

    fields: metadata of the file, plain Python values; path: the file, for messages.
    Raises GemletError where the vocabulary is missing, of another kind, or unsound.
    """
    content = _written(tokenizer_from_gguf(fields, path), path)
    _check(content, path)
    return content


def special_token_ids(tokenizer_json: bytes, generation: Mapping[str, Any], where: str = "generation") -> SpecialTokenIds:
    """The ids in `generation` ("bos_token_id", "pad_token_id", and "eos_token_id": a list of ids or texts; None is as if
    absent), completed by name. "eos_token": the text of one that ends a turn, too, where the tokenizer knows it.

    The end of a turn is always a stop: base models never write it, and files of chat models often do not state it.
    `add_bos` holds wherever there is a BOS: without it every Gemma loses its way, although the configurations of
    Gemma 4 say no, because its chat template writes the BOS itself. Raises GemletError, which begins with
    `where`, for a text that is no token.
    """
    document = json.loads(tokenizer_json)
    named = special_tokens(document, Path("tokenizer.json"))
    known = pieces(document) | {token["content"]: token["id"] for token in document["added_tokens"]}
    stated = {key: value for key, value in generation.items() if value is not None}
    bos = stated.get("bos_token_id", named.get("<bos>"))
    ends = [named[name] for name in END_OF_TURN if name in named]
    stops = [_end_id(end, known, where) for end in stated.get("eos_token_id", [])]
    if stated.get("eos_token") in known:
        stops.append(known[stated["eos_token"]])
    return SpecialTokenIds(
        bos=bos,
        stop=tuple(dict.fromkeys([*stops, *ends])),
        pad=stated.get("pad_token_id", named.get("<pad>")),
        add_bos=bos is not None,
    )


def _end_id(end: int | str, known: Mapping[str, int], where: str) -> int:
    if isinstance(end, str) and end not in known:
        raise GemletError(f"{where}: eos_token_id: {shown(end)} is no token of the tokenizer; expected an id or a token's text.")
    return known[end] if isinstance(end, str) else end


def tokens_in(tokenizer_json: bytes) -> set[int]:
    """The ids for which a tokenizer.json has a text."""
    document = json.loads(tokenizer_json)
    # By the file: the library in Rust gives added tokens behind a gap other ids, which the page does not.
    return {*pieces(document).values(), *(token["id"] for token in document["added_tokens"])}


def ids_without_text(tokenizer_json: bytes, vocabulary: int, stop: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(first, end) of the ids below `vocabulary` that the tokenizer has no token for, in order, none beside another.

    Not those that end an answer: nobody needs their text, and without them no answer would end.
    """
    ranges: list[tuple[int, int]] = []
    for token in sorted(set(range(vocabulary)) - tokens_in(tokenizer_json) - set(stop)):
        if ranges and ranges[-1][1] == token:
            ranges[-1] = (ranges[-1][0], token + 1)
        else:
            ranges.append((token, token + 1))
    return tuple(ranges)


def _require_size(document: Mapping[str, Any], rows: int, path: Path) -> None:
    """Raises GemletError where most rows of the embedding have no token, or more tokens than a few have no row.

    Embeddings are filled up to round numbers, and the tokenizers of text models know tokens of images that only others read.
    """
    ids = {*pieces(document).values(), *(token["id"] for token in document["added_tokens"])}
    beyond = sum(token >= rows for token in ids)
    if 2 * len(ids) < rows or beyond > max(8, rows // 100):
        raise GemletError(
            f"{path}: the tokenizer has {len(ids)} tokens, but the model's vocabulary {rows}. Does this tokenizer belong to this model?"
        )


def _check(content: bytes, path: Path) -> None:
    """Asks the tokenizers library, in a process that it may end."""
    guarded.ask(f"{path}: {UNREADABLE[:-1]}", {}, content)


def _written(document: dict[str, Any], path: Path) -> bytes:
    """The document with only the needed merges, all keys that the loader in JavaScript insists on, and no dropout of merges,
    which is for training.

    No merge makes a special token. In a text these are cut out before anything is merged, so such a merge is of no
    use; and without it, a loader that leaves them out of `added_tokens` can never make one from what a user wrote.
    """
    document = {**KEYS, **document}
    special = special_tokens(document, path)
    model = typed(document.get("model"), dict, f"{path}: model")
    if model.get("type") == "BPE" and not model.get("continuing_subword_prefix") and not model.get("end_of_word_suffix"):
        pairs = _merges(model.get("merges"), f"{path}: model.merges")
        merges = needed_merges((left, right) for left, right in pairs if left + right not in special)
        document["model"] = {**model, "merges": merges} | ({"dropout": None} if model.get("dropout") else {})
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def special_tokens(document: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Names and ids of a tokenizer.json's special tokens. Raises GemletError, which names the file, for wrong types."""
    special = {}
    for number, token in enumerate(list_of(document.get("added_tokens"), dict, f"{path}: added_tokens")):
        where = f"{path}: added_tokens[{number}]"
        if typed(token.get("special"), bool, f"{where}.special"):
            special[typed(token.get("content"), str, f"{where}.content")] = typed(token.get("id"), int, f"{where}.id")
    return special


def _merges(stated: Any, where: str) -> Iterator[tuple[str, str]]:
    """Merges as pairs; older files have texts with a space between."""
    merges = typed(stated, list, where)
    if len(merges) > MOST_MERGES:
        raise GemletError(f"{where}: {len(merges)} merges; expected at most {MOST_MERGES}.")
    for number, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise GemletError(f"{where}[{number}]: expected two tokens, found {shown(merge)}.")
        yield pair[0], pair[1]
