"""A mixture of experts on the CPU against its twins, in wasmtime: routing, lists of choices, and the products by expert."""
import numpy as np
import pytest

from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128
from compiler.cpu_kernels.experts import experts_kernel, weighted_sum_kernel
from compiler.cpu_kernels.quantize import form_for
from compiler.cpu_kernels.route import group_kernel, route_kernel
from compiler.cpu_kernels.weight_quads import QuadLayout
from compiler.kernels import experts_twins as twins
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, sentinels, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.fixtures.quads import groups_of, transposed, words_of

# The same inputs and bounds as for the GPU's kernels.
from tests.numerics.test_kernel_experts import COUNTS, gated_bound, products_bound, routing, routing_bound


@pytest.mark.parametrize(("experts", "chosen"), COUNTS)
def test_route_takes_the_best_and_renormalises(experts, chosen):
    rng = np.random.default_rng(experts)
    scores, per_expert = normal(rng, 3, experts) * 4, normal(rng, experts)
    arrays = {"SCORES": scores, "PER_EXPERT": per_expert, "ROUTE": sentinels(4, 2 * chosen)}
    route = run_cpu_kernel(route_kernel(4, experts, chosen), arrays, [(0, 2), (2, 3)])["ROUTE"]
    numbers, weights = twins.route(scores, per_expert, chosen)
    assert (route[:3, :chosen] == numbers).all() and (route[3] == SENTINEL).all()
    assert_within(route[:3, chosen:], weights, routing_bound(scores, weights))


def test_of_equal_scores_the_lower_expert_comes_first():
    arrays = {"SCORES": np.array([[1, 2, 2, 0, 2]], np.float32), "PER_EXPERT": np.ones(5, np.float32), "ROUTE": sentinels(1, 6)}
    assert run_cpu_kernel(route_kernel(1, 5, 3), arrays, [(0, 1)])["ROUTE"][0, :3].tolist() == [1, 2, 4]


@pytest.mark.parametrize(("experts", "chosen"), COUNTS)
@pytest.mark.parametrize("length", [1, 7])
def test_groups_list_the_choices_of_tokens_that_count(experts, chosen, length):
    numbers, _, route = routing(np.random.default_rng(length), 7, experts, chosen)
    arrays = {"ROUTE": route, "STATE_WORDS": state_words(length=length), "COUNT": np.full(experts, -1, np.int32),
              "LIST": np.full((experts, 7), -1, np.int32)}
    found = run_cpu_kernel(group_kernel(7, experts, chosen), arrays, [(2, experts), (0, 2)])
    for expert, choices in enumerate(twins.choices_by_expert(numbers[:length], experts)):
        assert found["COUNT"][expert] == len(choices)
        assert found["LIST"][expert].tolist() == choices + [-1] * (7 - len(choices))


# N beside and beyond a work item's rows and a tile, so that experts begin inside tiles; K that ends inside a group; and one token.
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("simd", [None, RELAXED, SIMD128])
@pytest.mark.parametrize(("format", "rows", "columns", "tokens", "length"), [
    ("q4", 36, 96, 16, 5), ("q8", 20, 100, 40, 40), ("q4", 40, 64, 1, 1), ("m8", 16, 64, 3, 3), ("f32", 40, 36, 16, 13)])
def test_choices_meet_their_experts(format, rows, columns, tokens, length, simd, gated):
    experts, chosen = 6, 2
    if format == "f32":
        simd = None
    rng = np.random.default_rng(tokens)
    numbers, _, route = routing(rng, tokens, experts, chosen)
    numbers[:, 0] = 4  # more choices than a block of tokens holds; expert 5 gets none
    numbers[:, 1] = rng.integers(0, 4, tokens)
    groups = twins.choices_by_expert(numbers[:length], experts)
    count, listed = np.array([len(choices) for choices in groups], np.int32), np.zeros((experts, tokens), np.int32)
    for expert, choices in enumerate(groups):
        listed[expert, :len(choices)] = choices
    products = 2 if gated else 1
    buffers, flat = encode(normal(rng, experts * products * rows, columns) / np.float32(columns**0.5), format)
    weight, x = flat.reshape(experts, products * rows, columns), normal(rng, tokens if gated else tokens * chosen, columns)
    layout = QuadLayout(experts * products * rows, columns, format, simd)
    arrays = {"W": transposed(buffers[0], layout.paired), "S": buffers[-1], "COUNT": count, "LIST": listed, "X": x, "Y": sentinels(tokens * chosen, rows)}
    if simd is not None:
        form = form_for(simd, format)
        q, scales = groups_of(x, layout.group)
        arrays |= {"X": words_of(q, form, layout.zero), "QSCALES": scales, "QSUMS": -layout.zero * q.sum(axis=2, dtype=np.int32)}
        x = (q * scales[:, :, None].astype(np.float64)).reshape(len(x), -1)[:, :columns]
    kernel = experts_kernel(tokens, experts, chosen, rows, columns, format, gated, simd)
    middle = kernel.items // 3
    y = run_cpu_kernel(kernel, arrays, [(middle, kernel.items), (0, middle)], simd or SIMD128)["Y"]
    made = length * chosen
    twin, bound = (twins.experts_gated, gated_bound) if gated else (twins.experts_products, products_bound)
    inputs = x[:length] if gated else x[:made]
    assert_within(y[:made], twin(inputs, weight, numbers[:length]), bound(inputs, weight, numbers[:length]))
    assert (y[made:] == SENTINEL).all()


def test_weighted_sum_of_a_tokens_choices():
    rng = np.random.default_rng(1)
    _, weights, route = routing(rng, 3, 9, 4)
    x = normal(rng, 12, 100)
    y = run_cpu_kernel(weighted_sum_kernel(3, 4, 100), {"X": x, "ROUTE": route, "Y": sentinels(3, 100)}, [(0, 1), (1, 2)])["Y"]
    bound = 8 * tolerances.U * twins.weighted_sum(np.abs(x), weights.astype(np.float64))
    assert_within(y[:2], twins.weighted_sum(x, weights.astype(np.float64))[:2], bound[:2])
    assert (y[2] == SENTINEL).all()
