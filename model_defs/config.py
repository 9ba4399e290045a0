"""Reading a configuration in transformers' keys, with errors that name the key."""


class ConfigError(ValueError):
    """The configuration lacks a key or holds a value that the model definition does not cover."""


def require(config: dict, key: str):
    """config[key]; ConfigError where it is missing or null."""
    if config.get(key) is None:
        raise ConfigError(f"config: `{key}` is missing; expected a Gemma text configuration in transformers' format")
    return config[key]


def expect(config: dict, key: str, *allowed) -> None:
    """ConfigError unless config[key] is absent or one of `allowed`."""
    if key in config and config[key] not in allowed:
        raise ConfigError(f"config: `{key}` is {config[key]!r}; this model definition covers {', '.join(map(repr, allowed))} only")


def kv_heads(name: str, heads: int, kv: int) -> int:
    """kv, of the layer or model that `name` says; ConfigError where not each of them serves as many heads."""
    if heads % kv:
        raise ConfigError(f"config: `num_attention_heads` is {heads}; expected a multiple of `num_key_value_heads`, {kv}{name}")
    return kv


def layer_types(config: dict) -> tuple[str, ...]:
    """The kind of each layer, checked against the number of layers."""
    kinds = tuple(require(config, "layer_types"))
    layers = require(config, "num_hidden_layers")
    if len(kinds) != layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
        raise ConfigError(f"config: `layer_types` must name sliding_attention or full_attention for each of the {layers} layers, found {list(kinds)}")
    return kinds


def even(config_name: str, value: int) -> int:
    """A head size; ConfigError where its values make no pairs."""
    if value % 2:
        raise ConfigError(f"config: {config_name} is {value}; RoPE turns pairs of a head's values, so that it must be even")
    return value
