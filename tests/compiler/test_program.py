"""A Program counted: launches, bytes, kernels, caches; what its check refuses; what prefill leaves out."""
from dataclasses import replace

import pytest

from compiler.errors import GemletError
from compiler.kernels.embed import last_row_kernel
from compiler.kernels.kernel import Parameter
from compiler.pipeline import CHUNKS
from compiler.schedule.program import KINDS, Buffer, Launch, Program
from tests.fixtures.lowered import CONFIGS, GEMMA_3_270M, lowered

PREFILLS = tuple(f"prefill_{chunk}" for chunk in CHUNKS)
HIDDEN, INTERMEDIATE, VOCABULARY, LAYERS, HEAD = 640, 2048, 262144, 18, 256
SAMPLE = 1


def layers_bound(launches: list[Launch]) -> set[int]:
    """Layers whose weights a step binds."""
    return {int(name.split(".")[1]) for launch in launches for name in launch.buffers if name.startswith("layers.")}


def bound(launches: list[Launch]) -> set[str]:
    return {name for launch in launches for name in launch.buffers}


def test_a_layer_of_gemma_3_is_five_launches():
    # Product of Q, K and V; attention; output; gate and up; down. Beside them: embedding, LM head.
    full, third = (lowered(name).program.steps for name in ("gemma3_270m", "gemma3_6_layers"))
    assert len(full["decode"]) == 5 * LAYERS + 2 + SAMPLE == 93
    assert len(third["decode"]) == 5 * 6 + 2 + SAMPLE
    # In chunks the four norms, the write of K and V and the turn of the queries stand alone; the last row is handed over instead of norm and head.
    assert [len(full[step]) for step in PREFILLS] == [11 * LAYERS + 2] * len(PREFILLS)
    assert (len(full["tail"]), len(full["sample"])) == (1, SAMPLE)


def test_a_layer_of_gemma_4_is_five_launches_and_two_of_ple():
    steps = lowered("gemma4_shared").program.steps
    ple = 2  # gate, projection
    beside = 2 + 2 + 1  # two embeddings; projection and norm of the context; LM head
    assert len(steps["decode"]) == 7 * (5 + ple) + beside + SAMPLE


def q8_bytes(rows: int, columns: int) -> float:
    """One byte a weight and two a group of 32; no padding at these sizes."""
    assert rows % 32 == 0 and columns % 64 == 0
    return rows * columns * (1 + 2 / 32)


def matrices() -> list[tuple[int, int]]:
    """Rows and columns of the matrices of a layer of the 270M, 4 query heads and one KV head."""
    return [(6 * HEAD, HIDDEN), (HIDDEN, 4 * HEAD), (2 * INTERMEDIATE, HIDDEN), (HIDDEN, INTERMEDIATE)]


def test_a_decoded_token_reads_each_weight_once_and_one_row_of_the_embedding():
    layer = sum(q8_bytes(rows, columns) for rows, columns in matrices())
    norms = 4 * (LAYERS * (4 * HIDDEN + 2 * HEAD) + HIDDEN)
    # All heads turn by the same two rows of 4 bytes a value of the RoPE table.
    rotations = LAYERS * 2 * 4 * HEAD
    expected = LAYERS * layer + norms + rotations + q8_bytes(VOCABULARY, HIDDEN) + q8_bytes(32, HIDDEN) / 32
    assert lowered("gemma3_270m").program.weight_bytes_read("decode") == expected


@pytest.mark.parametrize(("quant", "bytes_a_weight"), [("f32", 4), ("f16", 2), ("q8", 1 + 2 / 32), ("q4", 0.5 + 2 / 32)])
def test_weights_take_the_bytes_of_their_format(quant, bytes_a_weight):
    buffers = lowered("gemma3_6_layers", quant).program.buffers
    held = {name: buffer.bytes for name, buffer in buffers.items() if buffer.kind == "weight" and name.endswith((".data", ".scale"))}
    weights = 6 * sum(rows * columns for rows, columns in matrices()) + VOCABULARY * HIDDEN
    assert sum(held.values()) == weights * bytes_a_weight


def test_multiply_accumulates_are_those_of_the_matrices():
    program = lowered("gemma3_270m").program
    layers, head = LAYERS * sum(rows * columns for rows, columns in matrices()), VOCABULARY * HIDDEN
    assert program.multiply_accumulates("decode") == layers + head
    assert [program.multiply_accumulates(step) for step in (*PREFILLS, "tail", "sample")] == [chunk * layers for chunk in CHUNKS] + [head, 0]


