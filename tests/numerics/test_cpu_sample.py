"""Sampling on the CPU: all that is asked of the GPU's sampler (how the state moves on, what is drawn, which tokens may be), in wasmtime."""
import numpy as np
import pytest

from tests.fixtures.kernel_inputs import normal
from tests.fixtures.sampling import CpuSampler, draw

# These are tests, which find the `gpu` of this module.
from tests.numerics.test_kernel_sample_advance import *  # noqa: F401,F403
from tests.numerics.test_kernel_sample_choose import *  # noqa: F401,F403
from tests.numerics.test_kernel_sample_threshold import *  # noqa: F401,F403

# Asks a GPU for a kernel of its own.
del test_the_hash_is_the_twins_bit_for_bit  # noqa: F821


@pytest.fixture
def gpu():
    return CpuSampler()


@pytest.mark.parametrize("top_p", [0.3, 0.99])
@pytest.mark.parametrize("spread", [0.5, 8.0])
def test_more_tokens_than_are_copied_and_fewer(gpu, spread, top_p):
    # Of 6000 tokens more than compiler/cpu_kernels/sample.py's FEW, or just some, weigh that much.
    logits = normal(np.random.default_rng(3), 6000) * np.float32(spread)
    draw(gpu, logits, launches=16, block=512, temperature=1.0, top_p=top_p, seed=6)
