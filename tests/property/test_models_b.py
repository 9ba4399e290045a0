"""Random configurations on both targets against transformers: those of sets of sizes with odd numbers (configurations.py); two files, so
that they run side by side. More of them by hand: tests/property/run.py."""
import pytest

from tests.property.configurations import SEEDS_A_GROUP, SETS, set_of
from tests.property.run import failures


@pytest.mark.parametrize("sizes", range(1, SETS, 2))
def test_logits_and_draws_equal_transformers(sizes):
    found = failures(seed for seed in range(SEEDS_A_GROUP) if set_of(seed) == sizes)
    assert not found, "\n".join(found)
