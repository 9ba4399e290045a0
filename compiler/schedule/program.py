"""A Program: straight lists of kernel launches over statically planned buffers (docs/architecture.md)."""
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import GemletError
from ..kernels.kernel import Kernel

# The step that a backend may have to put weights into an order of its own, once they are all there.
PREPARE = "prepare"
# The step that does a part of a product for nothing, so that an engine sees how long that takes it.
TRIAL = "trial"
KINDS = ("weight", "cache", "state", "activation", "logits", "input")


@dataclass(frozen=True)
class Buffer:
    """bytes: the size at full context. slot_bytes, slot_tile: of a KV cache. slots: of a linear one, which may start smaller."""

    name: str
    kind: str
    bytes: int
    slots: int | None = None
    slot_bytes: int | None = None
    slot_tile: int | None = None


@dataclass(frozen=True)
class Table:
    """A matrix that is only looked up, a row a token, so that its rows may be elsewhere or in several buffers.

    buffers: names of those that hold its rows, all in the same order. part: name of the one that tells kernels which rows they are
    (PART in compiler/kernels/embed.py).
    """

    rows: int
    buffers: tuple[str, ...]
    part: str


@dataclass(frozen=True)
class Launch:
    """buffers: names, in the order of the kernel's parameters."""

    kernel: Kernel
    buffers: tuple[str, ...]

    def traffic(self, sizes: dict[str, int]) -> Iterable[tuple[str, int, bool]]:
        """(buffer, bytes moved, written) of each parameter; `sizes`: bytes by buffer name."""
        for parameter, name in zip(self.kernel.parameters, self.buffers):
            yield name, sizes[name] if parameter.bytes_moved is None else parameter.bytes_moved, parameter.written


@dataclass
class Program:
    """steps: launches by step name. constants: contents of the weight buffers that no checkpoint holds. tables: what may lie
    outside GPU memory. packs: what the weight buffers that join small vectors and numbers hold (compiler/weights.py)."""

    buffers: dict[str, Buffer]
    steps: dict[str, list[Launch]]
    chunks: tuple[int, ...]
    context: int
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    packs: dict[str, tuple[str | float, ...]] = field(default_factory=dict)

    @property
    def kernels(self) -> list[Kernel]:
        """Each distinct kernel once, in order of its first launch."""
        found = {launch.kernel.name: launch.kernel for launches in self.steps.values() for launch in launches}
        return list(found.values())

    @property
    def in_one_binding(self) -> list[Buffer]:
        """The buffers that a device has to bind whole: all but the rows of tables, which it may split."""
        split = {name for table in self.tables for name in table.buffers}
        return [buffer for name, buffer in self.buffers.items() if name not in split]

    def weight_bytes_read(self, step: str) -> int:
        """Bytes of weights that one run of a step reads."""
        sizes = {name: buffer.bytes for name, buffer in self.buffers.items()}
        return sum(moved for launch in self.steps[step] for name, moved, _ in launch.traffic(sizes) if self.buffers[name].kind == "weight")

    def multiply_accumulates(self, step: str) -> int:
        """Multiply-accumulates of the matrix products of one run of a step."""
        return sum(launch.kernel.multiply_accumulates for launch in self.steps[step])

    def check(self) -> None:
        """GemletError where a launch breaks what the runtime relies on: every name known, as many buffers as
        parameters, nothing bound twice where it is written, weights written by `prepare` alone, and each scratch buffer written
        before it is read in its step, but for `trial`, whose numbers mean nothing."""
        for step, launches in self.steps.items():
            ready = set()
            for index, launch in enumerate(launches):
                where = f"step {step}, launch {index} ({launch.kernel.name})"
                if len(launch.buffers) != len(launch.kernel.parameters):
                    raise GemletError(f"{where}: {len(launch.buffers)} buffers for {len(launch.kernel.parameters)} parameters")
                for parameter, name in zip(launch.kernel.parameters, launch.buffers):
                    if name not in self.buffers:
                        raise GemletError(f"{where}: buffer {name} is not in the Program")
                    kind = self.buffers[name].kind
                    if parameter.written and (kind == "weight" and step != PREPARE or launch.buffers.count(name) > 1):
                        raise GemletError(f"{where}: writes {name} ({kind}), bound {launch.buffers.count(name)} times")
                    if not parameter.written and kind == "activation" and name.startswith("scratch") and name not in ready and step != TRIAL:
                        raise GemletError(f"{where}: reads {name} before anything in the step wrote it")
                ready.update(name for parameter, name in zip(launch.kernel.parameters, launch.buffers) if parameter.written)

    def text(self) -> str:
        """The Program for people and for diffs: a line a buffer, a line a launch."""
        lines = [f"buffer {buffer.name}: {buffer.kind}, {buffer.bytes} bytes" for buffer in self.buffers.values()]
        for step, launches in self.steps.items():
            lines.append(f"\nstep {step}: {len(launches)} launches")
            for launch in launches:
                bound = ", ".join(f"{'*' if parameter.written else ''}{parameter.name}={name}"
                                  for parameter, name in zip(launch.kernel.parameters, launch.buffers))
                lines.append(f"  {launch.kernel.name} {launch.kernel.grid}: {bound}")
        return "\n".join(lines) + "\n"


def renamed(launch: Launch, names: dict[str, str]) -> Launch:
    """The launch with some buffers under other names."""
    return replace(launch, buffers=tuple(names.get(name, name) for name in launch.buffers))
