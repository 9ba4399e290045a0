"""Where each layer's result lies in the midst of a step, for whoever looks for the first layer that is wrong."""
from dataclasses import dataclass

from model_defs.sizes import padded

from .program import Launch, Program

TAIL = "tail"


@dataclass(frozen=True)
class LayerEnd:
    """What a layer leaves is in `buffer`, a row of `row_bytes` a token, when the first `launches` of a step have run. A layer of `tail` has one row."""

    step: str
    launches: int
    buffer: str
    row_bytes: int

    def entry(self, place: dict[str, int]) -> dict[str, str | int]:
        """As manifests have it; place: of `buffer`."""
        return {"step": self.step, "launches": self.launches, "row_bytes": self.row_bytes} | place


def layer_ends(program: Program, layers: int, hidden_size: int, tokens: int) -> list[LayerEnd | None]:
    """One for each of `layers`: those that run in the step of the smallest chunk that holds so many tokens (or of the largest), then those of `tail`. None where no launch leaves it whole, as at the end of `tail`,
    where the LM head's product goes on from it: the logits tell of that one."""
    chunk = min((chunk for chunk in program.chunks if chunk >= tokens), default=max(program.chunks))
    row_bytes = 4 * padded(hidden_size)
    in_chunk, in_tail = ends_in(program, f"prefill_{chunk}", row_bytes), ends_in(program, TAIL, row_bytes)
    return [in_chunk.get(layer) or in_tail.get(layer) for layer in range(layers)]


def ends_in(program: Program, step: str, row_bytes: int) -> dict[int, LayerEnd]:
    """By layer. A launch that binds weights of a layer belongs to it. In a chunk the layer's last launch, a norm, writes its result; in a step of one token, where
    norms ride along in the next product, the next layer's first launch does, as H (compiler/kernels/vector_input.py)."""
    launches = program.steps[step]
    own: dict[int, list[int]] = {}
    for index, launch in enumerate(launches):
        for layer in {int(name.split(".")[1]) for name in launch.buffers if name.startswith("layers.")}:
            own.setdefault(layer, []).append(index)
    found = {}
    for layer, indices in own.items():
        following = own.get(layer + 1)
        for index, parameter in [(indices[-1], "Y"), *([(following[0], "H")] if following else [])]:
            buffer = written(launches[index], parameter)
            if buffer and (parameter == "H" or is_norm(launches[index])):
                found[layer] = LayerEnd(step, index + 1, buffer, row_bytes)
                break
    return found


def is_norm(launch: Launch) -> bool:
    """Whether it is the norm behind a block, which adds the residual stream: a product's Y at a layer's end is not its result yet."""
    return launch.kernel.name.startswith("norm_")


def written(launch: Launch, name: str) -> str | None:
    """The buffer that a launch writes under this name."""
    return next((buffer for parameter, buffer in zip(launch.kernel.parameters, launch.buffers) if parameter.name == name and parameter.written), None)
