"""The child process of guarded.py: answers one question a line. What ends it here ends nothing else."""

import json
import os
import re
import sys

sys.path.pop(0)  # the folder of this script, whose modules belong to a package
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

try:
    import resource
except ImportError:  # Windows, where the parent's timer remains
    resource = None

MEMORY = 1 << 30
SECONDS = 5  # of processor time for a tokenizer, and one more for each mebibyte
PATTERN_SECONDS = 2  # for all questions of the same patterns
pattern_seconds: dict[tuple[str, ...], float] = {}  # that patterns have taken


def seconds_used() -> float:
    return sum(os.times()[:2])


def limit(seconds: int) -> None:
    """Ends this process where the next answer takes longer."""
    if resource is not None:
        most = int(seconds_used()) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def read_tokenizer(content: bytes) -> dict:
    """Whether the tokenizers library takes that tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        return {"value": Tokenizer.from_buffer(content).get_vocab_size()}
    except ValueError as error:
        return {"error": f"the tokenizer cannot be loaded: {error}"}


def find(patterns: list[str], text: str) -> dict:
    """For each pattern where its first match starts, or None."""
    key = tuple(patterns)
    before = seconds_used()
    try:
        found = [re.search(pattern, text) for pattern in patterns]
    except (re.error, OverflowError, RecursionError) as error:
        return {"error": f"a pattern that is no regular expression: {error}"}
    if key not in pattern_seconds:
        pattern_seconds.clear()
    pattern_seconds[key] = pattern_seconds.get(key, 0) + seconds_used() - before
    if pattern_seconds[key] > PATTERN_SECONDS:
        return {"error": "its patterns take too long"}
    return {"value": [match and match.start() for match in found]}


def main() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := sys.stdin.buffer.readline():
        question = json.loads(line)
        content = sys.stdin.buffer.read(question["bytes"])
        if "patterns" in question:
            limit(PATTERN_SECONDS)
            answer = find(question["patterns"], question["text"])
        else:
            limit(SECONDS + (len(content) >> 20))
            answer = read_tokenizer(content)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
