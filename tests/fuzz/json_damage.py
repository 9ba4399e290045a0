"""Damages JSON: another value at any path, keys lost, doubled or renamed, and texts that are not quite JSON."""

import json
from random import Random
from typing import Any

from tests.fuzz.values import DIGITS, cut_or_flip, odd_number, odd_value


def json_text(value: Any) -> bytes:
    """The value as JSON; half surrogate pairs stay escapes, and DIGITS becomes a number that Python would not write."""
    return json.dumps(value, ensure_ascii=True).replace(f'"{DIGITS}"', "9" * 5000).encode()


def paths(value: Any, at: tuple = ()) -> list[tuple]:
    """All places in a document. Of long lists and objects, only a few."""
    found = [at]
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in items[:40]:
        found += paths(inner, (*at, key))
    return found


def damaged_document(document: Any, random: Random) -> Any:
    """A copy with one to three values changed."""
    document = json.loads(json.dumps(document))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = random.choice(paths(document))
        if not at:
            continue
        holder = document
        for key in at[:-1]:
            holder = holder[key]
        key, value = at[-1], holder[at[-1]]
        kind = random.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[random.choice((str(key) + "x", "", str(key).upper(), "type", "rope_scaling", "sliding_window_pattern"))] = holder.pop(key)
        elif kind == 2 and isinstance(holder, list):
            holder[key:key] = [value] * random.choice((1, 2, 50))
        elif kind == 3 and isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = random.choice((value + 1, value - 1, -value, value * 2, value + 0.0 if abs(value) < 2**1000 else 0, str(value)[:99], odd_number(random), [value]))
        elif kind == 4 and isinstance(value, str):
            holder[key] = random.choice((value[:-1], value * 2, value.upper(), [value], value + "\0", value * 2000, "\ud800" + value))
        elif kind == 5:
            other = document
            for step in random.choice(paths(document)):
                other = other[step]
            holder[key] = json.loads(json.dumps(other))
        else:
            holder[key] = odd_value(random)
    return document


def damaged_json(content: bytes, random: Random) -> bytes:
    """The text of a JSON document with something wrong, or something that means nothing."""
    kind = random.randrange(12)
    if kind == 0:
        return cut_or_flip(content, random)
    if kind == 1:  # one key twice
        end = content.rstrip().rindex(b"}")
        key = random.choice(list(json.loads(content)))
        return content[:end] + b"," + json_text({key: odd_value(random)})[1:-1] + content[end:]
    if kind == 2:
        return random.choice((b"\xef\xbb\xbf" + content, content.decode().encode("utf-16"), b"\n \t" + content + b"\n\n", content + b"{}", content + b"\0"))
    if kind == 3:
        return b'{"a":' * random.choice((10, 2000, 100000)) + content
    if kind == 4:
        return random.choice((b"", b"null", b"[]", b"0", b'"a"', b"[" * 100000, b"{", b"1" * 5000, b"\xff", b'"\\ud800"', b"NaN", b"{" + b'"a":1,' * 9 + b'"b":1}'))
    if kind == 5:
        return json.dumps(json.loads(content), indent=random.choice((None, 1)), ensure_ascii=random.random() < 0.5, sort_keys=True).encode()
    return json_text(damaged_document(json.loads(content), random))
