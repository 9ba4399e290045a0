"""Sound tiny checkpoints, as the bytes of their files: what the fuzzer damages. No torch, so that a run starts at once."""

import json

import numpy as np

from tests.fuzz.gguf_parts import GGUFParts, Value, tensor_part
from tests.fuzz.safetensors_parts import SafetensorsParts

HIDDEN, MLP, HEADS, KV_HEADS, HEAD, WINDOW, CONTEXT = 16, 24, 2, 1, 8, 4, 64
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
PIECES = (*SPECIAL, "\u2581", "a", "b", "c", "ab", "abc", "\u2581a")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}<start_of_turn>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% else %}{% set x = message.content %}{% generation %}{{ x }}"
    "{% endgeneration %}{% endif %}{% endfor %}{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
README = "---\nlicense: other\nlicense_name: tiny\nlicense_link: https://example.org/licence\n---\n# Tiny\n"


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def layer_shapes(layer: int, head: int = HEAD) -> dict[str, tuple[int, ...]]:
    """The tensors of one Gemma 3 layer by transformers' names."""
    shapes = {
        "input_layernorm.weight": (HIDDEN,),
        "self_attn.q_proj.weight": (HEADS * head, HIDDEN),
        "self_attn.k_proj.weight": (KV_HEADS * head, HIDDEN),
        "self_attn.v_proj.weight": (KV_HEADS * head, HIDDEN),
        "self_attn.q_norm.weight": (head,),
        "self_attn.k_norm.weight": (head,),
        "self_attn.o_proj.weight": (HIDDEN, HEADS * head),
        "post_attention_layernorm.weight": (HIDDEN,),
        "pre_feedforward_layernorm.weight": (HIDDEN,),
        "mlp.gate_proj.weight": (MLP, HIDDEN),
        "mlp.up_proj.weight": (MLP, HIDDEN),
        "mlp.down_proj.weight": (HIDDEN, MLP),
        "post_feedforward_layernorm.weight": (HIDDEN,),
    }
    return {f"model.layers.{layer}.{name}": shape for name, shape in shapes.items()}


def tensors(vocabulary: int) -> dict[str, np.ndarray]:
    shapes = {"model.embed_tokens.weight": (vocabulary, HIDDEN), "model.norm.weight": (HIDDEN,)}
    shapes |= layer_shapes(0) | layer_shapes(1)
    return {name: numbers(shape, number) for number, (name, shape) in enumerate(shapes.items())}


def config() -> dict:
    return {
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "vocab_size": len(PIECES), "hidden_size": HIDDEN,
        "intermediate_size": MLP, "num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD, "sliding_window": WINDOW, "max_position_embeddings": CONTEXT, "query_pre_attn_scalar": HEAD,
        "layer_types": ["sliding_attention", "full_attention"], "rms_norm_eps": 1e-6, "eos_token_id": [1, 5], "bos_token_id": 2,
        "pad_token_id": 0, "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}},
    }  # fmt: skip


