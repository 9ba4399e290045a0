"""Chooses the format that a matrix is stored in."""

import re

from compiler.errors import GemletError

REQUESTS = ("auto", "q4", "q8", "f16", "f32")
# The smallest of our formats that is not below the source's precision. Q4_0, Q5_0, Q8_0, F32, F16 and BF16 keep
# every bit; the others have two levels of scales or an offset, and get more bits than they had.
NOT_BELOW = {
    "F32": "f32",
    "F16": "f16",
    "BF16": "bf16",
    "Q4_0": "q4",
    "Q4_1": "q8",
    "Q5_0": "q8",
    "Q5_1": "q8",
    "Q8_0": "q8",
    "Q2_K": "q8",
    "Q3_K": "q8",
    "Q4_K": "q8",
    "Q5_K": "q8",
    "Q6_K": "q8",
}
MOBILE_SOURCE = re.compile(r"MOBILE_INT(?P<bits>[248])(?P<block>_\d+)?")


def choose_format(source_formats: list[str], requested: str) -> str:
    """The format of a matrix whose rows come from tensors of these source formats; `requested` is of REQUESTS.

    `auto` is the smallest format that is not below any of the sources. Raises GemletError for another request.
    """
    if requested not in REQUESTS:
        raise GemletError(f"unknown quantization {requested!r}; expected one of {', '.join(REQUESTS)}.")
    if requested != "auto":
        return requested
    mobile = [MOBILE_SOURCE.fullmatch(source) for source in source_formats]
    if all(mobile) and len({match["block"] for match in mobile}) == 1:  # wider whole numbers keep the narrower ones
        return f"m{max(match['bits'] for match in mobile)}{mobile[0]['block'] or ''}"
    formats = {"f32" if match else NOT_BELOW[source] for source, match in zip(source_formats, mobile)}
    if formats == {"q4", "q8"}:
        return "q8"
    return formats.pop() if len(formats) == 1 else "f32"