def test_kernels_are_as_many_whatever_the_number_of_layers():
    full, third = (lowered(name).program for name in ("gemma3_270m", "gemma3_6_layers"))
    decode = {launch.kernel.name for launch in full.steps["decode"]}
    # Embedding; Q, K and V in the first layer and in the others; attention and output for ring and linear; gated; down; head; sampling.
    assert len(decode) == 1 + 2 + 2 * 2 + 1 + 1 + 1 + SAMPLE
    assert {kernel.name for kernel in full.kernels} == {kernel.name for kernel in third.kernels}
    assert len(full.kernels) == len({launch.kernel.name for launches in full.steps.values() for launch in launches})


@pytest.mark.parametrize("name", CONFIGS)
def test_launches_of_one_kernel_name_agree_on_parameters_and_in_a_step_on_the_grid(name):
    program = lowered(name).program
    names = {kernel.name: kernel.parameter_names for kernel in program.kernels}
    for launches in program.steps.values():
        kernels = {launch.kernel.name: launch.kernel for launch in launches}
        assert all(kernels[launch.kernel.name] == launch.kernel for launch in launches)
        assert all(names[name] == kernel.parameter_names for name, kernel in kernels.items())


@pytest.mark.parametrize("name", CONFIGS)
def test_chunks_of_all_sizes_share_their_shaders_but_for_products_with_variants(name):
    program = lowered(name).program
    kernels = [{launch.kernel for launch in program.steps[f"prefill_{chunk}"]} for chunk in program.chunks]
    has_variants = any(kernel.variants for each in kernels for kernel in each)
    shared = [{kernel.name for kernel in each if not kernel.multiply_accumulates or not has_variants} for each in kernels]
    assert len(shared[0]) > 5 and all(each == shared[0] for each in shared)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_buffer_is_bound_and_of_a_known_kind(name):
    program = lowered(name).program
    assert set(program.buffers) == {buffer for launches in program.steps.values() for buffer in bound(launches)}
    assert {buffer.kind for buffer in program.buffers.values()} == set(KINDS)
    assert all(buffer.bytes > 0 and buffer.bytes % 4 == 0 for buffer in program.buffers.values())


def test_sliding_layers_have_rings_and_global_layers_caches_that_can_grow():
    caches = {name: buffer for name, buffer in lowered("gemma3_270m").program.buffers.items() if buffer.kind == "cache"}
    assert len(caches) == 2 * LAYERS
    for layer, kind in enumerate(GEMMA_3_270M["layer_types"]):
        for buffer in (caches[f"cache.{layer}.k"], caches[f"cache.{layer}.v"]):
            if kind == "sliding_attention":
                # Window 512 and chunk 256 less one, in whole tiles of 64 slots.
                assert (buffer.bytes, buffer.slots, buffer.slot_bytes, buffer.slot_tile) == (768 * 4 * HEAD, None, 4 * HEAD, 64)
            else:
                assert (buffer.bytes, buffer.slots, buffer.slot_bytes, buffer.slot_tile) == (8192 * 4 * HEAD, 8192, 4 * HEAD, 64)


def test_a_context_within_the_window_needs_no_ring():
    buffers = lowered("gemma3_6_layers", context=500).program.buffers.values()
    assert {buffer.slots for buffer in buffers if buffer.kind == "cache"} == {512}


def test_shared_layers_own_no_cache_and_read_that_of_the_last_own_layer_of_their_kind():
    program = lowered("gemma4_shared").program
    assert {name for name, buffer in program.buffers.items() if buffer.kind == "cache"} == {f"cache.{i}.{part}" for i in range(3) for part in "kv"}
    attentions = [launch for launch in program.steps["decode"] if launch.kernel.name.startswith("attention")]
    read = [next(name for name in launch.buffers if name.endswith(".k")) for launch in attentions]
    assert read == [f"cache.{layer}.k" for layer in (0, 1, 2, 1, 2, 1, 2)]


@pytest.mark.parametrize("step", PREFILLS[:2])
def test_prefill_runs_no_layer_behind_the_last_that_writes_kv(step):
    shared, unshared = (lowered(name).program.steps for name in ("gemma4_shared", "gemma4_unshared"))
    assert layers_bound(shared[step]) == {0, 1, 2} and layers_bound(unshared[step]) == set(range(7))
    # Nor the final norm or the LM head, the only product with as many rows as the vocabulary.
    for steps in (shared, unshared):
        assert "norm.weight" not in bound(steps[step]) and "logits" not in bound(steps[step])
        assert not any(launch.kernel.name.startswith("linear") and "_n320_" in launch.kernel.name for launch in steps[step])