def gemma4_config() -> dict:
    older = {key: value for key, value in config().items() if key not in ("query_pre_attn_scalar", "rope_parameters")}
    return {
        "model_type": "gemma4", "tie_word_embeddings": True, "eos_token_id": [1, 5],
        "text_config": older | {
            "model_type": "gemma4_text", "global_head_dim": 16, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
            "vocab_size_per_layer_input": len(PIECES), "enable_moe_block": False, "final_logit_softcapping": 30.0,
            "attention_k_eq_v": False, "use_bidirectional_attention": None,
            "rope_parameters": {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
                                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    }  # fmt: skip


def tokenizer() -> dict:
    def added(number: int, piece: str) -> dict:
        return {"id": number, "content": piece, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True}  # fmt: skip

    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added(*pair) for pair in enumerate(SPECIAL)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                     {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {piece: number for number, piece in enumerate(PIECES)},
                  "merges": [["a", "b"], ["ab", "c"], ["\u2581", "a"]]},
    }  # fmt: skip


def safetensors(kept: dict[str, np.ndarray]) -> SafetensorsParts:
    return SafetensorsParts.of({name: ("F32", values.shape, values.tobytes()) for name, values in kept.items()})


def texts() -> dict[str, bytes]:
    """What all folders hold beside configuration and weights."""
    added = {str(number): {"content": piece, "special": True} for number, piece in enumerate(SPECIAL)}
    return {
        "generation_config.json": dumped({"eos_token_id": [1, 5], "bos_token_id": 2, "pad_token_id": 0, "top_k": 64, "top_p": 0.95}),
        "tokenizer.json": dumped(tokenizer()),
        "tokenizer_config.json": dumped({"bos_token": "<bos>", "eos_token": "<eos>", "added_tokens_decoder": added,
                                         "chat_template": TEMPLATE, "model_max_length": 1e30}),
        "README.md": README.encode(),
        "LICENSE": b"Do what you like.\n",
    }  # fmt: skip


def dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def folder() -> dict[str, bytes]:
    held = texts() | {"config.json": dumped(config()), "model.safetensors": safetensors(tensors(len(PIECES))).written()}
    return held | {"chat_template.jinja": TEMPLATE.encode()}


def sharded() -> dict[str, bytes]:
    kept = tensors(len(PIECES))
    names = list(kept)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    index = {"metadata": {"total_size": sum(values.nbytes for values in kept.values())},
             "weight_map": {name: file for file, held in parts.items() for name in held}}  # fmt: skip
    files = {file: safetensors({name: kept[name] for name in held}).written() for file, held in parts.items()}
    return texts() | {"config.json": dumped(config()), "model.safetensors.index.json": dumped(index)} | files


def gemma4() -> dict[str, bytes]:
    kept = tensors(len(PIECES))
    kept |= {name: numbers(shape, 99) for name, shape in layer_shapes(1, head=16).items()}
    kept |= {f"model.layers.{layer}.layer_scalar": numbers((1,), layer) for layer in range(2)}
    named = {name.replace("model.", "model.language_model.", 1): values for name, values in kept.items()}
    return texts() | {"config.json": dumped(gemma4_config()), "model.safetensors": safetensors(named).written()}


def mobile() -> dict[str, bytes]:
    """The gate's, up's and down's weights in 4 and 8 bits."""
    kept = tensors(len(PIECES))
    kept |= {name: numbers(shape, 99) for name, shape in layer_shapes(1, head=16).items()}
    kept |= {f"model.layers.{layer}.layer_scalar": numbers((1,), layer) for layer in range(2)}
    held = {name: ("F32", values.shape, values.tobytes()) for name, values in kept.items()}
    for name in [name for name in held if "mlp." in name]:
        rows, columns = kept[name].shape
        dtype, width = ("I8", columns) if "down" in name else ("U8", columns // 2)
        held[name] = (dtype, (rows, width), bytes(range(rows)) * width)
        held[name.replace(".weight", ".weight_scale")] = ("F32", (rows, 1), numbers((rows, 1), 3).tobytes())
        held[name.replace(".weight", ".input_activation_scale")] = ("F32", (), numbers((1,), 4).tobytes())
    named = {name.replace("model.", "model.language_model.", 1): value for name, value in held.items()}
    quantization = {"quant_method": "gemma", "num_bits": 4, "quantize_embeddings": True, "modules_to_not_convert": ["per_layer"],
                    "module_quant_configs": {r"language_model\.layers\.\d+\.mlp\.down_proj$": {"num_bits": 8}}}  # fmt: skip
    document = gemma4_config() | {"quantization_config": quantization}
    return texts() | {"config.json": dumped(document), "model.safetensors": SafetensorsParts.of(named).written()}


LLAMA_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "model.layers.": "blk.",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "post_feedforward_layernorm": "post_ffw_norm",
    "layer_scalar": "layer_output_scale.weight",
}  # fmt: skip


def llama_name(name: str) -> str:
    for old, new in LLAMA_NAMES.items():
        name = name.replace(old, new)
    return name


def gguf(generation: int) -> GGUFParts:
    """A file of Gemma 3 or of Gemma 4."""
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES[len(SPECIAL) :]]
    types = [3] * 3 + [2] + [3] * 2 + [6] * 256 + [1] * (len(PIECES) - len(SPECIAL))
    name = f"gemma{generation}"
    fields: dict[str, Value] = {
        "general.architecture": Value.text(name), "general.name": Value.text("Tiny"), "general.license": Value.text("mit"),
        "general.license.link": Value.text("https://example.org"), "general.alignment": Value("uint32", 32),
        f"{name}.context_length": Value("uint32", CONTEXT), f"{name}.embedding_length": Value("uint32", HIDDEN),
        f"{name}.block_count": Value("uint32", 2), f"{name}.feed_forward_length": Value("uint32", MLP),
        f"{name}.attention.head_count": Value("uint32", HEADS), f"{name}.attention.head_count_kv": Value("uint32", KV_HEADS),
        f"{name}.attention.key_length": Value("uint32", HEAD if generation == 3 else 16),
        f"{name}.attention.value_length": Value("uint32", HEAD if generation == 3 else 16),
        f"{name}.attention.layer_norm_rms_epsilon": Value("float32", 1e-6), f"{name}.attention.sliding_window": Value("uint32", WINDOW),
        f"{name}.rope.freq_base": Value("float32", 1e6), "tokenizer.ggml.tokens": Value.texts(pieces),
        "tokenizer.ggml.scores": Value.array("float32", [-float(number) for number in range(len(pieces))]),
        "tokenizer.ggml.token_type": Value.array("int32", types),
        "tokenizer.ggml.bos_token_id": Value("uint32", 2), "tokenizer.ggml.eos_token_id": Value("uint32", 1),
        "tokenizer.ggml.padding_token_id": Value("uint32", 0), "tokenizer.ggml.add_space_prefix": Value("bool", False),
        "tokenizer.chat_template": Value.text(TEMPLATE),
    }  # fmt: skip
    kept = tensors(len(pieces))
    if generation == 3:
        fields |= {"tokenizer.ggml.model": Value.text("llama"), f"{name}.attention.sliding_window_pattern": Value.array("bool", [True, False])}
    else:
        kept |= {key: numbers(shape, 99) for key, shape in layer_shapes(1, head=16).items()}
        kept |= {f"model.layers.{layer}.layer_scalar": numbers((1,), layer) for layer in range(2)}
        kept["rope_freqs.weight"] = np.array([1, 1] + [1e30] * 6, np.float32)
        fields |= {
            "tokenizer.ggml.model": Value.text("gemma4"), "tokenizer.ggml.merges": Value.texts(["a b", "ab c", "\u2581 a"]),
            f"{name}.attention.key_length_swa": Value("uint32", HEAD), f"{name}.rope.freq_base_swa": Value("float32", 1e4),
            f"{name}.attention.sliding_window_pattern": Value.array("bool", [True, False]),
            f"{name}.attention.shared_kv_layers": Value("uint32", 0), f"{name}.embedding_length_per_layer_input": Value("uint32", 0),
            f"{name}.final_logit_softcapping": Value("float32", 30.0),
        }  # fmt: skip
    return GGUFParts(fields, [tensor_part(llama_name(key), values) for key, values in kept.items()])
