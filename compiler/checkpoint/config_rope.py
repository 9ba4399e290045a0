"""Brings what a config.json says of RoPE into one form: `rope_parameters` by layer kind, with the type in each.

Which types and numbers are computed, model_defs/rope.py says; here the keys are found, and their JSON types checked.
"""

from typing import Any

from compiler.checkpoint.config_types import KINDS, LARGEST
from compiler.checkpoint.fields import Fields
from compiler.errors import GemletError

GEMMA4_ROPE = {
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
}
NUMBERS = (
    *("rope_theta", "factor", "partial_rotary_factor", "original_max_position_embeddings", "attention_factor"),
    *("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"),
)


def gemma3_rope(fields: Fields) -> dict[str, dict[str, Any]]:
    """RoPE by layer kind; removes the older keys that stated it. Raises GemletError, naming the field."""
    config = fields.values
    scaling = {} if fields.is_null("rope_scaling") else _with_type(fields.object("rope_scaling"))
    defaults = {"rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0}
    bases = Fields({key: config.pop(key, default) for key, default in defaults.items()}, fields.where)
    stated = {kind: values or {} for kind, values in _by_kind(fields).items()}
    full = {"rope_type": "default"} | stated.get("full_attention", {}) | scaling
    sliding = {"rope_type": "default"} | stated.get("sliding_attention", {})
    config.pop("rope_scaling", None)
    if "rope_theta" not in full:
        full["rope_theta"] = bases.number("rope_theta", 0, LARGEST)
    if "rope_theta" not in sliding:
        sliding["rope_theta"] = bases.number("rope_local_base_freq", 0, LARGEST)
    return {"full_attention": full, "sliding_attention": sliding}


def gemma4_rope(fields: Fields) -> dict[str, dict[str, Any]]:
    """RoPE by layer kind. Raises GemletError, naming the field, where a kind that the model has is not there."""
    if not fields.is_null("rope_scaling"):
        raise fields.error("rope_scaling", "nothing, since Gemma 4 states its RoPE in rope_parameters")
    if fields.is_null("rope_parameters"):
        return {kind: dict(values) for kind, values in GEMMA4_ROPE.items()}
    stated = _by_kind(fields)
    for kind in sorted(set(fields.values["layer_types"])):
        if stated.get(kind) is None:
            place = Fields(stated, f"{fields.where}rope_parameters.")
            raise place.error(kind, "an object with rope_type and rope_theta, since there are layers of that kind")
    return {kind: {"rope_type": "default"} | values for kind, values in stated.items() if values is not None}


def _by_kind(fields: Fields) -> dict[str, dict[str, Any] | None]:
    """`rope_parameters`, with types named `rope_type`."""
    if fields.is_null("rope_parameters"):
        return {}
    places = fields.object("rope_parameters")
    flat = sorted(set(places.values) - set(KINDS))
    if flat:
        raise GemletError(
            f"{places.where}{flat[0]}: expected one object for each layer kind, {' and '.join(KINDS)}, in rope_parameters;"
            f" found {', '.join(flat)} outside of them. Move the keys into the kinds that they are meant for."
        )
    return {kind: None if places.is_null(kind) else _with_type(places.object(kind)) for kind in places.values}


def _with_type(place: Fields) -> dict[str, Any]:
    """The values there, `type`, the older name of `rope_type`, renamed. Raises GemletError for a wrong type of one."""
    values = dict(place.values)
    older = values.pop("type", None)
    if older is not None:
        values.setdefault("rope_type", older)
    checked = Fields(values, place.where)
    if "rope_type" in values:
        checked.text("rope_type")
    for key in NUMBERS:
        if key in values and not (key != "rope_theta" and checked.is_null(key)):
            checked.number(key, 0, LARGEST)
    return values
