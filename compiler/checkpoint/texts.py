"""The texts of a checkpoint, all checked before anything is compiled."""

from dataclasses import dataclass

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.json_file import list_of, shown
from compiler.checkpoint.tokenizer import (
    SpecialTokenIds,
    ids_without_text,
    special_token_ids,
    tokenizer_json_from_folder,
    tokenizer_json_from_gguf,
)
from compiler.errors import GemletError


@dataclass(frozen=True)
class Texts:
    """tokenizer: the artifact's tokenizer.json. tokens: the ids that the runtime has to know. withheld: (first, end) of
    those that the tokenizer has no token for."""

    tokenizer: bytes
    tokens: SpecialTokenIds
    withheld: tuple[tuple[int, int], ...]


def tokenizer_json(checkpoint: Checkpoint) -> bytes:
    """The tokenizer as Hugging Face JSON, from the checkpoint's own file or its GGUF's vocabulary."""
    if checkpoint.gguf_fields:
        return tokenizer_json_from_gguf(checkpoint.gguf_fields, checkpoint.path)
    return tokenizer_json_from_folder(checkpoint.folder, checkpoint.config["vocab_size"])


def read_texts(checkpoint: Checkpoint) -> Texts:
    """All texts that go into the artifact but the licence, which is a part of the checkpoint.

    Raises GemletError where it cannot be loaded or belongs to another vocabulary, an id that the checkpoint states is no
    token's, or the chat template does not parse.
    """
    rows = checkpoint.config["vocab_size"]
    check_ids(checkpoint, rows)
    tokenizer = tokenizer_json(checkpoint)
    tokens = special_token_ids(tokenizer, checkpoint.generation, str(checkpoint.path))
    beyond = [token for token in (tokens.bos, *tokens.stop) if token is not None and token >= rows]
    if beyond:
        raise GemletError(
            f"{checkpoint.path}: the tokenizer gives a special token the id {beyond[0]}, but the model's vocabulary has "
            f"{rows}. Does this tokenizer belong to this model?"
        )
    return Texts(tokenizer, tokens, ids_without_text(tokenizer, rows, tokens.stop))


def check_ids(checkpoint: Checkpoint, rows: int) -> None:
    """Raises GemletError for a stated id outside of the vocabulary, or one that is neither a whole number nor, at the end, a text."""
    for key, stated in checkpoint.generation.items():
        if not key.endswith("_token_id") or stated is None:
            continue
        where = f"{checkpoint.path}: {key}"
        # Texts of ends become ids when the tokenizer is read (`special_token_ids`).
        stated = [token for token in stated if not isinstance(token, str)] if isinstance(stated, list) else [stated]
        for token in list_of(stated, int, where):
            if not 0 <= token < rows:
                raise GemletError(f"{where}: found {shown(token)}; expected 0 to {rows - 1}, a token of the vocabulary.")
