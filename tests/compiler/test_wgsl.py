"""The WGSL of every kind of kernel, as text: bindings, limits, names, refusals. No browser."""
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tvm.script import tirx as T

from compiler.emit.webgpu import MAX_GRID, Shader, compile_kernel, emit_kernel, without_grid_uniform
from compiler.errors import GemletError
from compiler.kernels.adjust import adjust_kernel, mask_kernel
from compiler.kernels.attention_matrix import attention_matrix
from compiler.kernels.attention_vector import OwnKeyValue, attention_vector, splits_for
from compiler.kernels.embed import embed_kernel, last_row_kernel
from compiler.kernels.experts_vector import experts_gated_vector, experts_sum_vector
from compiler.kernels.kernel import MAX_SHARED_BYTES, MAX_THREADS, Kernel, Parameter
from compiler.kernels.kv_append import kv_append_kernel
from compiler.kernels.linear_matrix import linear_matrix
from compiler.kernels.linear_vector import linear_vector
from compiler.kernels.norm import norm_kernel
from compiler.kernels.rotate_queries import rotate_queries_kernel
from compiler.kernels.sample import sample_kernel
from compiler.kernels.vector_input import VectorInput
from compiler.quantize import FORMATS

OWN = OwnKeyValue(k_offset=64, v_offset=96, k_norm=True, v_norm=True)
ATTENTION_VECTOR = dict(heads=4, kv_heads=2, head_size=16, width=128, q_offset=0, slots=512, ring=512, window=24, scale=0.25, eps=1e-6, q_norm=True,
                        own=OWN)
ATTENTION_MATRIX = dict(tokens=5, heads=4, kv_heads=2, head_size=16, slots=128, ring=128, window=24)
ROTATE_QUERIES = dict(tokens=5, heads=4, head_size=16, stride=128, q_offset=0, scale=0.25, eps=1e-6, q_norm=True)
KV_APPEND = dict(tokens=5, kv_heads=2, head_size=16, stride=128, k_offset=64, v_offset=96, slots=128, ring=128, eps=1e-6, k_norm=True,
                 v_norm=True)
RESIDUAL = VectorInput(residual=1e-6, norm=1e-6)
VECTOR = dict(rows=70, columns=96, format="q8", source=RESIDUAL, epilogue="none", cap=30.0)
EXPERTS_GATED = dict(experts=6, chosen=2, rows=40, columns=96, format="q8", eps=1e-6)
EXPERTS_SUM = dict(experts=6, chosen=2, rows=40, columns=96, format="q8")
MATRIX = dict(tokens=5, rows=70, columns=96, format="q8", x_stride=96, x_offset=0, epilogue="gated_by", cap=30.0, other_stride=70)
NORM = dict(tokens=5, width=96, eps=1e-6, residual=True, input_scale=0.5, output_scale=0.25)
SAMPLE = dict(vocabulary=3000, block=32)
ADJUST = dict(vocabulary=3000)
EMBED = dict(tokens=5, vocabulary=300, width=96, format="q8", scale=6.0)

# A kernel, and the parameters that it writes; all others must be declared `read`.
KINDS: list[tuple[Callable, dict, set[str]]] = [
    (linear_vector, VECTOR, {"Y", "H"}), (linear_vector, {**VECTOR, "source": VectorInput(norm=1e-6), "epilogue": "softcap", "peaks": True}, {"Y", "PEAKS"}),
    (linear_matrix, MATRIX, {"Y"}), (norm_kernel, NORM, {"Y"}), (embed_kernel, EMBED, {"Y"}), (last_row_kernel, dict(tokens=5, width=96), {"Y"}),
    (kv_append_kernel, KV_APPEND, {"K", "V"}), (attention_vector, ATTENTION_VECTOR, {"K", "V", "PARTS", "STATS"}),
    (attention_vector, {**ATTENTION_VECTOR, "own": None}, {"PARTS", "STATS"}), (rotate_queries_kernel, ROTATE_QUERIES, {"Y"}),
    (attention_matrix, ATTENTION_MATRIX, {"Y"}), (experts_gated_vector, EXPERTS_GATED, {"Y", "ROUTE"}), (experts_sum_vector, EXPERTS_SUM, {"Y"}),
    (sample_kernel, SAMPLE, {"STATE_WORDS"}), (adjust_kernel, ADJUST, {"LOGITS"}), (mask_kernel, SAMPLE, {"LOGITS", "PEAKS"})]

