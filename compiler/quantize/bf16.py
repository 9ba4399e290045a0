"""bf16: the upper half of a float32, rounded to the nearest. Only taken for tensors that the source has in BF16."""

import ml_dtypes
import numpy as np

from compiler.quantize.format import Encoded, Format


def encode(values: np.ndarray) -> Encoded:
    rounded = values.astype(ml_dtypes.bfloat16)
    if not np.isfinite(rounded).all():
        raise OverflowError(f"a weight of magnitude {np.abs(values).max():.6g} is too large for bf16; take f32")
    return rounded.view(np.uint8), None


def decode(units: np.ndarray, scales: None) -> np.ndarray:
    return units.view(ml_dtypes.bfloat16).astype(np.float32)


FORMAT = Format("bf16", values_per_unit=8, scale=None, encode=encode, decode=decode, encode_raw={})
