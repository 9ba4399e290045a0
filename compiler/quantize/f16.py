"""f16: IEEE float16, rounded to the nearest."""

import numpy as np

from compiler.quantize.format import Encoded, Format


def encode(values: np.ndarray) -> Encoded:
    largest = np.abs(values).max(initial=0)
    if largest >= 65520:  # from here on float16 rounds to infinity
        raise OverflowError(f"a weight of magnitude {largest:.6g} is too large for f16; take f32")
    return values.astype("<f2").view(np.uint8), None


def decode(units: np.ndarray, scales: None) -> np.ndarray:
    return units.view("<f2").astype(np.float32)


FORMAT = Format("f16", values_per_unit=8, scale=None, encode=encode, decode=decode, encode_raw={})
