"""Gemma 4's "mobile" checkpoints: weights of 2, 4 or 8 bits in safetensors, with static scales of the activations.

The exact definition is transformers' `integrations/gemma_quant.py`: values are packed low bits first, 2 and 4 bits with
an offset; a float32 scale belongs to a row, or, in embeddings, to each of the blocks that a row is divided into.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.checkpoint.guarded import guarded
from compiler.checkpoint.json_file import list_of, shown, typed
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError

if TYPE_CHECKING:
    from compiler.checkpoint.safetensors_file import Entry

MOBILE = "MOBILE_INT"  # starts the source formats
METHOD = "gemma"  # what quantization_config calls it
BITS = (2, 4, 8)
MOST_PATTERNS = 4096
PER_LAYER = "embed_tokens_per_layer"
EMBEDDINGS = ("embed_tokens", PER_LAYER)
DTYPES = {2: "U8", 4: "U8", 8: "I8"}
# A linear layer keeps its values in `weight`, an embedding in `embedding_quantized`; each has scales beside it.
VALUES = {"weight": "weight_scale", "embedding_quantized": "embedding_scale"}
# The last two belong to the KV cache; like the reference, we keep that in float.
BESIDE = (*VALUES.values(), "input_activation_scale", "output_activation_scale", "k_cache_scale", "v_cache_scale")


@dataclass(frozen=True)
class MobileQuantization:
    """Which modules are quantized, and to how many bits: `quantization_config`, by the modules' names in the checkpoint.

    Its patterns are regular expressions of whoever wrote the file, so that another process looks for them. Raises GemletError
    where they are none, or take too long.
    """

    where: str  # the file and its key, for messages
    prefix: str  # of the text model in those names
    num_bits: int
    embeddings: bool
    overrides: tuple[tuple[str, int], ...]  # (pattern, bits): what is found furthest left in a name counts, then the first
    exceptions: tuple[str, ...]

    def own_name(self, module: str) -> str:
        """The checkpoint's name of a module by its canonical name."""
        return self.prefix + module.removeprefix("model.") if module.startswith("model.") else module

    def bits(self, module: str) -> int:
        """The bits of a quantized module."""
        starts = _first_matches(self.where, tuple(pattern for pattern, _ in self.overrides), module)
        found = [(start, bits) for start, (_, bits) in zip(starts, self.overrides) if start is not None]
        return min(found, key=lambda place_and_bits: place_and_bits[0], default=(0, self.num_bits))[1]

    def quantizes(self, module: str) -> bool:
        """Whether a linear layer or an embedding of that name is quantized."""
        if module.rpartition(".")[2] in EMBEDDINGS and not self.embeddings:
            return False
        whole_parts = tuple(rf"\A(?:{key})(?:(?<=\.)|(?=\.|$))" for key in self.exceptions)
        matches = _first_matches(self.where, whole_parts, module)
        return not (any(start == 0 for start in matches) or any(module.endswith(key) for key in self.exceptions))


@lru_cache(1 << 16)
def _first_matches(where: str, patterns: tuple[str, ...], module: str) -> list[int | None]:
    """Where in the module's name the first match of each pattern starts; None for one without."""
    return guarded.ask(where, {"patterns": patterns, "text": module}) if patterns else []


def read_quantization(raw: dict[str, Any], path: Path) -> MobileQuantization | None:
    """The object `quantization_config` of a config.json, None where there is none; `path` is for messages.

    Raises GemletError for another method than that of the mobile checkpoints, and for other widths than BITS.
    """
    stated = raw.get("quantization_config")
    if stated is None:
        return None
    where = f"{path}: quantization_config"
    method = stated.get("quant_method") if isinstance(stated, dict) else stated
    if not isinstance(stated, dict) or method != METHOD:
        raise GemletError(
            f"{where}: quant_method {shown(method)} is not supported; expected {METHOD!r} (Gemma's mobile "
            "checkpoints) or no quantization. Take the unquantized checkpoint of this model, or a GGUF file."
        )
    default = stated.get("num_bits", 4)
    modules = typed(_stated(stated, "module_quant_configs", {}), dict, f"{where}.module_quant_configs")
    overrides = tuple(
        (pattern, typed(options, dict, f"{where}.module_quant_configs: {shown(pattern)}").get("num_bits", default))
        for pattern, options in modules.items()
    )
    for pattern, bits in (("num_bits", default), *overrides):
        if typed(bits, int, f"{where}: {pattern}") not in BITS:
            raise GemletError(f"{where}: {pattern}: {shown(bits)} bits; expected one of {BITS}.")
    exceptions = tuple(list_of(_stated(stated, "modules_to_not_convert", []), str, f"{where}.modules_to_not_convert"))
    if len(overrides) + len(exceptions) > MOST_PATTERNS:
        raise GemletError(f"{where}: more than {MOST_PATTERNS} patterns. Take another file of this model.")
    embeddings = typed(_stated(stated, "quantize_embeddings", False), bool, f"{where}.quantize_embeddings")
    prefix = "model.language_model." if "text_config" in raw else "model."
    return MobileQuantization(where, prefix, default, embeddings, overrides, exceptions)


def _stated(options: dict[str, Any], key: str, default: Any) -> Any:
    """The key's value; null means the same as its absence."""
    return default if options.get(key) is None else options[key]


def source_format(bits: int, block: int | None) -> str:
    """What `Tensor.source_format` says: MOBILE_INT4 with a scale a row, MOBILE_INT4_256 with one for 256 columns."""
    return f"{MOBILE}{bits}" + ("" if block is None else f"_{block}")


