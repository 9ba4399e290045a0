"""The manifest's `known_answer` (docs/artifact.md, "Known answer")."""

from typing import Any

import numpy as np

from compiler.checkpoint.tokenizer import SpecialTokenIds
from compiler.errors import GemletError
from compiler.known_answer.copies import tolerances
from compiler.known_answer.products import Products
from compiler.known_answer.prompt import known_prompt
from compiler.known_answer.stored_weights import StoredWeights
from compiler.known_answer.text_model import TextModel
from compiler.pipeline import Lowered
from compiler.progress import Progress

BEST = 16
# Sums of every 32nd value: the threads of a workgroup take the rows of a tile of 32, so that a kernel which is wrong in any row is seen in one of them.
STRIPES = 32
LAYER_STRIPES = 8


def known_answer(lowered: Lowered, tokenizer: bytes, tokens: SpecialTokenIds, progress: Progress) -> dict[str, Any]:
    """What the model, with the weights as they are stored, says of a fixed prompt, and how far a right device may be from that.

    Memory stays near a block of a matrix and the LM head's results. Raises GemletError where the model's own numbers are not finite.
    """
    config = lowered.config
    ids = known_prompt(tokenizer, tokens, config.vocab_size, lowered.program.context)
    model = TextModel(config, Products(StoredWeights(lowered.weights)))
    with progress.phase("computing the known answer", len(model.plans), "layers") as phase:
        logits = model.logits(ids, lambda: phase.advance(1))
    for where, values in [*((f"layer {number}", x) for number, x in enumerate(model.layers)), ("the logits", logits)]:
        if not np.isfinite(values[0]).all():
            raise GemletError(f"known answer: {where} of the prompt {ids} is not finite; expected numbers. The checkpoint's weights are damaged, or too large.")
    best = np.argsort(-logits[0], kind="stable")[:BEST]
    sums = stripes(logits, STRIPES)
    layers = [np.concatenate([stripes(x, LAYER_STRIPES), rms(x)], axis=1) for x in model.layers]
    return {
        "ids": ids,
        "best": [[int(token), rounded(logits[0, token])] for token in best],
        "stripes": [rounded(value) for value in sums[0]],
        "layers": [[rounded(value) for value in x[0]] for x in layers],
        "tolerance": {
            "best": three_digits(tolerances(logits[:, best])),
            "stripes": three_digits(tolerances(sums)),
            "layers": [three_digits(tolerances(x)) for x in layers],
        },
    }


def stripes(x: np.ndarray, count: int) -> np.ndarray:
    """[copies, n] -> [copies, count]: number s is the sum of the values s, s + count, s + 2 count, …, each with a sign, divided by the root of their
    number. The sign of value i is that of (-1)^(ones in the binary digits of i div count), so that what moves all values alike does not count."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % count))).reshape(len(x), -1, count)
    signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(padded.shape[1])) % 2)
    return (padded * signs[:, None]).sum(axis=1) / np.sqrt(padded.shape[1])


def rms(x: np.ndarray) -> np.ndarray:
    """[copies, n] -> root mean square, [copies, 1]."""
    return np.sqrt((x * x).mean(axis=1, keepdims=True))


def rounded(value: float) -> float:
    """Six digits: more than any device is good to, and fewer than the order of sums could change."""
    return float(f"{value:.6g}")


def three_digits(found: dict[str, float]) -> dict[str, float]:
    return {form: float(f"{value:.3g}") for form, value in found.items()}
