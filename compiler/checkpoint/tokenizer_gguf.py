"""Describes the vocabulary inside a GGUF file as Google's own tokenizer.json describes it for Gemma.

Gemma's tokenizer is byte-pair encoding without a dummy first space: spaces become U+2581, pieces that the training
kept whole (runs of white space, HTML tags) are cut out of the text first, and a character that is no piece becomes
the pieces <0x00> ... <0xFF> of its UTF-8 bytes. GGUF files of Gemma 3 hold the pieces with SentencePiece's scores
(`tokenizer.ggml.model` "llama"), those of Gemma 4 hold the merges ("gemma4").
"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from gguf import TokenType

from compiler.checkpoint.json_file import list_of, shown, typed
from compiler.checkpoint.tokenizer_merges import MOST_MERGES, Merge, merges_of_pieces
from compiler.errors import GemletError

MODELS = ("llama", "gemma4")
SPACE = "\u2581"
# Of pieces that are merged from others. Gemma's longest has 31 characters, and all have 1.5 million.
LONGEST_PIECE = 256
MOST_CHARACTERS = 8_000_000


def tokenizer_from_gguf(fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The content of a tokenizer.json with that vocabulary, merges as pairs.

    fields: metadata of the file, plain Python values; path: the file, for messages.
    Raises GemletError where the vocabulary is missing, of another kind, or does not add up.
    """
    model = _field(fields, "tokenizer.ggml.model", str, path)
    if model not in MODELS:
        raise GemletError(
            f"{path}: tokenizer.ggml.model is {shown(model)}; expected one of {', '.join(MODELS)}, the tokenizers of Gemma. "
            "Is this a Gemma model? If so, convert it again with a current llama.cpp."
        )
    if fields.get("tokenizer.ggml.add_space_prefix"):
        raise GemletError(
            f"{path}: tokenizer.ggml.add_space_prefix is true; Gemma's tokenizer adds no space before a text. "
            "Is this a Gemma model? If so, convert it again with a current llama.cpp."
        )
    types = _token_types(fields, path)
    pieces = _pieces(fields, types, path)
    # llama.cpp shows the user control tokens that structure an answer of Gemma 4 (its tool calls and thoughts) and
    # marks them as user-defined for that; Gemma 4 has no user-defined pieces of its own.
    special = {TokenType.CONTROL, TokenType.UNKNOWN} | ({TokenType.USER_DEFINED} if model == "gemma4" else set())
    bos = _token_id(fields, "tokenizer.ggml.bos_token_id", len(pieces), path)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(number, piece, kind in special)
            for number, (piece, kind) in enumerate(zip(pieces, types))
            if kind in special or kind == TokenType.USER_DEFINED
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": _begin_with(pieces[bos], bos),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,  # all bytes are pieces, so nothing is unknown
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "merges": _merges_by_score(fields, pieces, types, path) if model == "llama" else _merges(fields, pieces, path),
        },
    }


