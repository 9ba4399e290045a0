"""Which chat template a checkpoint has: the one that transformers takes, or one that is named to the user."""
import json

import pytest
from transformers import AutoTokenizer

from compiler.checkpoint.template_choice import folder_template, gguf_template
from compiler.errors import GemletError
from tests.fixtures.gemma4_checkpoints import small_tokenizer

CONFIG, FILE, OLDER = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
EXTRA = "additional_chat_templates/rag.jinja"


def named(**templates: str) -> list[dict[str, str]]:
    return [{"name": name, "template": template} for name, template in templates.items()]


def write(folder, files: dict):
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


TAKEN = {  # files, and the template that transformers takes, too
    "a file": ({FILE: "file"}, "file"),
    "a file before the configuration": ({FILE: "file", CONFIG: {"chat_template": "config"}, OLDER: {"chat_template": "older"}}, "file"),
    "the configuration": ({CONFIG: {"chat_template": "config"}}, "config"),
    "the configuration before the older file": ({CONFIG: {"chat_template": "config"}, OLDER: {"chat_template": "older"}}, "config"),
    "a list with a default": ({CONFIG: {"chat_template": named(tool_use="tools", default="the default")}}, "the default"),
    "a file and further ones": ({FILE: "file", EXTRA: "rag", CONFIG: {"chat_template": "config"}}, "file"),
    "an object": ({CONFIG: {"chat_template": {"rag": "rag", "default": "the default"}}}, "the default"),
}
NAMED = {  # files, the template, and its name: transformers asks which of them
    "a list without a default": ({CONFIG: {"chat_template": named(tool_use="tools", rag="rag")}}, "rag", "rag"),
    "a list of one": ({CONFIG: {"chat_template": named(tool_use="tools")}}, "tools", "tool_use"),
    "further files alone": ({EXTRA: "rag"}, "rag", "rag"),
    "an object without a default": ({CONFIG: {"chat_template": {"b": "two", "a": "one"}}}, "one", "a"),
    "the older file's list": ({OLDER: {"chat_template": named(tool_use="tools")}}, "tools", "tool_use"),
}


@pytest.mark.parametrize(("files", "template"), TAKEN.values(), ids=TAKEN)
def test_the_template_is_the_one_of_transformers(tmp_path, files, template):
    write(tmp_path, files)
    small_tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert folder_template(tmp_path)[0] == template == AutoTokenizer.from_pretrained(tmp_path).get_chat_template()


def test_the_file_that_older_processors_wrote_is_read(tmp_path):
    write(tmp_path, {CONFIG: {}, OLDER: {"chat_template": "older"}})
    assert folder_template(tmp_path) == ("older", [])


@pytest.mark.parametrize(("files", "template", "name"), NAMED.values(), ids=NAMED)
def test_of_templates_without_a_default_one_is_taken_and_named(tmp_path, files, template, name):
    write(tmp_path, files)
    found, notes = folder_template(tmp_path)
    assert found == template and f"{name!r} is taken, since none is called 'default'" in notes[0]


def test_templates_that_are_left_out_are_named(tmp_path):
    write(tmp_path, {CONFIG: {"chat_template": named(default="a", rag="b", tool_use="c")}})
    assert folder_template(tmp_path)[1] == [f"{tmp_path}: of the chat templates 'default' is taken; left out: rag, tool_use."]


def test_without_a_template_there_is_no_chat_and_an_empty_one_is_told(tmp_path):
    assert folder_template(tmp_path) == (None, [])
    write(tmp_path, {CONFIG: {"chat_template": " \n"}})
    assert folder_template(tmp_path) == (None, [f"{tmp_path}: the chat template is empty, so that this is no chat model."])


@pytest.mark.parametrize(("files", "message"), [
    ({CONFIG: {"chat_template": 3}}, r"tokenizer_config\.json: chat_template: expected a text, or a list"),
    ({CONFIG: {"chat_template": ["x"]}}, r"chat_template\.0: expected an object, found 'x'"),
    ({CONFIG: {"chat_template": [{"name": "default"}]}}, r"chat_template\.0\.template: expected a text, found None"),
    ({CONFIG: {"chat_template": [{"template": "x", "name": 1}]}}, r"chat_template\.0\.name: expected a text, found 1"),
    ({CONFIG: {"chat_template": {"default": 1}}}, r"chat_template\.default: expected a text, found 1"),
    ({CONFIG: {"chat_template": "{% if %}"}}, r"tokenizer_config\.json: chat_template: the chat template does not parse: line 1"),
    ({FILE: "\n{{ x "}, r"chat_template\.jinja: the chat template does not parse: line 2"),
    ({OLDER: {}}, r"chat_template\.json: chat_template: expected a text, found None"),
])
def test_what_is_no_template_is_refused_by_file_and_field(tmp_path, files, message):
    write(tmp_path, files)
    with pytest.raises(GemletError, match=message):
        folder_template(tmp_path)


@pytest.mark.parametrize(("fields", "template", "note"), [
    ({}, None, None),
    ({"tokenizer.chat_template": "plain"}, "plain", None),
    ({"tokenizer.chat_template": "plain", "tokenizer.chat_template.tool_use": "tools"}, "plain", "left out: tool_use"),
    ({"tokenizer.chat_templates": ["tool_use"], "tokenizer.chat_template.tool_use": "tools"}, "tools", "'tool_use' is taken, since none"),
    ({"tokenizer.chat_template.default": "named", "tokenizer.chat_template.rag": "rag"}, "named", "left out: rag"),
])
def test_a_gguf_files_templates_are_read_by_name(tmp_path, fields, template, note):
    found, notes = gguf_template(fields, tmp_path / "a.gguf")
    assert found == template and (notes == [] if note is None else note in notes[0])


def test_a_gguf_files_template_is_a_text(tmp_path):
    with pytest.raises(GemletError, match=r"a\.gguf: metadata tokenizer\.chat_template: expected a text, found 3"):
        gguf_template({"tokenizer.chat_template": 3}, tmp_path / "a.gguf")
