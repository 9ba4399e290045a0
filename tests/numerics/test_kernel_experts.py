"""The kernels of a mixture of experts against their twins, through WebGPU."""
from collections.abc import Callable

import numpy as np
import pytest

from compiler.kernels import experts_twins as twins
from compiler.kernels.experts_matrix import experts_matrix, weighted_sum_kernel
from compiler.kernels.experts_vector import experts_gated_vector, experts_sum_vector
from compiler.kernels.kernel import HALF, PACKED, SUBGROUPS
from compiler.kernels.route import group_kernel, route_kernel
from compiler.kernels.twins import int8_activations
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, pack_vectors, sentinels, state_words

EPS = 1e-6

# (experts, chosen): one of few, more experts than a workgroup's threads with an odd rest, all of them.
COUNTS = [(5, 1), (131, 8), (3, 3)]


def routing(rng: np.random.Generator, tokens: int, experts: int, chosen: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expert numbers and weights [M, chosen], and both as ROUTE holds them."""
    numbers = np.stack([rng.permutation(experts)[:chosen] for _ in range(tokens)])
    weights = rng.uniform(0.1, 1, (tokens, chosen)).astype(np.float32)
    return numbers, weights, np.concatenate([numbers.astype(np.float32), weights], axis=1)


def routing_bound(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Both the weight's and the sum's exponentials have the error of one; sum, quotient and product round a few times more."""
    return 2 * tolerances.exponential(scores.max() - scores.min()) * np.abs(weights) + 2.0**-20 * np.abs(weights)


@pytest.mark.parametrize(("experts", "chosen"), COUNTS)
def test_route_takes_the_best_and_renormalises(gpu, experts, chosen):
    rng = np.random.default_rng(experts)
    scores, per_expert = normal(rng, 3, experts) * 4, normal(rng, experts)
    route = gpu.run(route_kernel(3, experts, chosen), scores, per_expert, sentinels(3, 2 * chosen))[-1]
    numbers, weights = twins.route(scores, per_expert, chosen)
    assert (route[:, :chosen] == numbers).all()
    assert_within(route[:, chosen:], weights, routing_bound(scores, weights))


def test_of_equal_scores_the_lower_expert_comes_first(gpu):
    scores = np.array([[1, 2, 2, 0, 2]], np.float32)
    route = gpu.run(route_kernel(1, 5, 3), scores, np.ones(5, np.float32), sentinels(1, 6))[-1]
    assert route[0, :3].tolist() == [1, 2, 4]


@pytest.mark.parametrize(("experts", "chosen"), COUNTS)
@pytest.mark.parametrize("length", [1, 7])
def test_groups_list_the_choices_of_tokens_that_count(gpu, experts, chosen, length):
    rng = np.random.default_rng(length)
    numbers, _, route = routing(rng, 7, experts, chosen)
    empty = np.full(experts * 7, -1, np.int32)
    count, listed = gpu.run(group_kernel(7, experts, chosen), route, state_words(length=length), np.full(experts, -1, np.int32), empty)[-2:]
    expected = twins.choices_by_expert(numbers[:length], experts)
    assert count.tolist() == [len(choices) for choices in expected]
    for expert, choices in enumerate(expected):
        assert listed[expert * 7:expert * 7 + len(choices)].tolist() == choices
        assert (listed[expert * 7 + len(choices):(expert + 1) * 7] == -1).all()


def gated_bound(x: np.ndarray, weight: np.ndarray, numbers: np.ndarray, input_error: np.ndarray | None = None,
                product_bound: Callable = tolerances.product) -> np.ndarray:
    """Error of gelu(gate) * up, from those of the two products; input_error [M * chosen, 2 N]: what they are off because x is."""
    rows = []
    input_error = np.zeros((numbers.size, 1)) if input_error is None else input_error
    for place, (m, choice) in enumerate(np.ndindex(numbers.shape)):
        own = weight[numbers[m, choice]]
        product, error = x[m:m + 1].astype(np.float64) @ own.T, product_bound(x[m:m + 1], own) + input_error[place]
        error = np.broadcast_to(error, product.shape)
        rows.append(tolerances.after("gated", product, error))
    return np.concatenate(rows)


def products_bound(x: np.ndarray, weight: np.ndarray, numbers: np.ndarray, product_bound: Callable = tolerances.product) -> np.ndarray:
    return np.concatenate([product_bound(x[i:i + 1], weight[expert]) for i, expert in enumerate(numbers.reshape(-1))])


# N beside and beyond a tile, so that experts begin inside tiles; K with a ragged and an odd number of groups.
SHAPES = [("f32", 40, 36), ("q4", 33, 96), ("q8", 20, 64)]


@pytest.mark.parametrize(("format", "rows", "columns"), SHAPES)
@pytest.mark.parametrize(("experts", "chosen"), COUNTS)
def test_one_token_chooses_its_experts(gpu, format, rows, columns, experts, chosen):
    rng = np.random.default_rng(rows)
    scores, per_expert = normal(rng, 1, experts) * 4, normal(rng, experts)
    numbers, weights = twins.route(scores, per_expert, chosen)
    buffers, flat = encode(normal(rng, experts * 2 * rows, columns) / np.float32(columns**0.5), format)
    weight, x, gain = flat.reshape(experts, 2 * rows, columns), normal(rng, 1, columns), 1 + normal(rng, columns) / 4
    kernel = experts_gated_vector(experts, chosen, rows, columns, format, EPS)
    y, route = gpu.run(kernel, *buffers, x, pack_vectors([gain], per_expert), scores, sentinels(chosen * rows + 4), sentinels(2 * chosen + 4))[-2:]
    assert (route[:chosen] == numbers[0]).all() and (route[2 * chosen:] == SENTINEL).all()
    assert_within(route[None, chosen:2 * chosen], weights, routing_bound(scores, weights))
    assert (y[chosen * rows:] == SENTINEL).all()
    # Each product is off by what its input is off, too.
    normed = twins.rms_norm(x, EPS) * gain
    input_error = np.concatenate([tolerances.normed(normed) @ np.abs(weight[expert]).T for expert in numbers[0]])
    assert_within(y[:chosen * rows].reshape(chosen, rows), twins.experts_gated(normed, weight, numbers), gated_bound(normed, weight, numbers, input_error))


def test_of_equal_scores_one_token_takes_the_lower_expert(gpu):
    scores, (buffers, _) = np.array([1, 2, 2, 0, 2], np.float32), encode(np.ones((5 * 2 * 4, 4), np.float32), "f32")
    kernel = experts_gated_vector(5, 3, 4, 4, "f32", EPS)
    route = gpu.run(kernel, *buffers, np.ones(4, np.float32), pack_vectors([np.ones(4)], np.ones(5)), scores, sentinels(12), sentinels(6))[-1]
    assert route[:3].tolist() == [1, 2, 4]


@pytest.mark.parametrize(("format", "rows", "columns"), SHAPES)
@pytest.mark.parametrize(("experts", "chosen"), [(5, 1), (9, 4)])
def test_one_token_adds_up_its_experts(gpu, format, rows, columns, experts, chosen):
    rng = np.random.default_rng(rows)
    numbers, weights, route = routing(rng, 1, experts, chosen)
    buffers, flat = encode(normal(rng, experts * rows, columns) / np.float32(columns**0.5), format)
    weight, x = flat.reshape(experts, rows, columns), normal(rng, chosen, columns)
    y = gpu.run(experts_sum_vector(experts, chosen, rows, columns, format), *buffers, x, route, sentinels(rows + 4))[-1]
    assert (y[rows:] == SENTINEL).all()
    products, bound = twins.experts_products(x, weight, numbers), products_bound(x, weight, numbers)
    bound = (weights.T * (bound + chosen * 2 * tolerances.U * np.abs(products))).sum(0, keepdims=True)
    assert_within(y[None, :rows], twins.weighted_sum(products, weights.astype(np.float64)), bound)


CHUNKS = [("f32", 40, 36, 40, 40), ("q4", 33, 96, 16, 5)]


@pytest.mark.parametrize(("format", "rows", "columns", "tokens", "length"), CHUNKS)
def test_a_chunk_meets_the_experts_that_its_tokens_chose(gpu, format, rows, columns, tokens, length):
    check_chunk(gpu, format, rows, columns, tokens, length)


@pytest.mark.parametrize(("format", "rows", "columns", "tokens", "length"), CHUNKS)
def test_a_chunk_meets_its_experts_by_quads(gpu, format, rows, columns, tokens, length):
    check_chunk(gpu, format, rows, columns, tokens, length, variant=SUBGROUPS)


@pytest.mark.parametrize(("format", "rows", "columns", "tokens", "length"), [CHUNKS[1], ("q8", 40, 300, 40, 40)])
def test_a_chunk_meets_its_experts_in_integers(gpu, format, rows, columns, tokens, length):
    check_chunk(gpu, format, rows, columns, tokens, length, variant=PACKED)


# SwiftShader has no float16, so that Chromium cannot take this.
@pytest.mark.parametrize(("format", "rows", "columns", "tokens", "length"), [CHUNKS[1], ("q8", 40, 300, 40, 40)])
def test_a_chunk_meets_its_experts_in_float16(native_gpu, format, rows, columns, tokens, length):
    check_chunk(native_gpu, format, rows, columns, tokens, length, variant=HALF)


def check_chunk(gpu, format: str, rows: int, columns: int, tokens: int, length: int, variant: str | None = None) -> None:
    """Both products of a chunk whose tokens crowd at one expert; by the variant that requires `variant`."""
    experts, chosen = 6, 2
    rng = np.random.default_rng(tokens)
    numbers, weights, route = routing(rng, tokens, experts, chosen)
    numbers[:, 0] = 4  # more choices than one tile of tokens holds; expert 5 may get none
    numbers[:, 1] = rng.integers(0, 4, tokens)
    groups = twins.choices_by_expert(numbers[:length], experts)
    count, listed = np.array([len(choices) for choices in groups], np.int32), np.zeros((experts, tokens), np.int32)
    for expert, choices in enumerate(groups):
        listed[expert, :len(choices)] = choices
    for gated in (True, False):
        products = 2 if gated else 1
        buffers, flat = encode(normal(rng, experts * products * rows, columns) / np.float32(columns**0.5), format)
        weight, x = flat.reshape(experts, products * rows, columns), normal(rng, tokens if gated else tokens * chosen, columns)
        kernel = experts_matrix(tokens, experts, chosen, rows, columns, format, gated)
        if variant is not None:
            kernel, = (each for each in kernel.variants if each.requires == (variant,))
        y = gpu.run(kernel, *buffers, x, count, listed, sentinels(tokens * chosen, rows))[-1]
        made = length * chosen
        twin, bound = (twins.experts_gated, gated_bound) if gated else (twins.experts_products, products_bound)
        inputs = x[:length] if gated else x[:made]
        inputs = int8_activations(inputs) if variant == PACKED else inputs
        product_bound = tolerances.half_product if variant == HALF else tolerances.product
        assert_within(y[:made], twin(inputs, weight, numbers[:length]), bound(inputs, weight, numbers[:length], product_bound=product_bound))
        assert (y[made:] == SENTINEL).all()


def test_weighted_sum_of_a_tokens_choices(gpu):
    rng = np.random.default_rng(1)
    _, weights, route = routing(rng, 3, 9, 4)
    x = normal(rng, 12, 100)
    y = gpu.run(weighted_sum_kernel(3, 4, 100), x, route, sentinels(3, 100))[-1]
    bound = 8 * tolerances.U * twins.weighted_sum(np.abs(x), weights.astype(np.float64))
    assert_within(y, twins.weighted_sum(x, weights.astype(np.float64)), bound)
