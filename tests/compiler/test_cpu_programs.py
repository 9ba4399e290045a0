"""The Programs of a model for CPUs, as TVM has not compiled them yet."""
import pytest

from compiler.cpu_programs import TRIAL_PRODUCTS, VARIANTS, lower_for_cpu
from compiler.schedule.program import TRIAL
from tests.fixtures.lowered import lowered

WHOLE_NUMBERS = [variant for variant in VARIANTS if variant.activations == "int16"]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_trial_is_the_first_part_of_the_largest_product_of_a_token(variant):
    steps = lower_for_cpu(lowered("gemma3_270m"), variant).steps
    (trial,) = steps[TRIAL]
    head = next(launch for launch in steps["decode"] if "logits" in launch.buffers)
    assert (trial.kernel.name, trial.buffers) == (head.kernel.name, head.buffers)
    assert TRIAL_PRODUCTS / 2 < trial.kernel.multiply_accumulates <= TRIAL_PRODUCTS < head.kernel.multiply_accumulates
    assert trial.kernel.items * head.kernel.multiply_accumulates == trial.kernel.multiply_accumulates * head.kernel.items


def test_a_trial_is_never_more_than_the_product():
    steps = lower_for_cpu(lowered("gemma4_shared"), VARIANTS[0]).steps
    largest = max(launch.kernel.multiply_accumulates for launch in steps["decode"])
    assert steps[TRIAL][0].kernel.multiply_accumulates == largest < TRIAL_PRODUCTS


def test_modules_that_an_engine_chooses_between_share_the_places_of_what_outlives_a_step():
    relaxed, plain = (lower_for_cpu(lowered("gemma3_270m"), variant) for variant in WHOLE_NUMBERS)
    kept = [{name: buffer for name, buffer in program.buffers.items() if not name.startswith("scratch")} for program in (relaxed, plain)]
    assert list(kept[0].items()) == list(kept[1].items())
