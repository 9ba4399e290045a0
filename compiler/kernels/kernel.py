"""What a kernel is: one TIR function for one static shape, with the grid that launches it."""
from dataclasses import dataclass, field

import numpy as np
from tvm import tirx
from tvm.tirx.script.parser.entry import TIRJit

from ..quantize.format import TILE_ROWS
from .quick_inlines import install

install()

# A linear kernel's threads in x stand for the neighbouring rows of a weight tile; keys are cached in the same tiles.
TILE = TILE_ROWS
# Loads that a thread has under way where it waits for memory: so many steps of a loop are written out.
UNDER_WAY = 4
# WebGPU's default limits, which every adapter offers; kernels stay inside them.
MAX_THREADS = 256
MAX_SHARED_BYTES = 16384
# Extent of the grid's axis along a chunk, as the code sees it. A launch says how many workgroups there really are, so that chunks of all
# sizes share one shader.
ANY_EXTENT = 65535
# What a variant may require, with the directive that its shader starts with: features of the device, one of the language, and that it has few cores,
# since it computes on a processor.
SUBGROUPS = "subgroups"
HALF = "shader-f16"
PACKED = "packed_4x8_integer_dot_product"
SOFTWARE = "software-adapter"
FEATURES = {SUBGROUPS: "enable subgroups;", HALF: "enable f16;", PACKED: f"requires {PACKED};", SOFTWARE: ""}


@dataclass(frozen=True)
class Parameter:
    """A buffer that a kernel binds.

    name: the buffer's name in the TIR function (and, with `_ptr` behind it, in the WGSL).
    written: whether the kernel writes it.
    bytes_moved: bytes that one launch reads or writes of it; None: the whole of what is bound.
    """

    name: str
    written: bool = False
    bytes_moved: int | None = None


@dataclass(frozen=True)
class Kernel:
    """name is unique for everything that shapes the code and, with variants, for the grid, so equal names may share one shader.

    function: the TIR function, which `T.jit` parses when it is asked for: that takes 0.2 s, and a plan needs none.
    grid: workgroups in x and y. multiply_accumulates: of one launch's matrix products (0 where there is none).
    requires: what a device must offer beyond WebGPU's core, by the names of FEATURES. exact: false where the numbers are rounded
    more than the main kernel rounds them. variants: kernels that do the same work over the same parameters, the best first, of
    which the engine may take one in this one's place (docs/artifact.md, "Variants"). code: name of the shader, where kernels that differ in
    their grids alone share it; "": the kernel's own.
    """

    name: str
    function: TIRJit = field(compare=False, repr=False)
    grid: tuple[int, int]
    parameters: tuple[Parameter, ...]
    multiply_accumulates: int = 0
    requires: tuple[str, ...] = ()
    exact: bool = True
    variants: tuple["Kernel", ...] = field(default=(), compare=False, repr=False)
    code: str = ""

    @property
    def shader(self) -> str:
        """Name of the shader."""
        return self.code or self.name

    @property
    def prim_func(self) -> tirx.PrimFunc:
        """The function, parsed once."""
        return self.function.specialize()

    @property
    def parameter_names(self) -> list[str]:
        return [parameter.name for parameter in self.parameters]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def exact(value: float):
    """A float32 constant in a kernel, bit for bit. TVM writes literals with seven digits, which may name a neighbour."""
    return tirx.reinterpret("float32", tirx.const(int(np.float32(value).view(np.uint32)), "uint32"))


def number_name(label: str, value: float) -> str:
    """A constant as part of a kernel's name: every value its own name, in characters that WGSL allows."""
    return f"{label}{value!r}".replace(".", "p").replace("-", "m").replace("+", "")
