"""Chooses the format that a matrix is stored in."""

from compiler.errors import GemletError

REQUESTS = ("auto", "q4", "q8", "f16", "f32")
# The smallest of our formats that is not below the source's precision. Q4_0, Q5_0, Q8_0, F32, F16 and BF16 keep
# every bit; K-quants have two levels of scales or an offset, and keep more bits than they had.
NOT_BELOW = {
    "F32": "f32",
    "F16": "f16",
    "BF16": "bf16",
    "Q4_0": "q4",
    "Q5_0": "q8",
    "Q8_0": "q8",
    "Q4_K": "q8",
    "Q5_K": "q8",
    "Q6_K": "q8",
}


def choose_format(source_formats: list[str], requested: str) -> str:
    """The format of a matrix whose rows come from tensors of these source formats; `requested` is of REQUESTS.

    `auto` is the smallest format that is not below any of the sources. Raises GemletError for another request.
    """
    if requested not in REQUESTS:
        raise GemletError(f"unknown quantization {requested!r}; expected one of {', '.join(REQUESTS)}.")
    if requested != "auto":
        return requested
    formats = {NOT_BELOW[source] for source in source_formats}
    if formats == {"q4", "q8"}:
        return "q8"
    return formats.pop() if len(formats) == 1 else "f32"
