"""Ids without text: their logits and the peaks of their blocks against the twin, and that no draw takes one."""
import numpy as np
import pytest

from compiler.cpu_kernels import withhold as cpu
from compiler.kernels import twins
from compiler.kernels.withhold import withheld_table, withhold_kernel
from compiler.state import STATE
from tests.fixtures.kernel_inputs import normal, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.fixtures.sampling import CpuSampler, GpuSampler

# Vocabulary, block, and ids without text: a tail within a block, one of several blocks, holes in words and blocks and at their ends, all
# of a block; sizes that are multiples of nothing.
CASES = [
    (320, 32, ((297, 320),)),
    (517, 32, ((300, 517),)),
    (2501, 512, ((3, 4), (30, 34), (511, 513), (1024, 1536), (2500, 2501))),
    (1001, 8, tuple((first, first + 1) for first in range(1, 1001, 2))),
]


def withhold(gpu, logits: np.ndarray, withheld, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [V] and peaks [ceil(V / block)] before a draw."""
    vocabulary, table = len(logits), withheld_table(withheld, len(logits), block)
    if not isinstance(gpu, CpuSampler):
        kernel = withhold_kernel(vocabulary, block, len(table))
        return tuple(gpu.run(kernel, logits, twins.block_peaks(logits, block), table.reshape(-1))[:2])
    kernel = cpu.withhold_kernel(vocabulary, block, len(table))
    ranges = [(0, kernel.items // 3), (kernel.items // 3, kernel.items)]
    found = run_cpu_kernel(kernel, {"LOGITS": logits, "WITHHELD": table.reshape(-1)}, ranges)["LOGITS"]
    return found, twins.block_peaks(found, block)


def lifted(vocabulary: int, withheld) -> np.ndarray:
    """Logits of which every withheld one would win."""
    logits = normal(np.random.default_rng(vocabulary), vocabulary) * np.float32(3)
    for first, end in withheld:
        logits[first:end] += np.float32(40)
    return logits


@pytest.mark.parametrize(("vocabulary", "block", "withheld"), CASES, ids=[str(case[0]) for case in CASES])
def test_withheld_logits_and_the_peaks_of_what_is_left_are_the_twins(gpu, vocabulary, block, withheld):
    logits = lifted(vocabulary, withheld)
    found, peaks = withhold(gpu, logits, withheld, block)
    np.testing.assert_array_equal(found, twins.withhold(logits, withheld))
    np.testing.assert_array_equal(peaks, twins.block_peaks(found, block))


@pytest.mark.parametrize("fields", [dict(temperature=0.0), dict(temperature=1.0), dict(temperature=1.5, top_k=2500), dict(temperature=1.0, top_p=0.999),
                                    dict(temperature=2.0, min_p=0.001)], ids=str)
@pytest.mark.parametrize(("vocabulary", "block", "withheld"), CASES, ids=[str(case[0]) for case in CASES])
def test_no_draw_takes_a_withheld_token(gpu, vocabulary, block, withheld, fields):
    device = gpu if isinstance(gpu, CpuSampler) else GpuSampler(gpu)
    found, _ = withhold(gpu, lifted(vocabulary, withheld), withheld, block)
    after = device.sample(found, state_words(seed=5, **fields), 48, block)
    drawn = after[STATE["output"] : STATE["output"] + 48]
    assert not any(first <= token < end for token in drawn for first, end in withheld) and drawn.max() < vocabulary


def test_the_table_has_an_entry_for_each_block_that_has_withheld_ids():
    table = withheld_table(((31, 33), (64, 96), (199, 200)), 200, 32)
    assert table.tolist() == [[0, -(2**31)], [1, 1], [2, -1], [6, 1 << 7]]
