"""Runs a case's Programs as an engine does: prompts in chunks, then token after token, and holds logits and draws against transformers."""
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from compiler.kernels.adjust import list_words
from compiler.schedule.program import Program
from compiler.state import STATE
from tests.fixtures.kernel_inputs import state_words
from tests.property.models import Case

# The project's bounds on logits (tests/browser/test_random_checkpoints.py, test_wasm_random_checkpoints.py).
TOLERANCE, ROUNDED = 2e-3, 2e-2
# Lifts the last id above all others, whose logits are below 1000.
LIFT = 1e4


class Target(ABC):
    """A Program in memory, ready to run. Buffers by name."""

    program: Program

    @abstractmethod
    def write(self, buffer: str, content: bytes) -> None: ...

    @abstractmethod
    def read(self, buffer: str, count: int) -> bytes: ...

    @abstractmethod
    def run(self, step: str) -> None: ...

    def set_state(self, position: int, tokens: list[int]) -> None:
        """Greedy draws after these tokens."""
        held = self.program.buffers["state"].bytes // 4 - STATE["tokens"]
        self.write("state", state_words(position, len(tokens), [*tokens, *[0] * (held - len(tokens))]).tobytes())

    def state(self) -> np.ndarray:
        return np.frombuffer(self.read("state", 4 * (STATE["tokens"] + 1)), np.int32)

    def logits(self, vocabulary: int) -> np.ndarray:
        return np.frombuffer(self.read("logits", 4 * vocabulary), np.float32)


@dataclass
class Outcome:
    """worst: the largest error of a logit. faults: what went wrong, in words."""

    worst: float
    faults: list[str]


def check(case: Case, target: Target, tolerance: float) -> Outcome:
    """Reads each prompt in chunks and decodes the tokens after it."""
    outcome = Outcome(0.0, [])
    for prompt in case.configuration.prompts:
        read_prompt(case, target, prompt)
        compare(case, target, prompt, tolerance, outcome, "prompt")
        for end in range(prompt + 1, prompt + case.configuration.answer + 1):
            target.set_state(end - 1, [case.tokens[end - 1]])
            target.run("decode_logits")
            compare(case, target, end, tolerance, outcome, "decode")
    return outcome


def read_prompt(case: Case, target: Target, prompt: int) -> None:
    sizes, start = target.program.chunks, 0
    while start < prompt:
        size = next((size for size in sizes if size >= prompt - start), sizes[-1])
        target.set_state(start, case.tokens[start : min(start + size, prompt)])
        target.run(f"prefill_{size}")
        start += size
    target.run("tail")


def compare(case: Case, target: Target, end: int, tolerance: float, outcome: Outcome, what: str) -> None:
    """Logits after `end` tokens; the greedy draw from them; and that the last id is drawn where a bias lifts it."""
    expected = case.logits[end - 1]
    found = target.logits(len(expected))
    error = float(np.abs(found - expected).max())
    outcome.worst = max(outcome.worst, error) if error == error else float("inf")
    if not error <= tolerance:
        outcome.faults.append(f"{what} of {end} tokens: logit {int(np.abs(found - expected).argmax())} is off by {error:.3g}")
    for step, token in (("sample", int(found.argmax())), ("sample_adjusted", len(expected) - 1)):
        target.set_state(end - 1, [case.tokens[end - 1]])
        if step == "sample_adjusted":
            target.write("adjustments", lifted(len(expected)))
        target.run(step)
        state = target.state()
        drawn = [int(state[place]) for place in (STATE["output"], STATE["tokens"], STATE["position"], STATE["length"])]
        if drawn != [token, token, end, 1]:
            outcome.faults.append(f"{step} after {what} of {end} tokens: token, next token, position and length are {drawn}; expected {[token, token, end, 1]}")


def lifted(vocabulary: int) -> bytes:
    """The adjustments that lift the last id."""
    words = np.zeros(list_words(vocabulary), np.int32)
    words[0], words[2:5] = 1, [vocabulary - 1, *np.array([1, LIFT], np.float32).view(np.int32)]
    return words.tobytes()
