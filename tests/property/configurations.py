"""Configurations of small Gemmas at random, none of whose sizes is friendly to a kernel: the same seed gives the same one, for ever.

Kernels of equal sizes are compiled once, so that all that shapes them comes in sets: SEEDS_A_GROUP seeds share SETS of them, and differ in layers, KV sharing, heads
and caps of logits, weights and prompts.
"""
from dataclasses import dataclass

import numpy as np

SLIDING, GLOBAL = "sliding_attention", "full_attention"
SEEDS_A_GROUP, SETS = 300, 20
FORMATS = ("f32", "f16", "q8", "q4", "mobile")
VARIANTS = ("int16-relaxed", "int16-simd128", "float")
CHUNKS = ((16,), (5, 16), (11,), (7, 19))


@dataclass(frozen=True)
class Sizes:
    """What kernels depend on. values: of the configuration."""

    family: str
    format: str
    values: dict
    context: int
    chunks: tuple[int, ...]
    variant: str


@dataclass(frozen=True)
class Configuration:
    """config: for transformers' Gemma3TextConfig or Gemma4TextConfig. quant: what the compiler is asked for, "auto" of a mobile checkpoint.
    variant: of WebAssembly's modules. prompts: numbers of tokens that are read before `answer` tokens are decoded one by one."""

    seed: int
    family: str
    format: str
    config: dict
    context: int
    chunks: tuple[int, ...]
    variant: str
    prompts: tuple[int, ...]
    answer: int

    @property
    def quant(self) -> str:
        return "auto" if self.format == "mobile" else self.format

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.family}, {self.format}, {self.variant}, chunks {self.chunks}, context {self.context}, prompts {self.prompts}, {self.config}"


def pick(rng: np.random.Generator, *values):
    return values[rng.integers(len(values))]


def draw_sizes(number: int) -> Sizes:
    """The sizes of a set."""
    rng = np.random.default_rng([7, number])
    family, format = pick(rng, "gemma3", "gemma4", "gemma4"), FORMATS[number % len(FORMATS)]
    kv_heads = int(pick(rng, 1, 1, 2, 3))
    if format == "mobile":
        family = "gemma4"
    # Mobile checkpoints pack four values of 2 bits, or two of 4, into a byte.
    step = 4 if format == "mobile" else 1
    sizes = dict(vocab_size=int(rng.integers(120, 700)) | 1, hidden_size=step * (int(rng.integers(33, 110)) // step | 1),
                 intermediate_size=step * (int(rng.integers(25, 130)) // step | 1), num_key_value_heads=kv_heads,
                 num_attention_heads=kv_heads * int(pick(rng, 1, 2, 3, 3, 5, 7)), head_dim=int(pick(rng, 6, 10, 14, 18, 22, 26, 34)), sliding_window=int(pick(rng, 3, 5, 9, 13, 21, 35)))
    if format == "mobile":
        sizes["head_dim"] = int(pick(rng, 4, 12, 20, 28))
    if family == "gemma3":  # transformers asks for it
        heads = sizes["num_attention_heads"]
        sizes["hidden_size"] = heads * (sizes["hidden_size"] // heads + 1)
    values = sizes | ({} if family == "gemma3" else gemma4_sizes(rng, sizes, step))
    # Few values in a mobile one, so that a step can be found which keeps all of them from its edges.
    context = int(pick(rng, 37, 53)) if format == "mobile" else int(pick(rng, 37, 53, 77, 101))
    return Sizes(family, format, values, context, pick(rng, *CHUNKS), VARIANTS[number // len(FORMATS) % len(VARIANTS)])


def gemma4_sizes(rng: np.random.Generator, sizes: dict, step: int) -> dict:
    # A mobile checkpoint has a scale for each layer's part, which must be a multiple of 32.
    per_layer = 32 if step == 4 else int(pick(rng, 5, 7, 11, 13, 18))
    per_layer = per_layer if rng.random() < 0.4 else 0
    of_kind = dict(global_head_dim=int(pick(rng, 12, 20, 28)) if step == 4 else int(pick(rng, 10, 18, 30, 38)), hidden_size_per_layer_input=per_layer,
                   vocab_size_per_layer_input=sizes["vocab_size"])
    if step == 1 and rng.random() < 0.35:
        experts = int(pick(rng, 3, 5, 7, 11, 13))
        of_kind |= dict(enable_moe_block=True, num_experts=experts, top_k_experts=int(rng.integers(1, min(experts, 6) + 1)), moe_intermediate_size=int(rng.integers(9, 50)) | 1)
    if rng.random() < 0.3:
        heads = [each for each in (1, 2, 3, 5, 7) if sizes["num_attention_heads"] % each == 0]
        of_kind |= dict(attention_k_eq_v=True, num_global_key_value_heads=int(pick(rng, *heads)))
    return of_kind


def draw_layers(rng: np.random.Generator, family: str, sizes: dict) -> dict:
    """Kinds of layers, which of them share KV, and a wider MLP there."""
    kinds = [str(pick(rng, SLIDING, SLIDING, GLOBAL)) for _ in range(int(pick(rng, 1, 2, 2, 3, 3, 4)))]
    if family == "gemma3":
        return dict(layer_types=kinds, num_hidden_layers=len(kinds))
    kinds[-1] = GLOBAL
    shared = max((count for count in range(len(kinds)) if set(kinds[len(kinds) - count :]) <= set(kinds[: len(kinds) - count])), default=0)
    # transformers fails where layers share KV and have no embeddings of their own.
    shares = shared and sizes["hidden_size_per_layer_input"] and rng.random() < 0.6
    own = dict(num_kv_shared_layers=int(rng.integers(1, shared + 1)), use_double_wide_mlp=bool(rng.random() < 0.5)) if shares else {}
    return dict(layer_types=kinds, num_hidden_layers=len(kinds)) | own


def set_of(seed: int) -> int:
    """The number of the set of sizes that a seed has."""
    return seed // SEEDS_A_GROUP * SETS + int(np.random.default_rng([8, seed]).integers(SETS))


def draw(seed: int) -> Configuration:
    """The configuration of a seed, from 0."""
    rng = np.random.default_rng([8, seed])
    drawn = draw_sizes(seed // SEEDS_A_GROUP * SETS + int(rng.integers(SETS)))
    family, sizes, context = drawn.family, drawn.values, drawn.context
    config = sizes | draw_layers(rng, family, sizes) | dict(
        max_position_embeddings=context, tie_word_embeddings=bool(rng.random() < 0.6), final_logit_softcapping=pick(rng, None, 30.0),
        initializer_range=0.2, rms_norm_eps=1e-6)
    if family == "gemma3":
        config |= dict(query_pre_attn_scalar=int(rng.integers(7, 30)))
    if drawn.format == "mobile":
        config |= dict(tie_word_embeddings=False)
    answer, window, chunk = 3, sizes["sliding_window"], max(drawn.chunks)
    longest = context - answer
    bounds = [1, 2, window - 1, window, window + 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, longest]
    prompts = sorted({min(int(pick(rng, *bounds)), longest), min(int(pick(rng, *bounds)), longest), int(rng.integers(1, longest + 1))})
    return Configuration(seed, family, drawn.format, config, context, drawn.chunks, drawn.variant, tuple(prompts), answer)
