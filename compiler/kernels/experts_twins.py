"""Numpy twins of the kernels of a mixture of experts, float64."""
import numpy as np

from .twins import gelu, rms_norm


def route(scores: np.ndarray, per_expert: np.ndarray, chosen: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores [M, E] -> expert numbers int [M, chosen], best first (of equal ones the lower), and weights [M, chosen]."""
    scores = np.asarray(scores, np.float64)
    experts = np.argsort(-scores, axis=1, kind="stable")[:, :chosen]
    weights = np.exp(np.take_along_axis(scores, experts, 1) - scores.max(1, keepdims=True))
    return experts, weights / weights.sum(1, keepdims=True) * per_expert[experts]


def choices_by_expert(experts: np.ndarray, count: int) -> list[list[int]]:
    """Expert numbers [M, chosen] -> for each of `count` experts its choices, token * chosen + place, in rising order."""
    flat = experts.reshape(-1)
    return [np.flatnonzero(flat == expert).tolist() for expert in range(count)]


def experts_gated(x: np.ndarray, weight: np.ndarray, experts: np.ndarray) -> np.ndarray:
    """x [M, K], weight [E, 2 N, K], experts [M, chosen] -> gelu(gate x) * (up x), [M * chosen, N]."""
    products = np.einsum("mcnk,mk->mcn", weight[experts].astype(np.float64), x)
    gate, up = np.split(products, 2, axis=2)
    return (gelu(gate) * up).reshape(-1, gate.shape[2])


def experts_products(x: np.ndarray, weight: np.ndarray, experts: np.ndarray) -> np.ndarray:
    """x [M * chosen, K], weight [E, N, K] -> each choice's own product, [M * chosen, N]."""
    return np.einsum("cnk,ck->cn", weight[experts.reshape(-1)].astype(np.float64), x)


def weighted_sum(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products [M * chosen, N], weights [M, chosen] -> [M, N]."""
    return np.einsum("mc,mcn->mn", weights, products.reshape(*weights.shape, -1))
