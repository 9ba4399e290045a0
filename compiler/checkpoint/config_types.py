"""Which type and bounds each field of a text model's configuration has.

Bounds are far beyond any Gemma. They stand between a damaged number and hours of work or all of the memory.
"""

from compiler.checkpoint.fields import Fields
from compiler.checkpoint.json_file import shown
from compiler.errors import GemletError

LAYERS = 128  # twice those of any; lowering takes seconds for a hundred
WIDTH = 1 << 20
HEAD_SIZE = 4096  # RoPE tables have a column for each
TOKENS = 1 << 24
POSITIONS = 1 << 31
LARGEST = 1e30
KINDS = ("sliding_attention", "full_attention")
WHOLE = {  # field -> least and most
    "vocab_size": (1, TOKENS),
    "hidden_size": (1, WIDTH),
    "intermediate_size": (1, WIDTH),
    "num_hidden_layers": (1, LAYERS),
    "num_attention_heads": (1, WIDTH),
    "num_key_value_heads": (1, WIDTH),
    "head_dim": (1, HEAD_SIZE),
    "max_position_embeddings": (1, POSITIONS),
    "sliding_window": (1, POSITIONS),
    "vocab_size_per_layer_input": (1, TOKENS),
    "hidden_size_per_layer_input": (0, WIDTH),
    "num_kv_shared_layers": (0, LAYERS),
    "num_experts": (1, WIDTH),
    "top_k_experts": (1, WIDTH),
    "moe_intermediate_size": (1, WIDTH),
}
NUMBERS = ("rms_norm_eps", "query_pre_attn_scalar", "final_logit_softcapping", "attn_logit_softcapping")
BOOLEANS = ("tie_word_embeddings", "attention_bias", "attention_k_eq_v", "enable_moe_block", "use_double_wide_mlp")
# Fields that may be null, and what that means is known.
NULLABLE = (
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "num_experts",
    "top_k_experts",
    "moe_intermediate_size",
)


def check_types(fields: Fields) -> None:
    """Raises GemletError, naming the field, for the first that has another type or lies out of bounds."""
    for key in fields.values:
        if key in NULLABLE and fields.is_null(key):
            continue
        if key in WHOLE:
            fields.whole(key, *WHOLE[key])
        elif key in NUMBERS:
            fields.number(key, 0, LARGEST)
        elif key in BOOLEANS:
            fields.boolean(key)
        elif key == "hidden_activation":
            fields.text(key)
        elif key == "layer_types":
            _check_kinds(fields)
        elif key in ("pad_token_id", "bos_token_id") and not fields.is_null(key):
            fields.whole(key, -1, TOKENS)
        elif key == "eos_token_id":
            check_ends(fields)


def check_ends(fields: Fields) -> None:
    """`eos_token_id`: null, an id, or a list of them; a token's text may stand for its id."""
    ends = fields.values.get("eos_token_id")
    for end in ends if isinstance(ends, list) else [] if ends is None else [ends]:
        is_id = isinstance(end, int) and not isinstance(end, bool) and 0 <= end <= TOKENS
        if not is_id and not isinstance(end, str):
            raise fields.error("eos_token_id", "a token's id, or a list of ids")


def _check_kinds(fields: Fields) -> None:
    kinds = fields.values["layer_types"]
    if kinds is None:
        return
    if not isinstance(kinds, list):
        raise fields.error("layer_types", "a list with the kind of each layer")
    for layer, kind in enumerate(kinds):
        if kind not in KINDS:
            raise GemletError(f"{fields.where}layer_types.{layer}: expected {' or '.join(KINDS)}, found {shown(kind)}.")
