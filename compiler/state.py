"""The state buffer: all that varies from call to call, as 32-bit words (docs/artifact.md, "State words")."""

# Sizes of the prefill steps, in tokens; a larger chunk reads the weights once for more tokens, but pads a short prompt.
CHUNKS = (16, 64, 256)
OUTPUT_RING = 64
MAX_STOP_TOKENS = 16


def state_fields() -> dict[str, int]:
    """Word offset of each field. `tokens` comes last: a Program with smaller chunks only may cut it short."""
    fields, offset = {}, 0
    for name, words in [("position", 1), ("length", 1), ("generated", 1), ("finished", 1), ("temperature", 1),
                        ("top_k", 1), ("top_p", 1), ("min_p", 1), ("seed", 1), ("stop_count", 1),
                        ("stop", MAX_STOP_TOKENS), ("output", OUTPUT_RING), ("blocks", max(CHUNKS))]:
        fields[name] = offset
        offset += words
    # Kernels read `tokens` as an array of its own, and WebGPU's widest loads want 16 bytes.
    fields["tokens"] = -(-offset // 4) * 4
    return fields


STATE = state_fields()


def state_words(largest_chunk: int) -> int:
    """Words of the state of a model whose largest prefill chunk is `largest_chunk` tokens."""
    return STATE["tokens"] + largest_chunk
