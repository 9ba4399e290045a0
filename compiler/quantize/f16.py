"""f16: IEEE float16, rounded to the nearest."""

import numpy as np

from compiler.quantize.format import GROUP, Encoded, Format, round_up


def encode(values: np.ndarray) -> Encoded:
    largest = np.abs(values).max(initial=0)
    if largest >= 65520:  # from here on float16 rounds to infinity
        raise OverflowError(f"a weight of magnitude {largest:.6g} is too large for f16; take f32")
    return values.astype("<f2").view(np.uint8), None


def decode(units: np.ndarray, scales: None) -> np.ndarray:
    return units.view("<f2").astype(np.float32)


def encode_f16(raw: np.ndarray) -> Encoded:
    """Float16 as they are, padded to whole groups."""
    return np.pad(raw, ((0, 0), (0, round_up(raw.shape[1], 2 * GROUP) - raw.shape[1]))), None


FORMAT = Format("f16", values_per_unit=8, scale=None, encode=encode, decode=decode, encode_raw={"F16": encode_f16})
