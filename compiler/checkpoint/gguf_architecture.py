"""What a GGUF file's `general.architecture` decides: the names of its tensors, and how its metadata is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.checkpoint.config_types import LAYERS
from compiler.checkpoint.gguf_file import GGUFFile
from compiler.checkpoint.json_file import list_of, typed
from compiler.errors import GemletError


# What is no whole number of the metadata that is read.
KINDS = {
    "attention.layer_norm_rms_epsilon": float,
    "attention.sliding_window_pattern": bool,
    "final_logit_softcapping": float,
    "rope.freq_base": float,
    "rope.freq_base_swa": float,
    "rope.scale_linear": float,
    "rope.scaling.factor": float,
    "rope.scaling.type": str,
}


class Metadata:
    """A file's metadata by keys without the architecture's prefix: `block_count` is `gemma4.block_count`.

    Values are of the types that KINDS says, or whole numbers. Raises GemletError, naming the key, for any other.
    """

    def __init__(self, model: GGUFFile, prefix: str) -> None:
        self.path, self.fields, self.prefix = model.path, model.fields, prefix

    def get(self, key: str, default: Any = None, kind: type | None = None) -> Any:
        """One value, or the default where the file does not state the key."""
        value = self.fields.get(f"{self.prefix}.{key}")
        return default if value is None else typed(value, kind or KINDS.get(key, int), self.where(key))

    def required(self, key: str) -> Any:
        """Raises GemletError where the file does not state the key."""
        value = self.get(key)
        if value is None:
            raise self.missing(key)
        return value

    def by_layer(self, key: str, layers: int) -> list[Any]:
        """One value a layer, from such a list or from one value for all. Raises GemletError for a list of another length."""
        if not isinstance(self.fields.get(f"{self.prefix}.{key}"), list):
            return [self.required(key)] * layers
        values = self.values(key)
        if len(values) != layers:
            raise self.error(key, f"expected {layers} values, one a layer, found {len(values)}")
        return values

    def for_all(self, key: str, layers: int, default: Any = None) -> Any:
        """The value that all layers have, from one value or a list of equal ones. Raises GemletError where they differ."""
        if default is not None and self.fields.get(f"{self.prefix}.{key}") is None:
            return default
        return self.one(key, self.by_layer(key, layers))

    def linear_factor(self) -> float:
        """What RoPE's frequencies are divided by: 1 without scaling. As llama.cpp reads it: where no type is stated, it is linear.

        Raises GemletError for another type, and for a factor that is not above 0.
        """
        kind = self.get("rope.scaling.type", "linear")
        if kind not in ("none", "linear"):
            raise self.error("rope.scaling.type", f"expected none or linear, found {kind!r}")
        stated = [key for key in ("rope.scaling.factor", "rope.scale_linear") if self.get(key, 0.0) != 0]
        if kind == "none" or not stated:
            if kind == "linear" and self.get("rope.scaling.type") is not None:
                raise self.missing("rope.scaling.factor")
            return 1.0
        if self.get(stated[0]) < 0:
            raise self.error(stated[0], f"expected a number above 0, found {self.get(stated[0]):g}")
        return self.get(stated[0])

    def require_equal(self, keys: tuple[str, ...], size: int) -> None:
        """Raises GemletError for one of the keys that is stated and is not the head size."""
        for key in keys:
            if self.get(key, size) != size:
                raise self.error(key, f"expected {size}, as attention's keys have it, found {self.get(key)}")

    def values(self, key: str) -> list[Any]:
        """The values of a list."""
        return list_of(self.fields.get(f"{self.prefix}.{key}"), KINDS.get(key, int), self.where(key))

    def within(self, key: str, value: int, least: int, most: int) -> int:
        """The value, which came from that key. Raises GemletError where it is out of bounds."""
        if not least <= value <= most:
            raise self.error(key, f"expected {least} to {most}, found {value}")
        return value

    def where(self, key: str) -> str:
        return f"{self.path}: metadata {self.prefix}.{key}"

    def missing(self, key: str) -> GemletError:
        return GemletError(f"{self.where(key)} is missing. Convert the file again.")

    def one(self, key: str, values: list[Any]) -> Any:
        """The value that all of `values`, which came from that key, share. Raises GemletError where they differ."""
        if len(set(values)) != 1:
            raise self.error(key, f"expected one value for all layers of a kind, found {sorted(set(values))}")
        return values[0]

    def error(self, key: str, message: str) -> GemletError:
        return GemletError(f"{self.where(key)}: {message}. Take another file of this model.")

    def common(self) -> dict[str, Any]:
        """What Gemma 3 and Gemma 4 state alike, in transformers' keys. Raises GemletError for a missing key."""
        if "tokenizer.ggml.tokens" not in self.fields:
            raise GemletError(f"{self.path}: metadata tokenizer.ggml.tokens is missing. Convert the file again.")
        tokens = typed(self.fields["tokenizer.ggml.tokens"], list, f"{self.path}: metadata tokenizer.ggml.tokens")
        epsilon = self.required("attention.layer_norm_rms_epsilon")
        config = {
            "vocab_size": len(tokens),
            "hidden_size": self.required("embedding_length"),
            "num_hidden_layers": self.within("block_count", self.required("block_count"), 1, LAYERS),
            "max_position_embeddings": self.required("context_length"),
            "rms_norm_eps": float(f"{epsilon:.6g}"),  # stored as a float32
            "sliding_window": self.required("attention.sliding_window"),
            "final_logit_softcapping": self.get("final_logit_softcapping"),
        }
        for key, name, default in (("pad", "padding", 0), ("eos", "eos", 1), ("bos", "bos", 2)):
            config[f"{key}_token_id"] = stated_token(self.fields, name, self.path, default)
        return config


def stated_token(fields: Mapping[str, Any], name: str, path: Path, default: int | None = None) -> int | None:
    """The id `tokenizer.ggml.NAME_token_id`. Raises GemletError where that is no whole number."""
    key = f"tokenizer.ggml.{name}_token_id"
    return default if key not in fields else typed(fields[key], int, f"{path}: metadata {key}")


@dataclass(frozen=True)
class Architecture:
    """tensor_names, layer_tensor_names: llama.cpp's names (in a layer without `blk.N.`) -> transformers' (without
    `model.layers.N.`), or None for a tensor that is not kept. config: the file's configuration in transformers' keys;
    raises GemletError where metadata is missing or says what the model definitions do not cover.
    """

    title: str
    tensor_names: Mapping[str, str | None]
    layer_tensor_names: Mapping[str, str]
    config: Callable[[GGUFFile], dict[str, Any]]


# Both generations have these.
TENSOR_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_TENSOR_NAMES = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
}