def test_the_tail_runs_the_shared_layers_for_one_token_and_writes_no_cache():
    shared, unshared = (lowered(name).program.steps["tail"] for name in ("gemma4_shared", "gemma4_unshared"))
    assert layers_bound(shared) == {3, 4, 5, 6} and layers_bound(unshared) == set()
    assert all("logits" in tail[-1].buffers for tail in (shared, unshared))
    attentions = [launch.kernel for launch in shared if launch.kernel.name.startswith("attention")]
    assert len(attentions) == 4 and not any(parameter.written for kernel in attentions for parameter in kernel.parameters if parameter.name in "KV")
    assert all(launch.kernel in attentions or launch.kernel.name.startswith("linear_vector") for launch in shared)


def test_decode_ends_with_the_launches_of_sample():
    steps = lowered("gemma3_270m").program.steps
    assert [launch.kernel.name for launch in steps["decode"][-SAMPLE:]] == [launch.kernel.name for launch in steps["sample"]]


def test_adjusted_logits_cost_two_launches_between_the_step_and_the_draw():
    steps = lowered("gemma3_270m").program.steps
    assert [launch.kernel for launch in steps["decode_logits"]] == [launch.kernel for launch in steps["decode"][:-SAMPLE]]
    assert len(steps["sample_adjusted"]) == 2 + SAMPLE and steps["sample_adjusted"][-SAMPLE:] == steps["sample"]


def test_text_has_a_line_a_buffer_and_a_launch_and_stars_what_is_written():
    program = lowered("gemma4_shared").program
    lines = program.text().splitlines()
    launches = sum(map(len, program.steps.values()))
    assert sum(line.startswith("buffer ") for line in lines) == len(program.buffers)
    assert sum(line.startswith("  ") for line in lines) == launches
    assert sum("*" in line for line in lines) == launches


def small_program(*launches: Launch) -> Program:
    buffers = [Buffer("state", "state", 512), Buffer("logits", "logits", 16), Buffer("w", "weight", 32), Buffer("scratch.0", "activation", 32)]
    return Program({buffer.name: buffer for buffer in buffers}, {"decode": list(launches)}, (16,), 64)


KERNEL = last_row_kernel(2, 4)


def test_check_accepts_scratch_that_is_written_first():
    small_program(Launch(KERNEL, ("w", "state", "scratch.0")), Launch(KERNEL, ("scratch.0", "state", "logits"))).check()


@pytest.mark.parametrize(("buffers", "message"), [
    (("w", "state"), "2 buffers for 3 parameters"),
    (("w", "state", "logits", "w"), "4 buffers for 3 parameters"),
    (("w", "states", "logits"), "buffer states is not in the Program"),
    (("w", "state", "w"), r"writes w \(weight\), bound 2 times"),
    (("logits", "state", "w"), r"writes w \(weight\), bound 1 times"),
    (("logits", "state", "logits"), r"writes logits \(logits\), bound 2 times"),
    (("scratch.0", "state", "logits"), "reads scratch.0 before anything in the step wrote it")])
def test_check_refuses_and_names_step_launch_and_kernel(buffers, message):
    first = Launch(KERNEL, ("w", "state", "logits"))
    with pytest.raises(GemletError, match=rf"step decode, launch 1 \({KERNEL.name}\): {message}"):
        small_program(first, Launch(KERNEL, buffers)).check()


def test_check_refuses_scratch_that_another_step_wrote():
    program = small_program(Launch(KERNEL, ("w", "state", "scratch.0")))
    program.steps["tail"] = [Launch(KERNEL, ("scratch.0", "state", "logits"))]
    with pytest.raises(GemletError, match="step tail, launch 0 .*reads scratch.0 before anything in the step wrote it"):
        program.check()


def test_traffic_is_what_a_parameter_states_or_the_whole_buffer():
    kernel = replace(KERNEL, parameters=(Parameter("X", bytes_moved=8), Parameter("STATE_WORDS"), Parameter("Y", written=True)))
    moved = list(Launch(kernel, ("w", "state", "logits")).traffic({"w": 32, "state": 512, "logits": 16}))
    assert moved == [("w", 8, False), ("state", 512, False), ("logits", 16, True)]
