"""Whether the LM head is the embedding, or has weights of its own."""

from dataclasses import replace
from typing import Any

import numpy as np

from compiler.checkpoint.tensor import Tensor

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
BLOCK = 1 << 22  # values that are compared at a time


def settle_head(tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Makes both agree with each other, as transformers loads them; changes `tensors` and `config["tie_word_embeddings"]`.

    Where the config ties the head, it has weights of its own all the same if the file has a head that differs from the
    embedding; a head alone is the embedding, too. Reads both tensors up to the first difference.
    """
    if not config["tie_word_embeddings"] or HEAD not in tensors:
        return
    if EMBEDDING not in tensors:
        tensors[EMBEDDING] = replace(tensors.pop(HEAD), name=EMBEDDING)
    elif are_equal(tensors[HEAD], tensors[EMBEDDING]):
        del tensors[HEAD]
    else:
        config["tie_word_embeddings"] = False


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers. Raises GemletError where one holds NaN or cannot be read."""
    if one.shape != other.shape:
        return False
    rows = max(1, BLOCK // one.shape[-1])
    same_format = one.source_format == other.source_format
    for start in range(0, one.row_count, rows):
        stop = min(start + rows, one.row_count)
        pair = [tensor.raw_rows(start, stop) if same_format else tensor.rows(start, stop) for tensor in (one, other)]
        if np.array_equal(*pair):
            continue
        if not same_format or not np.array_equal(one.rows(start, stop), other.rows(start, stop)):  # -0 is 0
            return False
    return True
