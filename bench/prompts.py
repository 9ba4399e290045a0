"""Prompts of exact lengths. Each is a text whose tokens are known, since some engines take tokens and some take text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from compiler.errors import GemletError

BOS = 2
SHORT = "The capital of France is"
LONGEST = 4000
LONG = " ".join(
    f"Day {day}: the keeper of the lighthouse wrote down the wind, the waves and the ships that passed, and went to sleep."
    for day in range(1, 200)
)


@dataclass(frozen=True)
class Prompt:
    """A text, and its token ids with the BOS before them."""

    text: str
    ids: list[int]


def prompts(tokenizer: Tokenizer, lengths: Sequence[int]) -> list[Prompt]:
    """One prompt a length, BOS included. Raises GemletError where no text has that many tokens."""
    return [_prompt(tokenizer, length) for length in lengths]


def _prompt(tokenizer: Tokenizer, length: int) -> Prompt:
    for source in (SHORT, LONG):
        ids = tokenizer.encode(source, add_special_tokens=False).ids[: length - 1]
        text = tokenizer.decode(ids)
        if len(ids) == length - 1 and tokenizer.encode(text, add_special_tokens=False).ids == ids:
            return Prompt(text, [BOS, *ids])
    raise GemletError(f"--prompts: no prompt of {length} tokens could be made; take another length, from 2 to {LONGEST}")