def planned_source_formats(names: list[str], config: dict[str, Any], quantization: MobileQuantization | None) -> list[str]:
    """The source formats of tensors that are not at hand, by canonical name: BF16, what Gemma is published in, where they
    are not quantized. Of the per-layer embeddings each layer's part counts as a block, as in the published checkpoints."""
    formats = []
    for name in names:
        module = name.removesuffix(".weight")
        if quantization is None or not quantization.quantizes(module := quantization.own_name(module)):
            formats.append("BF16")
        else:
            block = config["hidden_size_per_layer_input"] if module.endswith(PER_LAYER) else None
            formats.append(source_format(quantization.bits(module), block))
    return formats


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Packed values, uint8 (rows, bytes) -> int8 (rows, values)."""
    if bits == 8:
        return packed.view(np.int8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = packed[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
    return values.reshape(len(packed), -1).view(np.int8) - np.int8(1 << bits - 1)


def split_scales(raw: np.ndarray, bits: int, block: int | None) -> tuple[np.ndarray, np.ndarray]:
    """`MobileTensor.raw_rows` -> scales, float32 (rows, 1 or blocks), and values, int8 (rows, columns)."""
    count = 1 if block is None else raw.shape[1] // (4 + block * bits // 8)
    return np.ascontiguousarray(raw[:, : 4 * count]).view("<f4"), unpack(np.ascontiguousarray(raw[:, 4 * count :]), bits)


@dataclass(frozen=True, kw_only=True)
class MobileTensor(Tensor):
    """A packed weight with its scales. `input_step`, `output_step`: static activation scales, where the file has them."""

    bits: int
    block: int | None  # columns that share a scale; None: the whole row
    scale: Tensor  # float32 (rows, 1 or blocks)
    input_step: Tensor | None
    output_step: Tensor | None

    @property
    def row_bytes(self) -> int:
        return self.shape[-1] * self.bits // 8

    def raw_rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop): each row's scales, then its packed values, uint8. Raises as `Tensor.raw_rows` does."""
        scales = self.scale.rows(start, stop).astype("<f4", copy=False)
        return np.concatenate([scales.view(np.uint8), super().raw_rows(start, stop)], axis=1)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), dequantized: float32 of shape (rows, shape[-1])."""
        scales, values = split_scales(self.raw_rows(start, stop), self.bits, self.block)
        return np.repeat(scales, values.shape[1] // scales.shape[1], axis=1) * values

    def activation_steps(self) -> tuple[float, float]:
        """The steps that the layer rounds its input and its output to; 0: not rounded.

        Raises GemletError for a step that is negative, NaN or infinite.
        """
        return _step(self.input_step), _step(self.output_step)

    def _require_finite(self, raw: np.ndarray, start: int) -> None:
        """Every bit pattern is a number; the scales are checked by their own tensor."""


def _step(tensor: Tensor | None) -> float:
    step = 0.0 if tensor is None else float(tensor.values()[0])
    if step < 0:
        raise GemletError(
            f"{tensor.file}: tensor {tensor.source_name}: an activation scale of {step:g}; expected 0 or more. "
            "The file is damaged; download it again."
        )
    return step


def mobile_name(name: str) -> str | None:
    """The canonical name of the weight that a canonical tensor name stands for; None for scales beside a weight."""
    path, _, leaf = name.rpartition(".")
    return None if leaf in BESIDE else f"{path}.weight" if leaf in VALUES else name


def mobile_tensor(name: str, entry: "Entry", entries: dict[str, "Entry"], quantization: MobileQuantization) -> MobileTensor:
    """A packed tensor (type U8 or I8) under its canonical name; `entries` holds its scales.

    Raises GemletError, naming file and tensor, where type, scales or widths are not those that the config promises.
    """
    module, _, leaf = entry.source_name.rpartition(".")
    bits = quantization.bits(module)
    where = f"{entry.file}: tensor {entry.source_name}"
    if entry.dtype != DTYPES[bits] or len(entry.shape) != 2 or entry.size != entry.shape[0] * entry.shape[1] or not entry.size:
        raise GemletError(
            f"{where}: type {entry.dtype}, shape {entry.shape}, {entry.size} bytes; expected a matrix of {DTYPES[bits]}, "
            f"since quantization_config gives {module} {bits} bits. Check that the config belongs to these weights."
        )
    rows, columns = entry.shape[0], entry.shape[1] * 8 // bits
    scale = entries.get(f"{module}.{VALUES.get(leaf)}")
    if scale is None:
        raise GemletError(f"{where}: its scales {module}.{VALUES.get(leaf)} are missing. Download the checkpoint again.")
    blocks = scale.shape[1] if len(scale.shape) == 2 and scale.shape[0] == rows and 0 not in scale.shape else None
    if blocks is None or columns % blocks:
        raise GemletError(
            f"{scale.file}: tensor {scale.source_name}: shape {scale.shape}; expected ({rows}, blocks), with blocks of "
            f"equal size in the {columns} columns of {entry.source_name}."
        )
    block = None if blocks == 1 else columns // blocks
    if block is not None and block % max(32, 128 // bits):
        raise GemletError(
            f"{scale.file}: tensor {scale.source_name}: a scale for {block} columns of {bits} bits; kernels need blocks "
            f"of a multiple of {max(32, 128 // bits)} columns."
        )
    steps = (entries.get(f"{module}.{side}_activation_scale") for side in ("input", "output"))
    input_step, output_step = (step and step.tensor(step.source_name, 0.0) for step in steps)
    return MobileTensor(
        name, (rows, columns), source_format(bits, block), entry.file, entry.source_name, entry.offset,
        bits=bits, block=block, scale=scale.tensor(scale.source_name, 0.0), input_step=input_step, output_step=output_step,
    )
