"""Variants of kernels: shaders that may stand in a kernel's place, as the compiler writes them."""
from dataclasses import replace

import pytest

from compiler.emit.manifest import kernel_entry
from compiler.emit.limits import shared_bytes
from compiler.emit.webgpu import emit_kernel, emit_with_variants
from compiler.errors import GemletError
from compiler.kernels.kernel import FEATURES, PACKED, SOFTWARE, SUBGROUPS, Kernel
from compiler.kernels.linear_vector import MANY_ROWS, WORTH_OTHER_SHAPES, linear_vector
from compiler.kernels.norm import norm_kernel
from compiler.schedule.program import Buffer, Launch, Program

ROWS, COLUMNS = 4096, 640


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return linear_vector(ROWS, COLUMNS, "q4")


def program(*kernels: Kernel) -> Program:
    launches = [Launch(kernel, tuple(kernel.parameter_names)) for kernel in kernels]
    return Program({name: Buffer(name, "activation", 4) for kernel in kernels for name in kernel.parameter_names}, {"decode": launches}, (16,), 32)


@pytest.mark.parametrize(("rows", "peaks"), [(ROWS, False), (MANY_ROWS, False), (MANY_ROWS, True)])
def test_a_large_product_comes_in_other_launch_shapes(rows, peaks):
    kernel = linear_vector(rows, COLUMNS, "q4", peaks=peaks)
    names = [kernel.name, *(variant.name for variant in kernel.variants)]
    assert len(set(names)) == len(names) > 1
    for variant in kernel.variants:
        assert (variant.parameters, variant.multiply_accumulates) == (kernel.parameters, kernel.multiply_accumulates)
        assert (variant.requires, variant.exact, variant.variants) == ((), True, ())
        if peaks:
            assert variant.grid == kernel.grid, "each workgroup leaves a peak, and `sample` knows how many there are"


def test_a_small_product_has_one_shape():
    assert linear_vector(WORTH_OTHER_SHAPES // COLUMNS // 32 * 32, COLUMNS, "q4").variants == ()


def test_shaders_of_variants_bind_what_the_kernel_binds(kernel):
    shaders = emit_with_variants(kernel)
    assert list(shaders) == [kernel.name, *(variant.name for variant in kernel.variants)]
    assert len({shader.wgsl for shader in shaders.values()}) == len(shaders)
    assert len({tuple(shader.bindings) for shader in shaders.values()}) == 1


def test_a_variant_that_binds_something_else_is_refused_by_name(kernel):
    other = norm_kernel(1, COLUMNS, 1e-6, False, 1.0, 1.0)
    with pytest.raises(GemletError, match=f"kernel {kernel.name}: its variant {other.name} binds .* but the kernel itself binds"):
        emit_with_variants(replace(kernel, variants=(other,)))


def test_a_shader_begins_with_what_it_requires(kernel):
    shader = emit_kernel(replace(kernel, requires=(SUBGROUPS, SOFTWARE, PACKED)))
    assert shader.wgsl == f"{FEATURES[SUBGROUPS]}\n{FEATURES[PACKED]}\n{emit_kernel(kernel).wgsl}"


def test_the_manifest_lists_variants_with_their_grids(kernel):
    packed = replace(kernel, name="packed", grid=(7, 3), requires=(PACKED,), exact=False, variants=())
    kernel = replace(kernel, variants=(packed, *kernel.variants))
    shaders = {each.name: emit_kernel(each) for each in (kernel, *kernel.variants)}
    first, *rest = kernel_entry(kernel, program(kernel), shaders)["variants"]
    assert first == {"name": "packed", "file": "webgpu/packed.wgsl", "entry": "packed_kernel", "workgroup": list(shaders[kernel.name].workgroup),
                     "shared_bytes": shared_bytes(shaders["packed"].wgsl), "grid": [7, 3, 1], "requires": [PACKED], "exact": False}
    assert [(entry["grid"], entry["requires"], entry["exact"]) for entry in rest] == [([*variant.grid, 1], [], True) for variant in kernel.variants[1:]]


def test_a_kernel_without_variants_lists_none(kernel):
    bare = replace(kernel, variants=())
    assert "variants" not in kernel_entry(bare, program(bare), {bare.name: emit_kernel(bare)})


def test_launches_of_one_kernel_with_variants_need_one_grid(kernel):
    other = replace(kernel, grid=(3, 1))
    with pytest.raises(GemletError, match=f"kernel {kernel.name}: it has variants, so that all its launches need the grid"):
        kernel_entry(kernel, program(kernel, other), {each.name: emit_kernel(each) for each in (kernel, *kernel.variants)})