# heads, KV heads sliding and global, hidden size, intermediate size, window: of the four Gemma 4 configurations.
GEMMA_4 = {"e2b": (8, 1, 1, 1536, 6144, 512), "e4b": (8, 2, 2, 2560, 10240, 512), "26b-a4b": (16, 8, 2, 2816, 2112, 1024),
           "31b": (32, 16, 4, 5376, 21504, 1024)}
VOCABULARY = 262144
CHUNK = 256
WORKGROUP_ARRAY = re.compile(r"var<workgroup> \w+ : array<(f32|i32|u32|vec4<f32>), (\d+)>")


@cache
def text_of(builder: Callable, **arguments) -> Shader:
    # Not `emit_kernel`, which knows the text of a shader by its name.
    kernel = builder(**arguments)
    return compile_kernel(replace(kernel, name=kernel.shader))


def shared_bytes(wgsl: str) -> int:
    """Workgroup memory; the count of declarations guards the pattern."""
    found = WORKGROUP_ARRAY.findall(wgsl)
    assert len(found) == wgsl.count("var<workgroup>")
    return sum(int(count) * (16 if kind == "vec4<f32>" else 4) for kind, count in found)


@pytest.mark.parametrize(("builder", "arguments", "written"), KINDS)
def test_only_what_is_written_is_read_write_and_bindings_are_numbered_in_name_order(builder, arguments, written):
    shader = text_of(builder, **arguments)
    declared = re.findall(r"@binding\((\d+)\) var<storage, (read|read_write)> (\w+)_ptr", shader.wgsl)
    assert [int(number) for number, _, _ in declared] == list(range(len(declared)))
    assert [name for _, _, name in declared] == sorted(builder(**arguments).parameter_names) == shader.bindings
    assert {name for _, access, name in declared if access == "read_write"} == written == shader.written


@pytest.mark.parametrize(("builder", "arguments", "written"), KINDS)
def test_the_text_needs_no_uniform_and_no_optional_feature(builder, arguments, written):
    shader = text_of(builder, **arguments)
    assert not re.search(r"uniform|podArgs|gridDim|\benable\b|\bf16\b|subgroup|requires", shader.wgsl)
    assert shader.wgsl.count("@compute") == 1 and f"fn {shader.entry}(" in shader.wgsl
    assert re.fullmatch(r"[a-z][a-z0-9_]*", shader.entry)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("builder", "arguments"), [(linear_vector, VECTOR), (linear_matrix, MATRIX), (embed_kernel, EMBED),
                                                     (experts_gated_vector, EXPERTS_GATED), (experts_sum_vector, EXPERTS_SUM)])
def test_weights_are_loaded_16_bytes_at_a_time(builder, arguments, format):
    shader = text_of(builder, **{**arguments, "format": format})
    assert "W_ptr : array<vec4<u32>>;" in shader.wgsl
    # Each load takes the whole vector: no component of W is picked in memory.
    assert re.search(r"(words\w*\[0i\]|let \w+ : vec4<u32>) = W_ptr\[", shader.wgsl) and not re.search(r"W_ptr\[[^;]*\]\.[xyzw];", shader.wgsl)
    assert ("S" in shader.bindings) == FORMATS[format].has_scale


def test_equal_kernels_give_equal_text():
    assert emit_kernel(linear_vector(**VECTOR)) == emit_kernel(linear_vector(**VECTOR))


