"""Checks many configurations by hand: .venv/bin/python -m tests.property.run --configurations 5000 [--seed FIRST] [--target wasm|webgpu]."""
import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.property.configurations import draw
from tests.property.models import make_case
from tests.property.runs import Outcome
from tests.property.wasm_target import check_wasm
from tests.property.webgpu_target import check_webgpu

TARGETS = {"wasm": check_wasm, "webgpu": check_webgpu}


def check_seed(seed: int, targets=tuple(TARGETS)) -> dict[str, Outcome]:
    """What each target makes of the configuration of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(draw(seed), Path(folder))
        return {target: TARGETS[target](case) for target in targets}


def failures(seeds) -> list[str]:
    """What went wrong in any of these."""
    return [text for seed in seeds if (text := failure(seed, check_seed(seed)))]


def failure(seed: int, outcomes: dict[str, Outcome]) -> str:
    """What went wrong and how to see it again; "" where nothing did."""
    faults = [f"{target}: {fault}" for target, outcome in outcomes.items() for fault in outcome.faults]
    repeat = f"repeat: .venv/bin/python -m tests.property.run --configurations 1 --seed {seed}"
    return "\n  ".join([str(draw(seed)), *faults, repeat]) if faults else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS, action="append")
    options = parser.parse_args()
    worst, count, failed, start = defaultdict(float), 0, 0, time.monotonic()
    for seed in range(options.seed, options.seed + options.configurations):
        outcomes = check_seed(seed, options.target or tuple(TARGETS))
        count += 1
        for target, outcome in outcomes.items():
            key = f"{target} {draw(seed).format}" + (f" {draw(seed).variant.partition('-')[0]}" if target == "wasm" else "")
            worst[key] = max(worst[key], outcome.worst)
        if text := failure(seed, outcomes):
            failed += 1
            print(text, flush=True)
        if count % 20 == 0 or count == options.configurations:
            figures = ", ".join(f"{key} {worst[key]:.2g}" for key in sorted(worst))
            print(f"{count} configurations in {time.monotonic() - start:.0f} s, {failed} failed; worst errors: {figures}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
