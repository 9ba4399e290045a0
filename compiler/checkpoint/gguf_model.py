"""Opens a GGUF model as a checkpoint: llama.cpp's keys and tensor names become transformers' own."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.checkpoint.checkpoint import Checkpoint
from compiler.checkpoint.config import DEFAULT_PERIOD, layer_types, text_config
from compiler.checkpoint.gguf_file import GGUFFile
from compiler.checkpoint.gguf_split import model_stem, read_gguf_model
from compiler.checkpoint.license import license_named
from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError

ARCHITECTURES = ("gemma3",)
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
LAYERS_OF_27B = 62


def open_gguf(path: Path) -> Checkpoint:
    """Opens a GGUF file, or any part of a split one.

    Raises GemletError for an unknown architecture, missing metadata, an unknown tensor, or an unsound file.
    """
    model = read_gguf_model(path)
    architecture = model.fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise GemletError(
            f"{path}: unknown GGUF architecture {architecture!r}; expected one of {', '.join(ARCHITECTURES)}."
        )
    config = _gemma3_config(model)
    stop = [_token_id(model, "eos"), _token_id(model, "eot")]
    return Checkpoint(
        path=path,
        title=model.fields.get("general.name") or model_stem(path),
        config=config,
        # GGUF files of Gemma 3 store 1 + w already, so nothing is added to norms here.
        tensors={tensor.name: tensor for tensor in map(_canonical, model.tensors.values())},
        generation={
            "eos_token_id": list(dict.fromkeys(token for token in stop if token is not None)),
            "bos_token_id": config["bos_token_id"],
            "pad_token_id": config["pad_token_id"],
        },
        chat_template=model.fields.get("tokenizer.chat_template"),
        license=license_named(
            model.fields.get("general.license"),
            config["model_type"],
            url=model.fields.get("general.license.link", ""),
        ),
        gguf_fields=model.fields,
    )


def _token_id(model: GGUFFile, kind: str) -> int | None:
    return model.fields.get(f"tokenizer.ggml.{kind}_token_id")


def _canonical(tensor: Tensor) -> Tensor:
    """The same tensor under its canonical name."""
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", tensor.source_name)
    if layer and layer[2] in LAYER_TENSOR_NAMES:
        return replace(tensor, name=f"model.layers.{layer[1]}.{LAYER_TENSOR_NAMES[layer[2]]}")
    if tensor.source_name in TENSOR_NAMES:
        return replace(tensor, name=TENSOR_NAMES[tensor.source_name])
    raise GemletError(
        f"{tensor.file}: tensor {tensor.source_name} is not one of a Gemma 3 text model. "
        "Take another file of this model."
    )


def _gemma3_config(model: GGUFFile) -> dict[str, Any]:
    """The configuration, in transformers' keys, that the file's metadata states or implies."""
    fields = model.fields

    def required(key: str) -> Any:
        if key not in fields:
            raise GemletError(f"{model.path}: metadata {key} is missing. Convert the file again.")
        return fields[key]

    layers = required("gemma3.block_count")
    heads = required("gemma3.attention.head_count")
    hidden = required("gemma3.embedding_length")
    head_dim = required("gemma3.attention.key_length")
    full_rope = {"rope_type": "default", "rope_theta": fields.get("gemma3.rope.freq_base", 1_000_000.0)}
    if fields.get("gemma3.rope.scaling.type", "none") != "none":
        full_rope |= {
            "rope_type": fields["gemma3.rope.scaling.type"],
            "factor": required("gemma3.rope.scaling.factor"),
        }
    raw = {
        "model_type": "gemma3_text",
        "vocab_size": len(required("tokenizer.ggml.tokens")),
        "hidden_size": hidden,
        "intermediate_size": required("gemma3.feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": fields.get("gemma3.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": required("gemma3.context_length"),
        "rms_norm_eps": float(f"{required('gemma3.attention.layer_norm_rms_epsilon'):.6g}"),  # stored as a float32
        # The one size whose attention scale is not its head size; the metadata has no key for it.
        "query_pre_attn_scalar": hidden // heads if layers == LAYERS_OF_27B else head_dim,
        "sliding_window": required("gemma3.attention.sliding_window"),
        "layer_types": _layer_types(layers, fields.get("gemma3.attention.sliding_window_pattern", DEFAULT_PERIOD)),
        "rope_parameters": {
            "full_attention": full_rope,
            "sliding_attention": {
                "rope_type": "default",
                "rope_theta": fields.get("gemma3.rope.freq_base_swa", 10_000.0),
            },
        },
        "final_logit_softcapping": fields.get("gemma3.final_logit_softcapping"),
        "tie_word_embeddings": "output.weight" not in model.tensors,
    }
    for kind, default in (("pad", 0), ("eos", 1), ("bos", 2)):
        token = _token_id(model, kind)
        raw[f"{kind}_token_id"] = default if token is None else token
    return text_config(raw, model.path)


def _layer_types(layers: int, pattern: int | list[bool]) -> list[str]:
    """Kinds of layers from a period, or from a list that says of each layer whether it is sliding."""
    if isinstance(pattern, list):
        return ["sliding_attention" if sliding else "full_attention" for sliding in pattern]
    return layer_types(layers, pattern)
