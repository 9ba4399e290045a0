"""What a CPU kernel is: one TIR function that does a range of its work items, so that threads share them out."""
from dataclasses import dataclass, field
from functools import cache
from threading import Lock

from tvm import tirx
from tvm.tirx.script.parser.entry import TIRJit

from ..kernels.kernel import Parameter

# The features of a module: what its kernels may use.
RELAXED, SIMD128 = "relaxed", "simd128"
PARSING = Lock()


@dataclass(frozen=True)
class CpuKernel:
    """name is unique for everything that shapes the code, so equal names may share one function; it is a C identifier.

    function: TIR with a typed pointer for each of `parameters`, of its name in lower case, then int32 `first` and `last`: it does the
    work items first ... last - 1 and may share no memory with another range but what it reads. Further pointers are 0.
    items: work items of a launch; per_token: for each of the state's `length` tokens, since a chunk may be shorter than its buffers.
    multiply_accumulates: of one launch's matrix products over all tokens of its buffers (0 where there is none).
    """

    name: str
    function: TIRJit = field(compare=False, repr=False)
    items: int
    parameters: tuple[Parameter, ...]
    per_token: bool = False
    multiply_accumulates: int = 0

    @property
    def prim_func(self) -> tirx.PrimFunc:
        """The function; equal kernels, in all models compiled in one process, share the work of parsing it."""
        # One thread at a time: several would do no more, and hand Python's lock to and fro.
        with PARSING:
            return parsed(self)

    @property
    def parameter_names(self) -> list[str]:
        return [parameter.name for parameter in self.parameters]

    @property
    def signature(self) -> list[str]:
        """A name for each pointer that the function takes: its parameters', and those that this shape of the kernel has no use for."""
        return [str(variable.name).upper() for variable in self.prim_func.params[:-2]]

    @property
    def grid(self) -> tuple[int, str]:
        """For the Program as text."""
        return self.items, "a token" if self.per_token else "a launch"


@cache
def parsed(kernel: CpuKernel) -> tirx.PrimFunc:
    return kernel.function.specialize()
