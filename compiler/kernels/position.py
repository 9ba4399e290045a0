"""Where a row of a step stands in the sequence, from the state."""
from tvm.script import tirx as T

from ..state import STATE


def row_position(state, row):
    """Position of row `row` of a chunk."""
    return state[STATE["position"]] + row


def end_position(state):
    """Position of the chunk's last token: of the only one in `decode`, of the one whose logits are wanted in `tail`."""
    return state[STATE["position"]] + state[STATE["length"]] - T.int32(1)


def slot_of(position, ring: int | None):
    """Cache slot of a position: in a ring of `ring` slots, or in a linear cache."""
    return position % ring if ring else position


def slot_position(slot, last, ring: int | None):
    """The newest position up to `last` that lives in `slot`; negative where a ring's slot holds none yet."""
    return last - T.truncmod(last - slot + ring, ring) if ring else slot


def slots_in_use(last, ring: int | None):
    """Slots, from the first, that may hold a key once `last` is written."""
    return T.min(last + 1, ring) if ring else last + 1