VARIED = [
    (linear_vector, VECTOR, dict(rows=71, columns=100, format="q4", epilogue="gated", peaks=True)),
    (linear_vector, {**VECTOR, "epilogue": "softcap"}, dict(cap=50.0, source=VectorInput())),
    *((linear_vector, VECTOR, {"source": replace(RESIDUAL, **{key: value})}) for key, value in dict(
        offset=4, branches=1e-6, residual=1e-5, norm=1e-5, scale=0.5, norm_factor=0.5).items()),
    (linear_vector, VECTOR, {"source": replace(RESIDUAL, scale="tensor")}),
    (linear_vector, {**VECTOR, "source": VectorInput(heads=4, splits=2)}, {"source": VectorInput(heads=4, splits=3)}),
    (linear_vector, {**VECTOR, "source": VectorInput(heads=4, splits=2)}, {"source": VectorInput(heads=2, splits=2)}),
    (experts_gated_vector, EXPERTS_GATED, dict(experts=7, chosen=3, rows=72, columns=64, format="q4", eps=1e-5)),
    (experts_sum_vector, EXPERTS_SUM, dict(experts=7, chosen=3, rows=72, columns=64, format="q4")),
    (linear_matrix, MATRIX, dict(tokens=6, alone=True, rows=71, columns=92, format="q4", x_stride=100, epilogue="gated", other_stride=72)),
    (linear_matrix, {**MATRIX, "x_stride": 100, "epilogue": "softcap"}, dict(cap=50.0, x_offset=4)),
    (linear_matrix, {**MATRIX, "alone": True}, dict(tokens=40, epilogue="softcap")),
    (norm_kernel, NORM, dict(tokens=6, width=100, eps=1e-5, residual=False, input_scale=0.75, output_scale="tensor")),
    (norm_kernel, NORM, dict(output_scale=-0.25, input_scale=1.0)),
    (norm_kernel, {**NORM, "tokens": 4}, dict(tokens=8)),
    (embed_kernel, EMBED, dict(tokens=6, vocabulary=301, width=100, format="q4", scale=7.0)),
    (last_row_kernel, dict(tokens=5, width=96), dict(width=100)),
    (kv_append_kernel, KV_APPEND, dict(tokens=6, kv_heads=1, head_size=8, stride=132, k_offset=60, v_offset=64, slots=192, ring=None, eps=1e-5,
                                       k_norm=False, v_norm=False)),
    (attention_vector, ATTENTION_VECTOR, dict(heads=2, kv_heads=1, head_size=8, width=132, q_offset=4, slots=1024, ring=256, window=None, scale=0.5,
                                              eps=1e-5, q_norm=False, own=None)),
    *((attention_vector, ATTENTION_VECTOR, {"own": replace(OWN, **{key: value})}) for key, value in dict(
        k_offset=60, v_offset=92, k_norm=False, v_norm=False).items()),
    (attention_matrix, ATTENTION_MATRIX, dict(tokens=6, heads=2, kv_heads=1, head_size=8, slots=192, ring=None, window=None, blocks=True)),
    (rotate_queries_kernel, ROTATE_QUERIES, dict(tokens=6, heads=2, head_size=8, stride=132, q_offset=4, scale=0.5, eps=1e-5, q_norm=False)),
    (sample_kernel, SAMPLE, dict(vocabulary=3001, block=64)), (adjust_kernel, ADJUST, dict(vocabulary=3001)),
    (mask_kernel, SAMPLE, dict(vocabulary=3001, block=64)),
]


@pytest.mark.parametrize(("builder", "arguments", "change"), [
    (builder, arguments, {key: value}) for builder, arguments, changes in VARIED for key, value in changes.items()])
def test_kernels_of_one_name_are_one_shader(builder, arguments, change):
    # A Program keeps one kernel a name: two texts under one name would lose one of them.
    one, other = text_of(builder, **arguments), text_of(builder, **{**arguments, **change})
    assert (one.entry == other.entry) <= (one.wgsl == other.wgsl)


# Numbers whose first seven digits, all that TVM writes of a literal, name another float32.
@pytest.mark.parametrize(("builder", "arguments", "value"), [
    (embed_kernel, {**EMBED, "scale": 1536**0.5}, 1536**0.5), (norm_kernel, {**NORM, "output_scale": 10.000001}, 10.000001),
    (attention_vector, {**ATTENTION_VECTOR, "scale": 0.1 + 1e-8}, 0.1 + 1e-8), (rotate_queries_kernel, {**ROTATE_QUERIES, "scale": 0.1 + 1e-8}, 0.1 + 1e-8),
    (linear_vector, {**VECTOR, "source": VectorInput(norm=1.0000001e-6)}, 1.0000001e-6),
    (sample_kernel, SAMPLE, 2.0**-23)])
def test_constants_reach_the_text_bit_for_bit(builder, arguments, value):
    constant = np.float32(value)
    assert np.float32(f"{constant:e}") != constant
    assert f"bitcast<f32>({constant.view(np.uint32)}u)" in text_of(builder, **arguments).wgsl


