"""q8: int8 with a float16 scale a group of 32, value = scale * q, q in -127 … 127."""

import numpy as np

from compiler.quantize.format import GROUP, GROUP_SCALES, Encoded, Format

LARGEST = 127


def encode(values: np.ndarray) -> Encoded:
    groups = values.reshape(len(values), -1, GROUP)
    largest = np.abs(groups).max(axis=2)
    if largest.max(initial=0) > LARGEST * float(np.finfo(np.float16).max):
        raise OverflowError(f"a weight of magnitude {largest.max():.6g} is too large for q8; take f32")
    scales = (largest / np.float32(LARGEST)).astype(np.float16)
    # Among float16's subnormals rounding may take much of the scale, or all: then the next larger one.
    low = scales.astype(np.float32) * np.float32(LARGEST + 0.5) < largest
    scales[low] = np.nextafter(scales[low], np.float16(np.inf))
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    q = np.rint(groups / divisors[:, :, None]).astype(np.int8)
    return q.reshape(values.shape).view(np.uint8), scales


def decode(units: np.ndarray, scales: np.ndarray) -> np.ndarray:
    q = units.view(np.int8).reshape(len(units), -1, GROUP)
    return (scales.astype(np.float32)[:, :, None] * q).reshape(len(units), -1)


def _scales(blocks: np.ndarray) -> np.ndarray:
    """The float16 that each block starts with: (rows, blocks, bytes) -> (rows, blocks)."""
    return np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0]


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """(rows, blocks, 16) -> (rows, blocks, 32): all low nibbles of a block, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=2)


def encode_q8_0(raw: np.ndarray) -> Encoded:
    """A Q8_0 block: scale, 32 int8."""
    blocks = raw.reshape(len(raw), -1, 34)
    return blocks[:, :, 2:].reshape(len(raw), -1), _scales(blocks)


def encode_q5_0(raw: np.ndarray) -> Encoded:
    """A Q5_0 block: scale, a fifth bit each of 32 values, 16 bytes of nibbles; value = scale * (q - 16)."""
    blocks = raw.reshape(len(raw), -1, 22)
    fifth = np.unpackbits(blocks[:, :, 2:6], axis=2, bitorder="little") << 4
    q = (_nibbles(blocks[:, :, 6:]) | fifth).astype(np.int8) - 16
    return q.reshape(len(raw), -1).view(np.uint8), _scales(blocks)


def encode_q4_0(raw: np.ndarray) -> Encoded:
    """A Q4_0 block: scale, 16 bytes of nibbles; value = scale * (q - 8)."""
    blocks = raw.reshape(len(raw), -1, 18)
    q = _nibbles(blocks[:, :, 2:]).astype(np.int8) - 8
    return q.reshape(len(raw), -1).view(np.uint8), _scales(blocks)


FORMAT = Format(
    "q8",
    values_per_unit=16,
    scale=GROUP_SCALES,
    encode=encode,
    decode=decode,
    encode_raw={"Q8_0": encode_q8_0, "Q5_0": encode_q5_0, "Q4_0": encode_q4_0},
)
