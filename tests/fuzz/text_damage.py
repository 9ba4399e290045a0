"""Damages what people write: chat templates, READMEs, licences; and the index, whose texts are names of files."""

import json
from random import Random

from tests.fuzz.json_damage import damaged_json, json_text
from tests.fuzz.values import cut_or_flip

TAGS = ("{%", "%}", "{{", "}}", "{#", "#}", "{% if x %}", "{% endif %}", "{% for a in b %}", "{% endfor %}", "{% else %}", "{% macro f(x) %}", "{% endmacro %}",
        "{% generation %}", "{% endgeneration %}", "{% break %}", "{% set x = 1 %}", "{% raw %}", "{{ x | tojson(indent=2) }}", "{{ x[1:-1] }}", "'", "\"", "\\",
        "{{ 1e999 }}", "{{ " + "(" * 300, "{{ " + "9" * 5000 + " }}", "{% include 'x' %}", "{% import 'x' as y %}", "\0", "{{ '\\x' }}", "-%}", "{%-")  # fmt: skip
LINKS = ("javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "https://example.org/ok", "http://h", "file:///etc/passwd", "//h/x", "https:", "https://", "https://[", "ftp://h",
         "https://a b", "vbscript:x", " https://h", "https://h\"onclick=x")  # fmt: skip
FILES = ("../model-00001-of-00002.safetensors", "/etc/passwd", "", ".", "..", "a/b.safetensors", "\0", "missing.safetensors", "config.json", "C:\\x", "x" * 5000, "./model-00001-of-00002.safetensors")


def damaged_template(content: bytes, random: Random) -> bytes:
    kind = random.randrange(24)
    place = random.randrange(len(content))
    if kind == 0:
        return cut_or_flip(content, random)
    if kind == 1:
        return random.choice((b"{% if x %}" * 400, b"{{ x" + b".a" * 2000 + b" }}", b"{{ " + b"-" * 2000 + b"1 }}", b" " * 100000, b"{" * 5000, b"{#" * 5000, b"x" * 2_000_000))
    pieces = "".join(random.choice(TAGS) for _ in range(random.choice((1, 1, 2, 5)))).encode()
    return content[:place] + pieces + content[place:] if kind < 18 else pieces


def damaged_readme(content: bytes, random: Random) -> bytes:
    kind = random.randrange(8)
    if kind == 0:
        return cut_or_flip(content, random)
    if kind == 1:
        return random.choice((b"---\n" + b"\n" * 200000, b"---" + b" " * 200000, b"---\nlicense: " + b"x" * 100000, b"\xff" * 1000, b"---\n---\n", b"---\nlicense:\n---", b"-" * 100000, b"x" * 2_000_000))
    link, name = random.choice(LINKS), random.choice(("mit", "gemma", "apache-2.0", "other", "", "x y", "\0", "[a, b]", "'q", "GEMMA"))
    return f"---\nlicense: {name}\nlicense_link: {link}\nlicense_name: {name}\n---\n".encode()


def damaged_index(content: bytes, random: Random) -> bytes:
    if random.random() < 0.5:
        return damaged_json(content, random)
    document = json.loads(content)
    places = document["weight_map"]
    name, other = random.choice(list(places)), random.choice(list(places))
    kind = random.randrange(5)
    if kind == 0:
        places[name] = random.choice(FILES)
    elif kind == 1:
        places[name] = "model-00002-of-00002.safetensors" if "00001" in places[name] else "model-00001-of-00002.safetensors"
    elif kind == 2:
        del places[name]
    elif kind == 3:
        places[other + "x"] = places.pop(other)
    else:
        document["weight_map"] = dict(random.sample(list(places.items()), len(places)))
        document.pop("metadata")
    return json_text(document)
