"""The cache of emitted kernels: made once, whole or anew, and never in place of another kernel."""
from dataclasses import replace

import pytest
from tvm.script import tirx as T

from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128, parsed
from compiler.cpu_kernels.embed import last_row_kernel
from compiler.emit import kernel_cache, wasm_object, webgpu
from compiler.kernels.embed import last_row_kernel as last_row_shader


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """A cache of the test's own, and nothing that this process knows already."""
    monkeypatch.setattr(kernel_cache, "CACHE", tmp_path)
    forget()
    yield tmp_path / "kernels"
    forget()


def forget():
    """What this process knows, as if another one began."""
    for known in (kernel_cache.folder, webgpu.compiled, wasm_object.compiled, parsed):
        known.cache_clear()


def unreadable(kernel):
    """The same kernel, with a function that cannot be parsed."""

    class Unreadable:
        func = kernel.function.func

        def specialize(self):
            raise AssertionError(f"{kernel.name} was read again")

    return replace(kernel, function=Unreadable())


@pytest.fixture(params=["webgpu", "wasm"])
def emitter(request):
    """A kernel, and how it is compiled."""
    if request.param == "webgpu":
        return last_row_shader(tokens=5, width=7), webgpu.compiled
    return last_row_kernel(tokens=5, width=7), lambda kernel: wasm_object.compiled(kernel, SIMD128)


def test_another_process_neither_reads_nor_compiles_a_kernel_again(emitter):
    kernel, compiled = emitter
    first = compiled(kernel)
    forget()
    assert compiled(unreadable(kernel)) == first


def test_a_damaged_entry_is_made_anew(emitter, cache_folder):
    kernel, compiled = emitter
    first = compiled(kernel)
    (entry,) = (path for path in cache_folder.rglob("*") if path.is_file())
    for damaged in (b"", entry.read_bytes()[:-1], entry.read_bytes()[:40] + b"?" + entry.read_bytes()[41:]):
        entry.write_bytes(damaged)
        forget()
        assert compiled(kernel) == first
        assert entry.read_bytes() != damaged


def test_what_shapes_a_kernel_keeps_it_apart(cache_folder):
    codes = {wasm_object.compiled(last_row_kernel(tokens=5, width=width), simd).code for width in (7, 9) for simd in (SIMD128, RELAXED)}
    shaders = {webgpu.compiled(last_row_shader(tokens=5, width=width)).wgsl for width in (7, 9)}
    assert len(codes) >= 2 and len(shaders) == 2
    assert sum(path.is_file() for path in cache_folder.rglob("*")) == 6


def test_another_text_of_the_compiler_has_a_folder_of_its_own(cache_folder, monkeypatch):
    kernel = last_row_kernel(tokens=5, width=7)
    wasm_object.compiled(kernel, SIMD128)
    forget()
    monkeypatch.setattr(kernel_cache, "compiler_digest", lambda: "another")
    with pytest.raises(AssertionError, match="was read again"):
        wasm_object.compiled(unreadable(kernel), SIMD128)


def test_kernels_of_tests_are_not_kept(cache_folder):
    @T.jit
    def function(Y: T.Buffer((4,), "float32")):
        Y[0] = 1.0

    made = []
    for _ in range(2):
        kernel_cache.kept(function, "the same name", lambda: bytes(made.append(1) or 1))
    assert len(made) == 2 and not cache_folder.exists()
