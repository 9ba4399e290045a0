"""Scratch buffers: a step's intermediate values share memory where their lives do not overlap.

Steps never overlap, so all of them share one pool. A value lives from the launch that writes it to the last that
reads it, both included: what a launch reads and what it writes are never the same memory.
"""
from .program import Buffer, Launch, renamed


def plan_memory(steps: dict[str, list[Launch]], sizes: dict[str, int]) -> tuple[dict[str, list[Launch]], list[Buffer]]:
    """Gives each intermediate value (`sizes`: bytes by name) a scratch buffer.

    Greedy best fit in order of time; the steps with the largest values come first, so that the others fit in.
    Returns the steps with their launches renamed, and the pool.
    """
    pool: list[int] = []
    planned = {}
    by_size = sorted(steps, key=lambda step: -max([sizes.get(name, 0) for launch in steps[step] for name in launch.buffers], default=0))
    for step in by_size:
        names = assign(lifetimes(steps[step], sizes), sizes, pool)
        planned[step] = [renamed(launch, names) for launch in steps[step]]
    buffers = [Buffer(f"scratch.{index}", "activation", size) for index, size in enumerate(pool)]
    return {step: planned[step] for step in steps}, buffers


def lifetimes(launches: list[Launch], sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """First and last launch that binds each intermediate value."""
    lives: dict[str, tuple[int, int]] = {}
    for index, launch in enumerate(launches):
        for name in launch.buffers:
            if name in sizes:
                lives[name] = (lives.get(name, (index, index))[0], index)
    return lives


def assign(lives: dict[str, tuple[int, int]], sizes: dict[str, int], pool: list[int]) -> dict[str, str]:
    """A scratch buffer for each value; `pool` (bytes by index) grows where nothing free is large enough."""
    free_from = [0] * len(pool)
    names = {}
    for value, (first, last) in sorted(lives.items(), key=lambda item: item[1]):
        free = [index for index, start in enumerate(free_from) if start <= first]
        fitting = [index for index in free if pool[index] >= sizes[value]]
        if fitting:
            index = min(fitting, key=lambda index: pool[index])
        elif free:
            index = max(free, key=lambda index: pool[index])
            pool[index] = sizes[value]
        else:
            index = len(pool)
            pool.append(sizes[value])
            free_from.append(0)
        free_from[index] = last + 1
        names[value] = f"scratch.{index}"
    return names
