"""What the vector and the matrix form of a linear kernel share: names and parameter lists."""
from .kernel import Parameter, number_name

STATE_PARAMETER = Parameter("STATE_WORDS", bytes_moved=4)


def linear_name(kind: str, rows: int, columns: int, format: str, norm_eps: float | None, epilogue: str, cap: float,
                **offsets: int) -> str:
    """A name that holds every choice which shapes the code of a linear kernel."""
    parts = [kind, format, f"n{rows}", f"k{columns}", "" if norm_eps is None else number_name("norm", norm_eps)]
    parts += ["" if epilogue == "none" else number_name("softcap", cap) if epilogue == "softcap" else epilogue]
    return "_".join(filter(None, parts + [f"{key}{value}" for key, value in offsets.items() if value]))


def linear_parameters(has_scale: bool, norm: bool, epilogue: str, x_bytes: int, other_bytes: int,
                      state: bool = False) -> tuple[Parameter, ...]:
    """The buffers of a linear kernel in order: W [S] X [G] [E] [STATE_WORDS] Y."""
    present = [(Parameter("W"), True), (Parameter("S"), has_scale), (Parameter("X", bytes_moved=x_bytes), True),
               (Parameter("G"), norm), (Parameter("E", bytes_moved=other_bytes), epilogue == "gated_by"),
               (STATE_PARAMETER, state), (Parameter("Y", written=True), True)]
    return tuple(parameter for parameter, wanted in present if wanted)
