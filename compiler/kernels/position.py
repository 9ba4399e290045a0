"""Where a row of a step stands in the sequence, from the state."""
from tvm.script import tirx as T

from ..state import STATE


def row_position(state, row):
    """Position of row `row` of a chunk."""
    return state[STATE["position"]] + row


def last_row(state):
    """The last row of a chunk that counts. Kernels hold the rows of a tile within it, since the code of a kernel does not know the chunk's size."""
    return state[STATE["length"]] - T.int32(1)


def end_position(state):
    """Position of the chunk's last token: of the only one in `decode`, of the one whose logits are wanted in `tail`."""
    return state[STATE["position"]] + last_row(state)


def slot_of(position, ring: int | None):
    """Cache slot of a position: in a ring of `ring` slots, or in a linear cache."""
    return position % ring if ring else position
