"""q4: 4 bits with a float16 scale a group of 32, value = scale * (q - 8), q in 0 … 15: the grid of GGUF's Q4_0."""

import numpy as np

from compiler.quantize.format import GROUP, GROUP_SCALES, Encoded, Format

HALF = GROUP // 2


def encode(values: np.ndarray) -> Encoded:
    groups = values.reshape(len(values), -1, GROUP)
    # The value of largest magnitude becomes -8 exactly, whatever its sign: the grid has no +8.
    place = np.abs(groups).argmax(axis=2)[:, :, None]
    exact = np.take_along_axis(groups, place, axis=2)[:, :, 0] / np.float32(-8)
    if np.abs(exact).max(initial=0) > np.finfo(np.float16).max:
        raise OverflowError(f"a weight of magnitude {np.abs(values).max():.6g} is too large for q4; take f32")
    scales = exact.astype(np.float16)
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    q = np.clip(np.rint(groups / divisors[:, :, None]), -8, 7).astype(np.int8).view(np.uint8) + np.uint8(8)
    units = q[:, :, :HALF] | q[:, :, HALF:] << 4
    return units.reshape(len(values), -1), scales


def decode(units: np.ndarray, scales: np.ndarray) -> np.ndarray:
    packed = units.reshape(len(units), -1, HALF)
    q = np.concatenate([packed & 15, packed >> 4], axis=2).astype(np.int8) - 8
    return (scales.astype(np.float32)[:, :, None] * q).reshape(len(units), -1)


def encode_q4_0(raw: np.ndarray) -> Encoded:
    """A Q4_0 block: scale, then the very 16 bytes of a q4 unit."""
    blocks = raw.reshape(len(raw), -1, 18)
    scales = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0]
    return blocks[:, :, 2:].reshape(len(raw), -1), scales


FORMAT = Format(
    "q4", values_per_unit=32, scale=GROUP_SCALES, encode=encode, decode=decode, encode_raw={"Q4_0": encode_q4_0}
)
