"""What the vector and the matrix form of a linear kernel share: names, and how rows go to threads."""
from .kernel import TILE, number_name
from .rounding import Rounding


def linear_name(kind: str, rows: int, columns: int, format: str, epilogue: str, cap: float, rounding: Rounding | None,
                **offsets: int) -> str:
    """A name that holds every choice which shapes the code of a linear kernel."""
    parts = [kind, format, f"n{rows}", f"k{columns}"]
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
