"""Products with stored matrices, for all copies of the computation at once, so that each weight is decoded once."""

from collections.abc import Iterable

import numpy as np

from compiler.kernels.experts_twins import route
from compiler.kernels.twins import gelu, round_to
from compiler.known_answer.copies import FLOAT_ERROR, perturbed
from compiler.known_answer.stored_weights import StoredWeights


class Products:
    """x: float64 [copies, tokens, K] everywhere. Names are the checkpoint's, without "model." and ".weight"."""

    def __init__(self, weights: StoredWeights) -> None:
        self.weights = weights
        self._random = np.random.Generator(np.random.PCG64(0))

    def vector(self, name: str) -> np.ndarray:
        return self.weights.vector(f"model.{name}")

    def rows(self, name: str, ids: list[int]) -> np.ndarray:
        """Rows of a table, float64 [tokens, K]."""
        return np.concatenate([self.weights.rows(f"model.{name}.weight", token, token + 1) for token in ids]).astype(np.float64)

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """x W^T, [copies, tokens, N], rounded to steps where the checkpoint says so."""
        return self.product(x, f"model.{name}.weight")

    def product(self, x: np.ndarray, name: str) -> np.ndarray:
        """The same by the checkpoint's full name."""
        input_step, output_step = self.weights.steps(name)
        rounds = bool(input_step)
        x = round_to(perturbed(x, self._random, rounds), input_step)
        y = self.times(x, self.weights.blocks(name))
        if output_step:  # at the edge between two steps the error of the sum decides
            noise = 2 * self._random.random(y.shape) - 1
            noise[0] = 0
            y = y + FLOAT_ERROR * np.sqrt((y * y).mean(axis=-1, keepdims=True)) * noise
        return round_to(y, output_step)

    @staticmethod
    def times(x: np.ndarray, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """x W^T of W's blocks of rows: the answer itself in float64, its copies in float32, whose error is small beside theirs."""
        own, copies = x[0], x[1:].reshape(-1, x.shape[-1]).astype(np.float32)
        parts = [(own @ block.astype(np.float64).T, copies @ block.T) for block in blocks]
        answer, others = (np.concatenate(results, axis=1) for results in zip(*parts))
        return np.concatenate([answer[None], others.reshape(-1, len(own), others.shape[1])])

    def experts(self, x: np.ndarray, scores: np.ndarray, name: str, per_expert: np.ndarray, chosen: int) -> np.ndarray:
        """The chosen experts' gated MLPs, weighted and summed. scores [copies, tokens, experts]."""
        gate_up, down = f"model.{name}.gate_up_proj", f"model.{name}.down_proj"
        _, doubled, width = self.weights.shape(gate_up)
        shape = x.shape
        experts, factors = route(scores.reshape(-1, scores.shape[-1]), per_expert, chosen)
        inputs = perturbed(x, self._random, False).reshape(-1, width)
        gated = np.zeros((*experts.shape, doubled // 2))
        for expert in np.unique(experts):
            gate, up = np.split(inputs @ self._expert(gate_up, expert, doubled).T, 2, axis=1)
            hit = experts == expert
            gated[hit] = (gelu(gate) * up)[hit.any(axis=1)]
        by_copy = gated.reshape(shape[0], -1, doubled // 2)
        gated = perturbed(by_copy, self._random, False).reshape(gated.shape)
        mixed = np.zeros((len(inputs), width))
        for expert in np.unique(experts):
            hit = experts == expert
            rows = hit.any(axis=1)
            mixed[rows] += gated[hit] @ self._expert(down, expert, width).T * factors[hit][:, None]
        return mixed.reshape(shape)

    def _expert(self, name: str, expert: int, rows: int) -> np.ndarray:
        return np.concatenate(list(self.weights.blocks(name, expert * rows, (expert + 1) * rows)))
