"""Values that readers stumble over."""

import math
from random import Random

DIGITS = "a number of 5000 digits"
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 63, 64, 255, 256, 517, 1000, 65535, 65536, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
           2**53, 2**53 + 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30)  # fmt: skip
TEXTS = ("", " ", "a", "default", "gemma3_text", "gemma4_text", "full_attention", "../x", "/etc/passwd", "\0", "\n", "{{", "{% for %}", "x" * 300,
         "\u2581", "\U0001f600", "é", "\ufeff", "javascript:alert(1)", "(a+)+$", "(", "[", "1", "null", "<bos>", "linear")  # fmt: skip


def odd_number(random: Random) -> int:
    number = random.choice(NUMBERS)
    return -number if random.random() < 0.25 else number


def odd_value(random: Random) -> object:
    """A value of any type that JSON has, and some that Python's reader adds."""
    kind = random.randrange(9)
    if kind == 0:
        return odd_number(random)
    if kind == 1:
        return random.choice((0.0, -0.0, 0.5, 1.5, -1.0, 1e-45, 1e300, -1e300, math.nan, math.inf, -math.inf, 1e-6, 16.0))
    if kind == 2:
        return random.choice(TEXTS)
    if kind == 3:
        return None
    if kind == 4:
        return random.random() < 0.5
    if kind == 5:
        return random.choice(([], [[]], [None], [1], ["a"], [1, "a"], [{}], [1] * 100, ["a"] * 100))
    if kind == 6:
        return random.choice(({}, {"": None}, {"a": 1}, {"0": {}}, {"type": None}, {"type": "BPE"}, {"String": ""}, {"Regex": "("}))
    if kind == 7:
        value: object = None
        for _ in range(random.choice((2, 50, 130, 300))):
            value = [value] if random.random() < 0.5 else {"a": value}
        return value
    return random.choice((10**400, "9" * 5000, DIGITS, -(10**25)))


def cut_or_flip(content: bytes, random: Random) -> bytes:
    """Bytes lost, doubled, flipped or put between."""
    if not content:
        return b"\0"
    place = random.randrange(len(content))
    kind = random.randrange(6)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
    if kind == 2:
        return content[:place] + random.randbytes(random.randrange(1, 9)) + content[place:]
    if kind == 3:
        return content[:place] + content[place + random.randrange(1, 9) :]
    if kind == 4:
        return content[:place] + content[place : place + random.randrange(1, 99)] + content[place:]
    return random.choice((b"", b"\0" * 100, content[place:], content * 2, b"\xff\xfe" + content, b"<!DOCTYPE html><html></html>"))
