"""Where keys and values live: a ring for a sliding layer, a linear cache for a global one, nothing for a shared one."""
from dataclasses import dataclass

from model_defs.sizes import stored_head

from ..kernels.attention_block import BLOCK as SLOT_TILE
from ..kernels.kernel import ceil_div
from .program import Buffer


@dataclass(frozen=True)
class CachePlan:
    """head_size: the checkpoint's. ring: slots of a ring (slot = position mod ring); None: a linear cache of `slots` slots."""

    layer: int
    kv_heads: int
    head_size: int
    slots: int
    ring: int | None

    @property
    def stored_head(self) -> int:
        """Values that a head takes."""
        return stored_head(self.head_size)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The cache as one Relax tensor: K and V, slots, KV heads, head size."""
        return 2, self.slots, self.kv_heads, self.stored_head

    @property
    def buffer_names(self) -> tuple[str, str]:
        return f"cache.{self.layer}.k", f"cache.{self.layer}.v"

    def buffers(self) -> list[Buffer]:
        """K and V, float32."""
        slot_bytes = self.kv_heads * self.stored_head * 4
        growing = None if self.ring else self.slots
        return [Buffer(name, "cache", self.slots * slot_bytes, growing, slot_bytes, SLOT_TILE) for name in self.buffer_names]


def plan_caches(caches, context: int, largest_chunk: int) -> list[CachePlan]:
    """One plan a cache (model_defs.operators.Cache).

    A ring holds the window and the chunk that is being written: while a chunk's first token attends, its last is
    already there. A window as long as the context needs no ring.
    """
    plans = []
    for cache in caches:
        ring = None if cache.window is None else cache.window + largest_chunk - 1
        slots = context if ring is None or ring >= context else ring
        slots = ceil_div(slots, SLOT_TILE) * SLOT_TILE
        plans.append(CachePlan(cache.layer, cache.kv_heads, cache.head_size, slots, None if ring is None or ring >= context else slots))
    return plans