def _field(fields: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    if key not in fields:
        raise GemletError(f"{path}: metadata {key} is missing: the file holds no usable tokenizer. Convert it again.")
    return typed(fields[key], kind, f"{path}: metadata {key}")


def _list(fields: Mapping[str, Any], key: str, kind: type, path: Path) -> list[Any]:
    return list_of(_field(fields, key, list, path), kind, f"{path}: metadata {key}")


def _one_a_token(fields: Mapping[str, Any], key: str, kind: type, count: int, path: Path) -> list[Any]:
    values = _list(fields, key, kind, path)
    if len(values) != count:
        raise GemletError(f"{path}: metadata {key} has {len(values)} values; expected {count}, one a token.")
    return values


def _token_id(fields: Mapping[str, Any], key: str, count: int, path: Path) -> int:
    token = _field(fields, key, int, path)
    if not 0 <= token < count:
        raise GemletError(f"{path}: metadata {key} is {token}, but the vocabulary has {count} tokens.")
    return token


def _token_types(fields: Mapping[str, Any], path: Path) -> list[int]:
    tokens = _list(fields, "tokenizer.ggml.tokens", str, path)
    types = _one_a_token(fields, "tokenizer.ggml.token_type", int, len(tokens), path)
    unknown = set(types) - set(TokenType)
    if unknown:
        raise GemletError(
            f"{path}: tokenizer.ggml.token_type: {min(unknown)} is no token type; "
            f"expected {min(TokenType)} to {max(TokenType)}. The file is damaged; download it again."
        )
    return types


def _pieces(fields: Mapping[str, Any], types: list[int], path: Path) -> list[str]:
    """The tokens as SentencePiece has them: llama.cpp writes user-defined ones with plain spaces."""
    pieces = [
        token.replace(" ", SPACE) if kind == TokenType.USER_DEFINED else token
        for token, kind in zip(fields["tokenizer.ggml.tokens"], types)
    ]
    first: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        if first.setdefault(piece, number) != number:
            raise GemletError(f"{path}: tokens {first[piece]} and {number} are both {shown(piece)}. Convert the file again.")
    bytes_missing = {f"<0x{byte:02X}>" for byte in range(256)} - first.keys()
    if bytes_missing:
        raise GemletError(
            f"{path}: tokenizer.ggml.tokens: the token {min(bytes_missing)} is missing; expected all bytes from <0x00> to "
            "<0xFF>, without which some texts could not be encoded. Is this a Gemma model? If so, convert it again."
        )
    return pieces


def _merges_by_score(fields: Mapping[str, Any], pieces: list[str], types: list[int], path: Path) -> list[Merge]:
    # Only normal pieces: the others are cut out of the text whole, or stand for no text at all.
    scores = _one_a_token(fields, "tokenizer.ggml.scores", float, len(pieces), path)
    normal = [number for number, kind in enumerate(types) if kind == TokenType.NORMAL]
    lengths = {number: len(pieces[number]) for number in normal}
    longest = max(lengths, key=lengths.__getitem__, default=None)
    if longest is not None and lengths[longest] > LONGEST_PIECE:
        raise GemletError(
            f"{path}: tokenizer.ggml.tokens: token {longest} has {lengths[longest]} characters; expected at most "
            f"{LONGEST_PIECE}. The file is damaged; download it again."
        )
    merges = merges_of_pieces(pieces[number] for number in sorted(normal, key=lambda number: -scores[number]))
    found = list(islice(merges, MOST_MERGES + 1)) if sum(lengths.values()) <= MOST_CHARACTERS else None
    if found is None or len(found) > MOST_MERGES:
        raise GemletError(
            f"{path}: tokenizer.ggml.tokens: more than {MOST_CHARACTERS} characters or {MOST_MERGES} merges, far more than "
            "a Gemma's. The file is damaged; download it again."
        )
    return found


def _merges(fields: Mapping[str, Any], pieces: list[str], path: Path) -> list[Merge]:
    known = frozenset(pieces)
    lines = _list(fields, "tokenizer.ggml.merges", str, path)
    if len(lines) > MOST_MERGES:
        raise GemletError(f"{path}: tokenizer.ggml.merges: {len(lines)} merges; expected at most {MOST_MERGES}.")
    merges = []
    for number, line in enumerate(lines):
        left, _, right = line.partition(" ")
        if not {left, right, left + right} <= known:
            raise GemletError(
                f"{path}: tokenizer.ggml.merges: merge {number} is {shown(line)}; expected two tokens of the vocabulary "
                "with a space between, which join to a third. Convert the file again."
            )
        merges.append((left, right))
    return merges


def _added_token(number: int, piece: str, special: bool) -> dict[str, Any]:
    """Special ones are looked for in the text itself, the others after its spaces became U+2581."""
    return {
        "id": number,
        "content": piece,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
    }


def _begin_with(piece: str, number: int) -> dict[str, Any]:
    """Puts that token before each text."""
    token = {"SpecialToken": {"id": piece, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": kind}} for name, kind in (("A", 0), ("B", 1)))
    return {
        "type": "TemplateProcessing",
        "single": [token, first],
        "pair": [token, first, {"SpecialToken": {"id": piece, "type_id": 1}}, second],
        "special_tokens": {piece: {"id": piece, "ids": [number], "tokens": [piece]}},
    }
