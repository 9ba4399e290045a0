"""RoPE's frequencies and two-digit tables against float64 and the reference."""
import math

import numpy as np
import pytest
from transformers import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

from compiler.kernels.rope import DIGIT, rope_table
from model_defs.rope import Rope
from tests.fixtures import tolerances

CONTEXT = 131072
SIZES = [(256, 1e4, 1.0), (512, 1e6, 0.25), (8, 1e4, 1.0)]


@pytest.mark.parametrize(("head_size", "theta", "fraction"), SIZES)
def test_frequencies_are_powers_of_theta_and_the_rest_stand_still(head_size, theta, fraction):
    frequencies = Rope("proportional", theta, fraction=fraction).frequencies(head_size)
    turning = int(head_size // 2 * fraction)
    exponents = 2 * np.arange(turning) / head_size
    expected = theta**-exponents
    # The exponent is rounded once, the power to 1 ULP, the quotient once.
    bound = expected * (exponents * math.log(theta) * tolerances.U + tolerances.ULP + tolerances.U)
    assert (np.abs(frequencies[:turning] - expected) <= bound).all()
    assert frequencies.shape == (head_size // 2,) and (frequencies[turning:] == 0).all()


def test_frequencies_are_those_of_the_reference():
    config = Gemma4TextConfig(num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], head_dim=256, global_head_dim=512)
    reference = Gemma4TextRotaryEmbedding(config)
    for kind, (head_size, theta, fraction) in {"sliding_attention": SIZES[0], "full_attention": SIZES[1]}.items():
        expected = getattr(reference, f"{kind}_inv_freq").numpy()
        # Two libraries' powers in float32, each good to 1 ULP at most.
        np.testing.assert_array_max_ulp(Rope("proportional", theta, fraction=fraction).frequencies(head_size), expected, 2)


@pytest.mark.parametrize(("head_size", "theta", "fraction"), SIZES)
def test_digits_put_together_give_the_angle_of_every_position(head_size, theta, fraction):
    frequencies = Rope("proportional", theta, fraction=fraction).frequencies(head_size)
    table = rope_table(frequencies, CONTEXT)
    assert table.shape == (DIGIT + CONTEXT // DIGIT, head_size // 8, 2, 4)
    cosines, sines = (table[:, :, part].reshape(len(table), -1) for part in (0, 1))
    positions = np.array([0, 1, 63, 64, 65, 127, 128, 511, 8191, 65535, CONTEXT - 65, CONTEXT - 64, CONTEXT - 1])
    fine, coarse = positions % DIGIT, DIGIT + positions // DIGIT
    angles = positions[:, None] * frequencies.astype(np.float64)
    cosine = cosines[fine] * cosines[coarse] - sines[fine] * sines[coarse]
    sine = sines[fine] * cosines[coarse] + cosines[fine] * sines[coarse]
    assert cosine.dtype == np.float32
    assert np.abs(cosine - np.cos(angles)).max() <= tolerances.TURN
    assert np.abs(sine - np.sin(angles)).max() <= tolerances.TURN


@pytest.mark.parametrize(("context", "rows"), [(1, 65), (64, 65), (65, 66), (8192, 192)])
def test_table_reaches_to_the_last_position_of_the_context(context, rows):
    assert len(rope_table(Rope("proportional", 1e4, fraction=1.0).frequencies(8), context)) == rows
