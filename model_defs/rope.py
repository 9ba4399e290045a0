"""Rotary position embedding: which frequencies a configuration's `rope_parameters` of one layer kind stand for.

The types are transformers' (`modeling_rope_utils.py`). They change the frequencies, and yarn also the length of what is rotated;
kernels read both from a table (compiler/kernels/rope.py), so that none of them knows of types.
"""
import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from .config import ConfigError

TYPES = ("default", "proportional", "linear", "dynamic", "llama3", "yarn")


@dataclass(frozen=True)
class Rope:
    """Frequencies theta^(-2 i / head size), changed as `type` says.

    fraction: of the pairs, how many turn (proportional). factor: what frequencies are divided by (proportional, linear; llama3 and
    yarn: the low ones). original: positions trained before scaling; low, high: turns within these, between which llama3 and
    yarn blend. scale: factor of cosines and sines (yarn).
    """

    type: str
    theta: float
    fraction: float = 1.0
    factor: float = 1.0
    original: float = 1.0
    low: float = 1.0
    high: float = 1.0
    scale: float = 1.0

    @staticmethod
    def from_dict(parameters: dict, where: str, trained: int) -> "Rope":
        """From transformers' keys. where: the field, for messages; trained: `max_position_embeddings`.

        Raises ConfigError for a type that is not computed and for a number that is missing or makes no frequencies.
        """
        kind = parameters.get("rope_type", "default")
        if kind not in TYPES:
            raise ConfigError(f"config: `{where}.rope_type` is {kind!r}; expected one of {', '.join(TYPES)}")
        theta = positive(parameters, where, "rope_theta")
        fraction = positive(parameters, where, "partial_rotary_factor", 1.0)
        if kind == "proportional":
            if fraction > 1:
                raise ConfigError(f"config: `{where}.partial_rotary_factor` is {fraction:g}; expected at most 1")
            return Rope(kind, theta, fraction=fraction, factor=positive(parameters, where, "factor", 1.0))
        if kind == "default":
            # transformers rotates the whole head here, whatever partial_rotary_factor says; a factor would be left out too.
            if positive(parameters, where, "factor", 1.0) != 1:
                raise ConfigError(f"config: `{where}.factor` is {parameters['factor']:g}, which rope_type 'default' does not use; "
                                  "expected another rope_type, such as 'linear', or no factor")
            return Rope(kind, theta)
        if fraction != 1:
            raise ConfigError(f"config: `{where}.partial_rotary_factor` is {fraction:g} with rope_type {kind!r}; expected 1, or rope_type 'proportional'")
        factor = positive(parameters, where, "factor")
        if kind == "linear":
            return Rope(kind, theta, factor=factor)
        if kind == "dynamic":  # scales beyond max_position_embeddings alone, which no context of ours exceeds
            return Rope("default", theta)
        original = positive(parameters, where, "original_max_position_embeddings", trained)
        if kind == "llama3":
            low, high = (positive(parameters, where, f"{end}_freq_factor") for end in ("low", "high"))
            if low >= high:
                raise ConfigError(f"config: `{where}.low_freq_factor` is {low:g}; expected less than high_freq_factor, {high:g}")
            return Rope(kind, theta, factor=factor, original=original, low=low, high=high)
        if theta == 1:
            raise ConfigError(f"config: `{where}.rope_theta` is 1; rope_type 'yarn' needs another base")
        return Rope(kind, theta, factor=factor, original=original, low=positive(parameters, where, "beta_slow", 1.0),
                    high=positive(parameters, where, "beta_fast", 32.0), scale=attention_factor(parameters, where, factor))

    @staticmethod
    def from_text(text: str) -> "Rope":
        """The inverse of `text`."""
        return Rope(**json.loads(text))

    @property
    def text(self) -> str:
        """All of it, as an operator's attribute."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def name(self) -> str:
        """What a buffer's name says: the type, and each number that is not as usual."""
        numbers = {key: value for key, value in asdict(self).items() if key not in ("type", "theta") and value != 1}
        return ".".join([f"{self.type}.theta{self.theta:g}", *(f"{key}{value:.9g}" for key, value in numbers.items())])

    def frequencies(self, head_size: int) -> np.ndarray:
        """float32[head_size / 2]: radians a position; 0 for a pair that does not turn."""
        turning = int(self.fraction * head_size // 2)
        exponents = np.arange(0, 2 * turning, 2, dtype=np.float32) / np.float32(head_size)
        plain = np.zeros(head_size // 2, np.float32)
        plain[:turning] = np.float32(1) / np.float32(self.theta) ** exponents
        if self.type == "llama3":
            return self._llama3(plain)
        if self.type == "yarn":
            return self._yarn(plain, head_size)
        return plain / np.float32(self.factor)

    def _llama3(self, plain: np.ndarray) -> np.ndarray:
        """Frequencies that turn less than `low` times within `original` positions are divided, those above `high` are kept."""
        turns = self.original * plain / np.float32(2 * math.pi)
        kept = np.clip((turns - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)
        return ((1 - kept) * plain / np.float32(self.factor) + kept * plain).astype(np.float32)

    def _yarn(self, plain: np.ndarray, head_size: int) -> np.ndarray:
        """As llama3, but blended over the pairs' numbers, from whole number to whole number."""

        def pair(turns: float) -> float:
            return head_size * math.log(self.original / (turns * 2 * math.pi)) / (2 * math.log(self.theta))

        first, last = max(math.floor(pair(self.high)), 0), min(math.ceil(pair(self.low)), head_size - 1)
        width = last - first if last != first else 0.001
        divided = np.clip((np.arange(head_size // 2, dtype=np.float32) - np.float32(first)) / np.float32(width), 0, 1)
        return (divided * plain / np.float32(self.factor) + (1 - divided) * plain).astype(np.float32)


def rope_by_kind(parameters: dict, kinds: tuple[str, ...], trained: int) -> dict[str, Rope]:
    """Rope of each layer kind that there is. Raises ConfigError as `Rope.from_dict` does, and where a kind is missing."""
    found = {}
    for kind in sorted(set(kinds)):
        if not isinstance(parameters.get(kind), dict):
            raise ConfigError(f"config: `rope_parameters.{kind}` is {parameters.get(kind)!r}; expected an object with rope_type and rope_theta")
        found[kind] = Rope.from_dict(parameters[kind], f"rope_parameters.{kind}", trained)
    return found


def attention_factor(parameters: dict, where: str, factor: float) -> float:
    """What yarn multiplies cosines and sines with."""

    def magnitude(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if parameters.get("attention_factor") is not None:
        return positive(parameters, where, "attention_factor")
    weights = [parameters.get(key) for key in ("mscale", "mscale_all_dim")]
    if all(weights):
        return magnitude(positive(parameters, where, "mscale")) / magnitude(positive(parameters, where, "mscale_all_dim"))
    return magnitude(1.0)


def positive(parameters: dict, where: str, key: str, default: float | None = None) -> float:
    """A number above 0; `default` where the key is absent, and where it is null and has one."""
    value = parameters.get(key)
    value = default if value is None and default is not None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigError(f"config: `{where}.{key}` is {value!r}; expected a number above 0")
    return float(value)
