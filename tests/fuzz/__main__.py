"""The long run: `.venv/bin/python -m tests.fuzz --inputs 1000000 --seed 1`. Its counts belong into docs/log.md."""

import argparse
import sys
import time

from tests.fuzz.run import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to try one again")
    parser.add_argument("--plans", type=int, default=500, help="every so many accepted configurations are planned; 0: none")
    options = parser.parse_args()
    began, shown = time.monotonic(), 0

    def report(result: Result, number: int) -> None:
        nonlocal shown
        while shown < len(result.failures):
            print(*result.failures[shown], flush=True)
            shown += 1
        if number % 20_000 == 0:
            print(f"{number} inputs, {len(result.failures)} failures, {time.monotonic() - began:.0f} s", flush=True)

    result = run(options.seed, options.first, options.inputs, options.plans, report)
    print(result.table())
    print(f"seed {options.seed}: {options.inputs} inputs, {len(result.failures)} failures, {time.monotonic() - began:.0f} s")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
