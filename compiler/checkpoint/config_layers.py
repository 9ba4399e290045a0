"""What single layers of a Gemma 4 have of their own: `per_layer_config`, and the older keys about global layers."""

from typing import Any

from compiler.checkpoint.config_types import WHOLE
from compiler.checkpoint.fields import Fields

OWN = ("head_dim", "num_key_value_heads")


def per_layer_config(fields: Fields) -> dict[str, dict[str, Any]]:
    """`per_layer_config` as transformers writes it: layers, in order, with what differs from the other fields.

    Removes `global_head_dim` and `num_global_key_value_heads`, which count where it is absent; a null head size is that
    of the other layers. Raises GemletError, naming the field, for anything else than whole numbers of OWN by layer.
    """
    config = fields.values
    older = _of_global_layers(fields)
    if "per_layer_config" not in config:
        kinds = config["layer_types"]
        stated = {str(layer): older for layer, kind in enumerate(kinds) if kind == "full_attention"}
    else:
        stated = {} if fields.is_null("per_layer_config") else fields.object("per_layer_config").values
    places = Fields(stated, f"{fields.where}per_layer_config.")
    found = {}
    for layer in sorted(stated, key=lambda key: (len(str(key)), str(key))):
        last = config["num_hidden_layers"] - 1
        if not (str(layer).isdecimal() and str(layer).isascii() and len(str(layer)) < 9 and int(layer) <= last):
            raise places.error(layer, f"layers from 0 to {last} as keys", f" The key is {layer!r}.")
        own = _own_values(places.object(layer), config)
        if own:
            found[int(layer)] = own
    width = len(str(config["num_hidden_layers"] - 1))  # keys of one width sort as numbers do
    return {f"{layer:0{width}}": found[layer] for layer in sorted(found)}


def _of_global_layers(fields: Fields) -> dict[str, int]:
    """What the two older keys say; both are removed."""
    stated = Fields(
        {
            "global_head_dim": fields.values.pop("global_head_dim", 512),
            "num_global_key_value_heads": fields.values.pop("num_global_key_value_heads", None),
        },
        fields.where,
    )
    own = {}
    if not stated.is_null("global_head_dim"):
        own["head_dim"] = stated.whole("global_head_dim", *WHOLE["head_dim"])
    if not stated.is_null("num_global_key_value_heads"):
        heads = stated.whole("num_global_key_value_heads", *WHOLE["num_key_value_heads"])
        if fields.values["attention_k_eq_v"]:  # counts only there, as in the reference
            own["num_key_value_heads"] = heads
    return own


def _own_values(layer: Fields, config: dict[str, Any]) -> dict[str, int]:
    """The layer's values that differ from those of the whole model."""
    own = {}
    for key, value in layer.values.items():
        if key in config and value == config[key]:
            continue
        if key not in OWN:
            expected = f"the value of all layers, {config.get(key)!r}; a layer may differ in {' and '.join(OWN)} alone"
            raise layer.error(key, expected)
        own[key] = layer.whole(key, *WHOLE[key])
    return own
