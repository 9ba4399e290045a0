"""Where a step can be halted to look at a layer."""
import pytest

from compiler.cpu_programs import VARIANTS, lower_for_cpu
from compiler.known_answer.prompt import LENGTH
from compiler.schedule.layer_ends import layer_ends, written
from tests.fixtures.lowered import lowered


@pytest.mark.parametrize("target", ["webgpu", "wasm"])
@pytest.mark.parametrize(("name", "layers", "in_chunks"), [("gemma3_6_layers", 6, 6), ("gemma4_shared", 7, 3), ("gemma4_unshared", 7, 7)])
def test_layers_end_one_after_the_other_in_the_steps_that_run_them(name, layers, in_chunks, target):
    model = lowered(name)
    program = model.program if target == "webgpu" else lower_for_cpu(model, VARIANTS[0])
    ends = layer_ends(program, layers, model.config.hidden_size, LENGTH)
    chunk = next(size for size in program.chunks if size >= LENGTH)
    assert [end.step for end in ends if end] == [f"prefill_{chunk}" if layer < in_chunks else "tail" for layer in range(layers) if ends[layer]]
    # Of the last layer of a GPU's `tail` the LM head goes on.
    assert [layer for layer, end in enumerate(ends) if end is None] == ([layers - 1] if target == "webgpu" and in_chunks < layers else [])
    for step in {end.step for end in ends if end}:
        counts = [end.launches for end in ends if end and end.step == step]
        assert counts == sorted(set(counts)) and counts[-1] <= len(program.steps[step])
    for end in filter(None, ends):
        last = program.steps[end.step][end.launches - 1]
        assert end.buffer in (written(last, "Y"), written(last, "H"))
        assert program.buffers[end.buffer].bytes >= 4 * model.config.hidden_size


def test_a_chunk_of_the_largest_size_stands_for_one_that_holds_the_prompt():
    assert {end.step for end in layer_ends(lowered("gemma4_unshared").program, 7, 64, 1000)} == {"prefill_64"}