def kernels_of(heads: int, sliding_heads: int, global_heads: int, hidden: int, intermediate: int, window: int) -> list[Kernel]:
    """The kernels of one decoded token and of one chunk that depend on a model's size."""
    kernels = []
    for kv_heads, size, reach in [(sliding_heads, 256, window), (global_heads, 512, None)]:
        width = (heads + 2 * kv_heads) * size
        k_offset, v_offset = heads * size, (heads + kv_heads) * size
        ring = None if reach is None else reach + CHUNK
        slots = ring or 131072
        kernels.append(attention_vector(heads, kv_heads, size, width, 0, slots, ring, reach, 1.0, 1e-6, True, OwnKeyValue(k_offset, v_offset, True, True)))
        kernels.append(linear_vector(hidden, heads * size, "q4", VectorInput(heads=heads, splits=splits_for(slots))))
        kernels.append(rotate_queries_kernel(CHUNK, heads, size, width, 0, 1.0, 1e-6, True))
        kernels.append(attention_matrix(CHUNK, heads, kv_heads, size, slots, ring, reach))
        kernels.append(kv_append_kernel(CHUNK, kv_heads, size, width, k_offset, v_offset, slots, ring, 1e-6, True, True))
    kernels.append(norm_kernel(CHUNK, hidden, 1e-6, True, 1.0, "tensor"))
    kernels += [embed_kernel(tokens, VOCABULARY, hidden, "q4", hidden**0.5) for tokens in (1, CHUNK)]
    stream = VectorInput(branches=1e-6, residual=1e-6, scale="tensor", norm=1e-6)
    kernels += [linear_vector(VOCABULARY, hidden, "q4", stream, "softcap", 30.0, peaks=True), linear_vector(hidden, intermediate, "q4"),
                linear_vector(intermediate, hidden, "q4", stream, "gated"), experts_gated_vector(128, 8, 704, hidden, "q4", 1e-6)]
    kernels += [linear_matrix(CHUNK, intermediate, hidden, "q4", epilogue="gated"), linear_matrix(CHUNK, hidden, intermediate, "f32")]
    return kernels + [sample_kernel(VOCABULARY, 512), sample_kernel(VOCABULARY, 128), sample_kernel(VOCABULARY, 32), adjust_kernel(VOCABULARY),
                      mask_kernel(VOCABULARY, 512), mask_kernel(VOCABULARY, 32)]


@pytest.mark.parametrize("size", GEMMA_4)
def test_kernels_of_the_real_sizes_stay_within_webgpus_default_limits(size):
    for kernel in kernels_of(*GEMMA_4[size]):
        shader = emit_kernel(kernel)
        x, y, z = shader.workgroup
        assert x * y * z <= MAX_THREADS == 256 and shared_bytes(shader.wgsl) <= MAX_SHARED_BYTES == 16384, kernel.name
        # maxStorageBuffersPerShaderStage, of which every adapter offers 8.
        assert len(shader.bindings) <= 8, kernel.name
        assert all(extent <= 65535 for extent in kernel.grid), kernel.name


@pytest.mark.parametrize("grid", [(MAX_GRID + 1, 1), (1, MAX_GRID + 1), (0, 1)])
def test_a_grid_beyond_the_limit_is_refused(grid):
    kernel = norm_kernel(**NORM)
    with pytest.raises(GemletError, match=rf"kernel {kernel.name}: grid .*{grid[0]}, {grid[1]}.* 1 to 65535"):
        emit_kernel(replace(kernel, grid=grid))


@pytest.mark.parametrize("parameters", [
    [Parameter("X"), Parameter("G"), Parameter("Y")],
    [Parameter("X", written=True), Parameter("G"), Parameter("Y", written=True)],
    [Parameter("X"), Parameter("Y", written=True)],
    [Parameter("X"), Parameter("G"), Parameter("H"), Parameter("Y", written=True)]])
def test_parameters_other_than_the_text_binds_are_refused(parameters):
    kernel = norm_kernel(5, 96, 1e-6)
    with pytest.raises(GemletError, match=rf"kernel {kernel.name}: the WGSL binds \['G', 'X', 'Y'\] and writes \['Y'\], but the kernel declares"):
        emit_kernel(replace(kernel, parameters=tuple(parameters)))


def test_a_parameter_that_no_statement_uses_is_refused():
    @T.jit
    def func(X: T.Buffer((64,), "float32"), UNUSED: T.Buffer((64,), "float32"), Y: T.Buffer((64,), "float32")):
        T.func_attr({"global_symbol": "copies", "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(64, thread="threadIdx.x"):
                Y[block * 64 + tx] = X[tx]

    kernel = Kernel("copies", func, (1, 1), (Parameter("X"), Parameter("UNUSED"), Parameter("Y", written=True)))
    with pytest.raises(GemletError, match="kernel copies: the WGSL binds"):
        emit_kernel(kernel)


def test_what_is_left_of_tvms_grid_uniform_is_refused_by_name():
    with pytest.raises(GemletError, match="kernel odd: `podArgs` is left in the WGSL"):
        without_grid_uniform("odd", "fn odd_kernel() { let x = podArgs.other; }")
