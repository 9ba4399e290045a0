"""Ids without text on the CPU: all that is asked of the GPU's kernel, in wasmtime."""
import pytest

from tests.fixtures.sampling import CpuSampler

# These are tests, which find the `gpu` of this module.
from tests.numerics.test_kernel_withhold import *  # noqa: F401,F403


@pytest.fixture
def gpu():
    return CpuSampler()
