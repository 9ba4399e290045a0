"""f32: values as they are."""

import numpy as np

from compiler.quantize.format import Encoded, Format


def encode(values: np.ndarray) -> Encoded:
    return np.ascontiguousarray(values, "<f4").view(np.uint8), None


def decode(units: np.ndarray, scales: None) -> np.ndarray:
    return units.view("<f4")


FORMAT = Format("f32", values_per_unit=4, scale=None, encode=encode, decode=decode, encode_raw={})
