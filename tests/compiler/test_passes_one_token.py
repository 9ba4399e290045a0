"""Passes over steps of one token, which leave few launches, as Before and After under structural equality."""
import pytest
from tvm import relax
from tvm.relax import op

from compiler.passes.fuse_attention_parts import fuse_attention_parts
from compiler.passes.fuse_experts_input import fuse_experts_input
from compiler.passes.fuse_vector_input import fuse_vector_input
from compiler.passes.operators import make
from tests.fixtures.relax_steps import EPS, GAIN, HEADS, ONE, ROTATION, ROW, W, X, check, check_unchanged, linear, norm, tensor


def vector_linear(types, x, weight, epilogue: str = "none", cap: float = 0.0, eps: float = 0.0, factor: float = 1.0, norm_factor: float = 1.0,
                  heads: int = 0, **tensors):
    return make("vector_linear", types, x=x, weight=weight, epilogue=epilogue, cap=cap, eps=eps, factor=factor, norm_factor=norm_factor, heads=heads,
                **tensors)


OUT = tensor(1, 128)


def test_the_norm_of_one_row_rides_along_in_the_product():
    check(fuse_vector_input,
          lambda emit, x, g, w: emit(linear(OUT, emit(norm(X, x, g, factor=0.25)), w, "softcap", cap=30.0)),
          lambda emit, x, g, w: emit(vector_linear(OUT, x, w, "softcap", cap=30.0, eps=EPS, norm_factor=0.25, norm_weight=g)), x=X, g=GAIN, w=W)


def both(emit, results):
    """The two results of a fused call, bound in the order in which the pass binds them: the second first."""
    second = emit(relax.TupleGetItem(results, 1))
    return emit(relax.TupleGetItem(results, 0)), second


@pytest.mark.parametrize("normed", [False, True])
def test_the_first_product_after_it_moves_the_residual_stream_on(normed):
    def before(emit, x, g, r, c, h, w):
        stream = emit(norm(X, x, g, residual=r, output_scale=c))
        first = emit(linear(OUT, emit(norm(X, stream, h)) if normed else stream, w))
        return first, emit(linear(OUT, stream, w)), emit(op.add(stream, r))

    def after(emit, x, g, r, c, h, w):
        results = emit(vector_linear([OUT, X], x, w, residual=r, residual_norm_weight=g, output_scale=c, norm_weight=h if normed else None, eps=EPS))
        first, stream = both(emit, results)
        return first, emit(vector_linear(OUT, stream, w)), emit(op.add(stream, r))

    check(fuse_vector_input, before, after, x=X, g=GAIN, r=X, c=ONE, h=GAIN, w=W)


def test_two_branches_that_are_normed_apart_join_in_the_product():
    def before(emit, a, b, g, r, w):
        joined = emit(norm(X, b, g, residual=emit(norm(X, a, g))))
        return emit(linear(OUT, emit(norm(X, joined, g, residual=r)), w))

    def after(emit, a, b, g, r, w):
        results = emit(vector_linear([OUT, X], a, w, first_norm_weight=g, branch=b, branch_norm_weight=g, residual=r, residual_norm_weight=g, eps=EPS))
        return emit(relax.TupleGetItem(results, 0))

    check(fuse_vector_input, before, after, a=X, b=X, g=GAIN, r=X, w=W)


def test_a_norm_with_another_eps_than_the_one_before_it_leaves_that_alone():
    def stream(emit, x, g, r):
        return emit(norm(X, x, g, residual=r, eps=1e-5))

    check(fuse_vector_input,
          lambda emit, x, g, r, w: emit(linear(OUT, emit(norm(X, stream(emit, x, g, r), g)), w)),
          lambda emit, x, g, r, w: emit(vector_linear(OUT, stream(emit, x, g, r), w, norm_weight=g, eps=EPS)), x=X, g=GAIN, r=X, w=W)


def test_a_norm_stays_before_products_of_many_tokens():
    check_unchanged(fuse_vector_input, lambda emit, x, g, w: emit(linear(tensor(5, 128), emit(norm(ROW, x, g)), w)), x=ROW, g=GAIN, w=W)


ONE_KV, ONE_Q = tensor(1, 2, 16), tensor(1, 4, 16)


@pytest.mark.parametrize("own", [False, True])
def test_attention_of_one_token_comes_in_parts_and_writes_its_own_key_and_value(own):
    def append(cache, k, v, state, weight):
        return make("norm_rope_kv_append", HEADS["cache"], cache=cache, k=k, v=v, state=state, k_norm_weight=weight, eps=EPS, v_norm=1.0, **ROTATION)

    def before(emit, q, k, v, w, weight, cache, state):
        held = emit(append(cache, k, v, state, weight)) if own else cache
        attended = emit(make("norm_rope_attend", tensor(1, 64), q=q, cache=held, state=state, q_norm_weight=weight, window=24, scale=0.25, blocks=0,
                             eps=EPS, **ROTATION))
        return emit(linear(OUT, attended, w))

    def after(emit, q, k, v, w, weight, cache, state):
        results = emit(make("attend_parts", [tensor(1, 64), HEADS["cache"]], q=q, cache=cache, state=state, q_norm_weight=weight,
                            **(dict(k=k, v=v, k_norm_weight=weight) if own else {}), window=24, scale=0.25, eps=EPS, v_norm=float(own), **ROTATION))
        return emit(vector_linear(OUT, emit(relax.TupleGetItem(results, 0)), w, heads=4))

    check(lambda module: fuse_vector_input(fuse_attention_parts(module)), before, after, q=ONE_Q, k=ONE_KV, v=ONE_KV, w=W, **HEADS)


def test_attention_of_many_tokens_stays_whole():
    def body(emit, q, weight, cache, state):
        return emit(make("norm_rope_attend", tensor(5, 64), q=q, cache=cache, state=state, q_norm_weight=weight, window=0, scale=1.0, blocks=0, eps=EPS, **ROTATION))

    check_unchanged(fuse_attention_parts, body, q=tensor(5, 4, 16), **HEADS)


def experts(tokens: int, fused: bool):
    def body(emit, x, g, w, scores, scale):
        if fused:
            results = emit(make("routed_experts_gated", [tensor(2 * tokens, 32), tensor(tokens, 4)], x=x, weight=w, scores=scores, per_expert_scale=scale,
                                norm_weight=g, eps=EPS, chosen=2))
            return both(emit, results)
        routing = emit(make("route", tensor(tokens, 4), scores=scores, per_expert_scale=scale, chosen=2))
        return emit(make("experts_gated", tensor(2 * tokens, 32), x=emit(norm(tensor(tokens, 64), x, g)), weight=w, routing=routing)), routing

    return body


@pytest.mark.parametrize("tokens", [1, 5])
def test_the_experts_of_one_token_choose_themselves(tokens):
    sizes = dict(x=tensor(tokens, 64), g=GAIN, w=tensor(8, 64, 64), scores=tensor(tokens, 8), scale=tensor(8))
    check(fuse_experts_input, experts(tokens, False), experts(tokens, tokens == 1), **sizes)
