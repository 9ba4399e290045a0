"""The prompt of the known answer: it follows from the model alone."""

import json

from compiler.checkpoint.tokenizer import SpecialTokenIds

# Odd, and neither a chunk nor a multiple of one: whole prompts, parts of them and single tokens take different forms of kernels.
LENGTH = 21
GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly over [0, 1), however many there are


def known_prompt(tokenizer: bytes, tokens: SpecialTokenIds, vocabulary: int, context: int) -> list[int]:
    """LENGTH ids, or as many as the context holds: the BOS if there is one, then ids spread over those that the tokenizer knows."""
    document = json.loads(tokenizer)
    vocab = document["model"]["vocab"]
    listed = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    known = sorted({token for token in (*listed, *(added["id"] for added in document["added_tokens"])) if token < vocabulary})
    first = [tokens.bos] if tokens.add_bos else []
    spread = [known[int((GOLDEN * number) % 1 * len(known))] for number in range(1, LENGTH)]
    return [*first, *spread][: min(LENGTH, context)]
