"""What the vector and the matrix form of a linear kernel share: names and parameter lists."""
from .kernel import TILE, Parameter, number_name
from .rounding import Rounding

STATE_PARAMETER = Parameter("STATE_WORDS", bytes_moved=4)


def linear_name(kind: str, rows: int, columns: int, format: str, norm_eps: float | None, epilogue: str, cap: float,
                rounding: Rounding | None, **offsets: int) -> str:
    """A name that holds every choice which shapes the code of a linear kernel."""
    parts = [kind, format, f"n{rows}", f"k{columns}", "" if norm_eps is None else number_name("norm", norm_eps)]
    parts += ["" if epilogue == "none" else number_name("softcap", cap) if epilogue == "softcap" else epilogue]
    parts += ["" if rounding is None else rounding.name]
    return "_".join(filter(None, parts + [f"{key}{value}" for key, value in offsets.items() if value]))


def row_of(rows: int, row_tiles: int, products: int):
    """The function (workgroup, slot) -> row of W that a thread's slot stands for, at its place 0 in the tile.

    A thread owns a row in each of `row_tiles` tiles; with two products (`gated`), slots go in pairs: gate, then up.
    """
    def row(block, slot):
        return (block * row_tiles + slot // products) * TILE + slot % products * rows

    return row


def linear_parameters(has_scale: bool, norm: bool, epilogue: str, x_bytes: int, other_bytes: int,
                      rounding: bool, state: bool = False) -> tuple[Parameter, ...]:
    """The buffers of a linear kernel in order: W [S] [A] X [G] [E PLACE] [STATE_WORDS] Y."""
    gated_by = epilogue == "gated_by"
    present = [(Parameter("W"), True), (Parameter("S"), has_scale), (Parameter("A"), rounding), (Parameter("X", bytes_moved=x_bytes), True),
               (Parameter("G"), norm), (Parameter("E", bytes_moved=other_bytes), gated_by), (Parameter("PLACE"), gated_by),
               (STATE_PARAMETER, state), (Parameter("Y", written=True), True)]
    return tuple(parameter for parameter, wanted in present if wanted)
