"""Each pass over steps of any length as Before and After under structural equality, and near misses that stay as they are."""
from collections.abc import Callable

import pytest
from tvm import relax
from tvm.relax import op

from compiler.passes.fuse_attention_inputs import fuse_attention_inputs
from compiler.passes.fuse_epilogue import fuse_epilogue
from compiler.passes.fuse_norm import fuse_norm
from compiler.passes.lower_linear import lower_linear
from compiler.passes.operators import make
from compiler.pipeline import PASSES
from tests.fixtures.relax_steps import EPS, GAIN, HEADS, ONE, ROTATION, ROW, W, X, check, check_unchanged, linear, norm, number, rms_norm, tensor


def test_a_product_with_a_transposed_weight_is_linear():
    check(lower_linear,
          lambda emit, x, w: emit(op.matmul(x, emit(op.permute_dims(w)))),
          lambda emit, x, w: emit(linear(tensor(1, 128), x, w)), x=X, w=W)


def test_a_product_with_a_plain_matrix_is_not_linear():
    check_unchanged(lower_linear, lambda emit, x, w: emit(op.matmul(x, w)), x=X, w=tensor(64, 128))


KV, Q = tensor(5, 2, 16), tensor(5, 4, 16)


def rope(type, x, state):
    return make("rope", type, x=x, state=state, **ROTATION)


@pytest.mark.parametrize("v_norm", [False, True])
@pytest.mark.parametrize("k_norm", [False, True])
def test_norms_and_rope_of_k_and_v_move_into_kv_append(k_norm, v_norm):
    def before(emit, k, v, weight, cache, state):
        k = emit(rms_norm(k, weight)) if k_norm else k
        v = emit(make("unit_rms_norm", KV, x=v, eps=EPS, factor=0.75)) if v_norm else v
        return emit(make("kv_append", HEADS["cache"], cache=cache, k=emit(rope(KV, k, state)), v=v, state=state))

    def after(emit, k, v, weight, cache, state):
        return emit(make("norm_rope_kv_append", HEADS["cache"], cache=cache, k=k, v=v, state=state, k_norm_weight=weight if k_norm else None,
                         eps=EPS if k_norm or v_norm else 0.0, v_norm=0.75 if v_norm else 0.0, **ROTATION))

    check(fuse_attention_inputs, before, after, k=KV, v=KV, **HEADS)


@pytest.mark.parametrize("q_norm", [False, True])
def test_norm_and_rope_of_q_move_into_attend(q_norm):
    def before(emit, q, weight, cache, state):
        q = emit(rms_norm(q, weight)) if q_norm else q
        return emit(make("attend", tensor(5, 64), q=emit(rope(Q, q, state)), cache=cache, state=state, window=24, scale=0.25, blocks=1))

    def after(emit, q, weight, cache, state):
        return emit(make("norm_rope_attend", tensor(5, 64), q=q, cache=cache, state=state, q_norm_weight=weight if q_norm else None, window=24,
                         scale=0.25, blocks=1, eps=EPS if q_norm else 0.0, **ROTATION))

    check(fuse_attention_inputs, before, after, q=Q, **HEADS)


def test_attention_without_rope_stays():
    def body(emit, q, weight, cache, state):
        return emit(make("attend", tensor(5, 64), q=emit(rms_norm(q, weight)), cache=cache, state=state, window=0, scale=1.0, blocks=0))

    check_unchanged(fuse_attention_inputs, body, q=Q, **HEADS)


def test_norms_of_k_and_v_with_different_eps_stay():
    def body(emit, k, v, weight, cache, state):
        k = emit(rope(KV, emit(rms_norm(k, weight, 1e-5)), state))
        return emit(make("kv_append", HEADS["cache"], cache=cache, k=k, v=emit(make("unit_rms_norm", KV, x=v, eps=EPS, factor=0.75)), state=state))

    check_unchanged(fuse_attention_inputs, body, k=KV, v=KV, **HEADS)


def gated(emit, product, gate: int = 0, up: int = 1, activation: Callable = op.nn.gelu_tanh):
    halves = emit(op.split(product, 2, axis=-1))
    return emit(op.multiply(emit(activation(emit(relax.TupleGetItem(halves, gate)))), emit(relax.TupleGetItem(halves, up))))


def test_gelu_of_the_first_half_times_the_second_is_an_epilogue():
    check(fuse_epilogue,
          lambda emit, x, w: gated(emit, emit(linear(tensor(1, 128), x, w))),
          lambda emit, x, w: emit(linear(tensor(1, 64), x, w, "gated")), x=X, w=W)


@pytest.mark.parametrize("change", [dict(gate=1, up=0), dict(gate=0, up=0), dict(activation=op.nn.silu), dict(activation=op.nn.gelu)])
def test_other_gates_stay(change):
    check_unchanged(fuse_epilogue, lambda emit, x, w: gated(emit, emit(linear(tensor(1, 128), x, w)), **change), x=X, w=W)


