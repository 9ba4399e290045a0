"""Texts of a checkpoint that no Gemma has: refused by file and place, in bounded time, before anything is compiled."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.chat_template import check_template
from compiler.checkpoint.guarded import guarded
from compiler.checkpoint.license import UNKNOWN, folder_license, gguf_license, license_named
from compiler.checkpoint.mobile import read_quantization
from compiler.checkpoint.texts import read_texts
from compiler.checkpoint.tokenizer import tokenizer_json_from_folder, tokenizer_json_from_gguf
from compiler.checkpoint.tokenizer_merges import LONGEST_PIECE, merges_of_pieces, needed_merges
from compiler.errors import GemletError
from tests.fuzz import seeds

SECONDS = 10  # processor time of this process that no input may need
TEMPLATES = Path(__file__).parents[1] / "fixtures" / "templates"


@pytest.fixture(autouse=True)
def bounded():
    begun = time.process_time()
    yield
    assert time.process_time() - begun < SECONDS


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, content in seeds.folder().items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def changed_tokenizer(folder: Path, **model) -> Path:
    document = seeds.tokenizer()
    (folder / "tokenizer.json").write_text(json.dumps(document | {"model": document["model"] | model}))
    return folder


def test_what_ends_the_process_that_reads_a_tokenizer_ends_no_other(folder):
    changed_tokenizer(folder, continuing_subword_prefix="abcdef")  # the library cuts it off of shorter tokens, and panics
    for _ in range(2):
        with pytest.raises(GemletError, match=r"tokenizer\.json: .*ends the process that reads it"):
            tokenizer_json_from_folder(folder)
    changed_tokenizer(folder)
    assert b'"merges"' in tokenizer_json_from_folder(folder)  # and the next one is read as ever


@pytest.mark.parametrize(("changes", "message"), [
    ({"merges": None}, "tokenizer"), ({"merges": [["a"]]}, "tokenizer"), ({"merges": [["a", 1]]}, "tokenizer"), ({"vocab": []}, "tokenizer"),
    ({"vocab": {"a": -1}}, "tokenizer"), ({"vocab": {"a": 2**40}}, "tokenizer"), ({"dropout": "x"}, "tokenizer"),
])  # fmt: skip
def test_a_tokenizer_of_wrong_types_is_refused_by_name(folder, changes, message):
    with pytest.raises(GemletError, match=rf"tokenizer\.json: .*{message}"):
        read_texts(open_checkpoint(changed_tokenizer(folder, **changes)))


@pytest.mark.parametrize(("content", "message"), [
    (b"{" * 100_000, "cannot be loaded"), (b'{"a":' * 100_000, "nests too deeply"), (b"\xff\xfe{}", "utf-8"), (b"null", "expected a JSON object"),
    (b'{"model": {}, "model": {}}', "the key 'model' is there twice"), (b" " * (64 << 20) + b"{}", "more than 67108864 bytes"),
])  # fmt: skip
def test_a_tokenizer_json_that_is_none_is_refused_by_name(folder, content, message):
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(GemletError, match=rf"tokenizer\.json: .*{message}"):
        tokenizer_json_from_folder(folder)


def test_a_tokenizer_far_smaller_than_the_vocabulary_is_refused(folder):
    changed_tokenizer(folder, vocab={"<unk>": 0, "a": 1, "b": 2}, merges=[])
    document = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(document | {"added_tokens": []}))
    with pytest.raises(GemletError, match="the tokenizer has 3 tokens, but the model's vocabulary 13"):
        read_texts(open_checkpoint(folder))


@pytest.mark.parametrize("stated", [99, -1, [1, 13], 2**70, True, "<absent>", [[1]], 1.0])
def test_an_end_that_is_no_token_of_the_vocabulary_is_refused(folder, stated):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stated}))
    with pytest.raises(GemletError, match="eos_token_id"):
        read_texts(open_checkpoint(folder))


def test_merges_of_one_letter_take_bounded_time():
    pieces = ["a" * length for length in range(1, 3001)]
    merges = [("a", piece) for piece in pieces] + [(piece, "a") for piece in pieces]
    needed = needed_merges(merges)
    assert len(needed) >= len(pieces) and set(needed) <= set(merges)
    assert {merge for merge in merges if len("".join(merge)) > LONGEST_PIECE} <= set(needed)


def test_a_token_of_300000_characters_is_refused_before_it_is_cut():
    fields = {key: value.value for key, value in seeds.gguf(3).fields.items()}
    fields["tokenizer.ggml.tokens"] = [*fields["tokenizer.ggml.tokens"][:-1], "a" * 300_000]
    with pytest.raises(GemletError, match=r"x\.gguf: tokenizer\.ggml\.tokens: token 268 has 300000 characters"):
        tokenizer_json_from_gguf(fields, Path("x.gguf"))
    assert next(iter(merges_of_pieces(["ab", "a", "b"]))) == ("a", "b")


@pytest.mark.parametrize(("key", "value", "message"), [
    ("tokens", 3, "tokens: expected a list, found 3"), ("tokens", [1], "tokens: expected a text, found 1"), ("scores", ["a"], "scores: expected a number"),
    ("scores", [float("nan")] * 269, "scores: expected a number, found nan"), ("token_type", [1.5] * 269, "token_type: expected a whole number"),
    ("token_type", 1, "token_type: expected a list"), ("bos_token_id", "2", "bos_token_id: expected a whole number"), ("bos_token_id", True, "bos_token_id"),
    ("model", ["llama"], "model: expected a text"),
])  # fmt: skip
def test_a_vocabulary_of_wrong_types_is_refused_by_key(key, value, message):
    fields = {name: each.value for name, each in seeds.gguf(3).fields.items()} | {f"tokenizer.ggml.{key}": value}
    with pytest.raises(GemletError, match=rf"x\.gguf: metadata tokenizer\.ggml\.{message}"):
        tokenizer_json_from_gguf(fields, Path("x.gguf"))


@pytest.mark.parametrize(("template", "message"), [
    ("{% if x %}", "line 1: Unexpected end of template"), ("{{ x", "line 1"), ("a\n{% frob %}", "line 2: Encountered unknown tag 'frob'"),
    ("{% for x in y %}{% endif %}", "line 1"), ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "it nests too deeply"),
    ("{% if x %}" * 5000, "nests too deeply|line 1"), ("{{ " + "9" * 5000 + " }}", "Exceeds the limit"), ("x" * (1 << 21), "2097152 characters"),
])  # fmt: skip
def test_a_template_that_does_not_parse_is_refused(template, message):
    with pytest.raises(GemletError, match=f"x: the chat template .*({message})"):
        check_template(template, "x")


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem)
def test_real_templates_parse(path):
    check_template(path.read_text("utf-8"), path)


def test_what_transformers_adds_to_jinja_parses():
    check_template(seeds.TEMPLATE + "{% for x in y %}{% if x %}{% break %}{% else %}{% continue %}{% endif %}{% endfor %}", "x")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "JavaScript:x", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "//host/x", "https://", "https:x",
                                  "java\tscript:x", " https://x", "https://x y", "https://x\"y", "https://[", "ftp://x/y", "https://x/" + "y" * 3000, "x", "\0"])  # fmt: skip
def test_only_web_addresses_are_kept_as_a_licences_link(tmp_path, link):
    assert license_named("mit", "gemma3_text", url=link).url == ""
    assert link not in license_named("mit", "gemma3_text", url=link).text or link == "x"
    fields = {"general.license": "mit", "general.license.link": link}
    assert gguf_license(fields, "gemma3_text", tmp_path / "x.gguf").url == ""


@pytest.mark.parametrize("link", ["https://example.org/a?b=c#d", "http://localhost:8080/x", "HTTPS://EXAMPLE.ORG"])
def test_web_addresses_are_kept(link):
    assert license_named("mit", "gemma3_text", url=link).url == link


@pytest.mark.parametrize("readme", ["---\n" + "\n" * 200_000, "---" + " " * 200_000, "---\n" + "license: " * 20_000, "-" * 300_000, "---\n" * 50_000])
def test_a_readme_of_any_kind_is_read_in_bounded_time(tmp_path, readme):
    (tmp_path / "README.md").write_text(readme)
    assert folder_license(tmp_path, "gemma3_text") == UNKNOWN


def test_a_license_file_has_a_bound(tmp_path):
    (tmp_path / "LICENSE").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(GemletError, match="LICENSE: the file has more than 1048576 bytes"):
        folder_license(tmp_path, "gemma3_text")


@pytest.mark.parametrize("key", ["general.license", "general.license.link", "general.license.name"])
def test_a_gguf_license_of_another_type_is_refused(key):
    with pytest.raises(GemletError, match=f"x.gguf: metadata {key}: expected a text, found 3"):
        gguf_license({key: 3}, "gemma3_text", Path("x.gguf"))


def quantization(**changes) -> dict:
    return {"quantization_config": {"quant_method": "gemma", "num_bits": 4, "quantize_embeddings": True} | changes}


@pytest.mark.parametrize("changes", [{"module_quant_configs": {"(.*a)*$": {"num_bits": 8}}}, {"modules_to_not_convert": ["(l*a*y*)*(x+x+)+y"]}])
def test_a_catastrophic_pattern_ends_in_bounded_time(changes):
    found = read_quantization(quantization(**changes), Path("config.json"))
    with pytest.raises(GemletError, match="config.json: quantization_config: .*too (much time|long)"):
        for name in ("a" * 60 + "!", "layers" + "x" * 60):
            found.bits(name)
            found.quantizes(name)


@pytest.mark.parametrize(("changes", "message"), [
    ({"module_quant_configs": {"(": {"num_bits": 8}}}, "a pattern that is no regular expression"), ({"modules_to_not_convert": ["["]}, "a pattern that is no"),
    ({"module_quant_configs": []}, "module_quant_configs: expected an object"), ({"module_quant_configs": {"a": 8}}, "'a': expected an object"),
    ({"modules_to_not_convert": "lm_head"}, "modules_to_not_convert: expected a list"), ({"modules_to_not_convert": [1]}, "expected a text, found 1"),
    ({"num_bits": [4]}, "num_bits: expected a whole number"), ({"num_bits": True}, "num_bits"), ({"quantize_embeddings": "no"}, "expected true or false"),
])  # fmt: skip
def test_a_quantization_of_wrong_types_is_refused_by_key(changes, message):
    with pytest.raises(GemletError, match=f"config.json: quantization_config.*{message}"):
        read_quantization(quantization(**changes), Path("config.json")).bits("a") and read_quantization(quantization(**changes), Path("config.json")).quantizes("a")


def test_the_child_ends_with_its_parent():
    program = "from compiler.checkpoint.guarded import guarded; guarded.ask('x', {'patterns': ['a'], 'text': 'a'}); print(guarded.child.pid)"
    pid = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_the_child_is_started_once_for_many_questions():
    guarded.ask("x", {"patterns": ["a"], "text": "ba"})
    child = guarded.child
    assert guarded.ask("x", {"patterns": ["a", "c"], "text": "ba"}) == [1, None]
    assert guarded.child is child
