"""Where a row of a step stands in the sequence, whatever the step."""
from ..kernels.position import end_position, row_position


def position_of(state, row, tokens: int):
    """Position of row `row` of a step of so many tokens. A step of one has the last token of what the state tells of: in `tail` of a whole chunk."""
    return end_position(state) if tokens == 1 else row_position(state, row)