def test_a_gate_and_an_up_half_of_different_products_are_no_gated_epilogue():
    def body(emit, x, w, other):
        one, two = (emit(op.split(emit(linear(tensor(1, 128), x, weight)), 2, axis=-1)) for weight in (w, other))
        return emit(op.multiply(emit(op.nn.gelu_tanh(emit(relax.TupleGetItem(one, 0)))), emit(relax.TupleGetItem(two, 1))))

    check_unchanged(fuse_epilogue, body, x=X, w=W, other=W)


def test_gelu_of_a_product_times_another_tensor_is_an_epilogue():
    check(fuse_epilogue,
          lambda emit, x, w, o: emit(op.multiply(emit(op.nn.gelu_tanh(emit(linear(tensor(1, 128), x, w)))), o)),
          lambda emit, x, w, o: emit(linear(tensor(1, 128), x, w, "gated_by", other=o)), x=X, w=W, o=tensor(1, 128))


def softcapped(emit, product, divisor: float, factor: float):
    return emit(op.multiply(emit(op.tanh(emit(op.divide(product, number(divisor))))), number(factor)))


def test_a_softcap_is_an_epilogue():
    check(fuse_epilogue,
          lambda emit, x, w: softcapped(emit, emit(linear(tensor(1, 128), x, w)), 30.0, 30.0),
          lambda emit, x, w: emit(linear(tensor(1, 128), x, w, "softcap", cap=30.0)), x=X, w=W)


def test_a_softcap_with_two_caps_stays():
    check_unchanged(fuse_epilogue, lambda emit, x, w: softcapped(emit, emit(linear(tensor(1, 128), x, w)), 30.0, 20.0), x=X, w=W)


def test_a_product_has_one_epilogue():
    check_unchanged(fuse_epilogue, lambda emit, x, w: softcapped(emit, emit(linear(tensor(1, 64), x, w, "gated")), 30.0, 30.0), x=X, w=W)


def test_a_norm_takes_the_scale_before_it():
    check(fuse_norm,
          lambda emit, x, g: emit(rms_norm(emit(op.multiply(x, number(0.125))), g)),
          lambda emit, x, g: emit(norm(ROW, x, g, input_scale=0.125)), x=ROW, g=GAIN)


def test_a_norm_takes_the_scale_before_it_through_a_reshape():
    parts = tensor(5, 4, 16)
    check(fuse_norm,
          lambda emit, x, g: emit(rms_norm(emit(op.reshape(emit(op.multiply(x, number(0.125))), (5, 4, 16))), g)),
          lambda emit, x, g: emit(norm(parts, emit(op.reshape(x, (5, 4, 16))), g, input_scale=0.125)), x=ROW, g=tensor(16))


@pytest.mark.parametrize("scale", ["none", "constant", "tensor"])
def test_a_norm_takes_the_residual_and_the_scale_after_it(scale):
    def before(emit, x, g, r, c):
        y = emit(op.add(r, emit(rms_norm(x, g))))
        return y if scale == "none" else emit(op.multiply(y, number(0.5) if scale == "constant" else c))

    def after(emit, x, g, r, c):
        return emit(norm(ROW, x, g, residual=r, factor=0.5 if scale == "constant" else 1.0, output_scale=c if scale == "tensor" else None))

    check(fuse_norm, before, after, x=ROW, g=GAIN, r=ROW, c=ONE)


def test_only_the_last_of_two_residuals_is_left_out():
    check(fuse_norm,
          lambda emit, x, g, r, s: emit(op.add(s, emit(op.add(r, emit(rms_norm(x, g)))))),
          lambda emit, x, g, r, s: emit(op.add(s, emit(norm(ROW, x, g, residual=r)))), x=ROW, g=GAIN, r=ROW, s=ROW)


def test_a_scale_of_many_values_stays():
    check(fuse_norm,
          lambda emit, x, g, r, c: emit(op.multiply(emit(op.add(r, emit(rms_norm(x, g)))), c)),
          lambda emit, x, g, r, c: emit(op.multiply(emit(norm(ROW, x, g, residual=r)), c)), x=ROW, g=GAIN, r=ROW, c=GAIN)


def test_a_scale_is_taken_in_without_a_residual_too():
    check(fuse_norm,
          lambda emit, r, g: emit(op.multiply(emit(rms_norm(r, g)), number(0.5))),
          lambda emit, r, g: emit(norm(ROW, r, g, factor=0.5)), r=ROW, g=GAIN)


def test_a_norm_whose_result_is_used_twice_is_kept_for_its_other_user():
    check(fuse_norm,
          lambda emit, x, g, r: (y := emit(rms_norm(x, g)), emit(op.add(r, y))),
          lambda emit, x, g, r: (emit(norm(ROW, x, g)), emit(norm(ROW, x, g, residual=r))), x=ROW, g=GAIN, r=ROW)


@pytest.mark.parametrize("apply", PASSES)
def test_a_pass_leaves_unrelated_code_alone_but_for_dead_bindings(apply):
    def before(emit, x, r):
        emit(op.exp(x))
        return emit(op.add(x, r))

    check(apply, before, lambda emit, x, r: emit(op.add(x, r)), x=ROW, r=ROW)
