"""`auto` never stores a matrix below the precision of its source; a request is followed."""

import pytest

from compiler.checkpoint.tensor import SOURCE_FORMATS
from compiler.errors import GemletError
from compiler.quantize.choose import choose_format


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["F32"], "f32"),
        (["F16"], "f16"),
        (["BF16"], "bf16"),
        (["Q4_0"], "q4"),
        (["Q4_1"], "q8"),
        (["Q5_0"], "q8"),
        (["Q5_1"], "q8"),
        (["Q8_0"], "q8"),
        (["Q2_K"], "q8"),
        (["Q3_K"], "q8"),
        (["Q4_K"], "q8"),
        (["Q5_K"], "q8"),
        (["Q6_K"], "q8"),
        (["Q4_0", "Q4_0"], "q4"),
        (["Q4_0", "Q8_0"], "q8"),
        (["Q5_0", "Q8_0", "Q6_K"], "q8"),
        (["F16", "F16"], "f16"),
        (["F16", "BF16"], "f32"),
        (["Q8_0", "F16"], "f32"),
        (["Q4_0", "BF16"], "f32"),
        (["F32", "Q4_0"], "f32"),
    ],
)
def test_auto_is_the_smallest_format_not_below_any_source(sources, expected):
    assert choose_format(sources, "auto") == expected
    assert choose_format(sources[::-1], "auto") == expected


@pytest.mark.parametrize("requested", ["q4", "q8", "f16", "f32"])
def test_a_request_is_followed_whatever_the_source(requested):
    assert {choose_format([source], requested) for source in SOURCE_FORMATS} == {requested}


def test_an_unknown_request_is_refused_with_the_known_ones():
    with pytest.raises(GemletError, match="unknown quantization 'q2'; expected one of auto, q4, q8, f16, f32"):
        choose_format(["F32"], "q2")
