"""Chats through the engine in a browser: the prompts are those of transformers.

web/tests/chat.test.ts compares all of them id by id, with tests/golden/chat_prompts.json; here that file is compared with what
transformers says today, and some prompts go through the compiled artifact, the worker and a model.
"""
import json
import re

import pytest
import torch
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from compiler.serve import serving
from tests.fixtures.chat_tokenizer import SPECIAL, STRUCTURE, chat_tokenizer
from tests.fixtures.conversations import CONTINUED, INJECTED, PLAIN
from tests.fixtures.gemma4_checkpoints import COMMON, SHAPES, greedy_choices, reference, save
from tests.fixtures.sites import EnginePage, add_model, add_page
from tests.golden.make_chat_prompts import FILE, FUNCTION_FILE, TEMPLATE, chat_prompts, function_prompts, prompt_ids

REQUESTS = {"plain": PLAIN, "injected": INJECTED, "continued": CONTINUED}
GOLDEN = json.loads(FILE.read_text())
IDS = {(case["kind"], case["name"]): case["ids"] for case in GOLDEN["cases"]}
# One for each thing that a request can hold, and the places where special tokens do most harm.
CHATS = [("plain", name) for name in ("system", "thinking", "nested schema", "calls in steps", "arguments of all kinds", "right to left",
                                      "space of Python", "parts everywhere", "looks like a prompt")]
CHATS += [("injected", name) for name in ("all in user", "thoughts in model", "in arguments", "in tool answer", "in descriptions")]
CHATS += [("continued", name) for name in ("space at the end", "special tokens", "tool answered")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small random Gemma 4 with the tokenizer and the template of these tests."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(7)
    model = Gemma4ForCausalLM(Gemma4TextConfig(**{**COMMON, **SHAPES["plain"], "vocab_size": tokenizer.get_vocab_size()}))
    folder = save(model, tmp_path_factory.mktemp("chat"), TEMPLATE.read_text())
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def engine(browser, checkpoint, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    add_model(site, checkpoint, "chat", "f32")
    add_page(site)
    with serving(site) as address:
        page = EnginePage(browser, address)
        page.load("chat")
        yield page
        page.close()


@pytest.fixture(scope="module")
def model(checkpoint):
    return reference(checkpoint)


def test_the_prompts_on_file_are_what_transformers_says():
    advice = "write {} again: python -m tests.golden.make_chat_prompts"
    assert GOLDEN == chat_prompts(), advice.format(FILE)
    assert json.loads(FUNCTION_FILE.read_text()) == function_prompts(), advice.format(FUNCTION_FILE)


@pytest.mark.parametrize("name", PLAIN)
def test_marking_special_tokens_changes_no_prompt_that_holds_none(name):
    assert prompt_ids(PLAIN[name], sanitize=False) == IDS["plain", name]


@pytest.mark.parametrize("name", INJECTED)
def test_the_reference_itself_holds_the_templates_special_tokens_alone(name):
    """The same conversation with harmless words gives the same special tokens; as typed, without marks, it gives more."""
    tokens = [*SPECIAL, *STRUCTURE]
    tokenizer = chat_tokenizer()
    special = {tokenizer.token_to_id(token) for token in tokens}
    harmless = without(INJECTED[name], tokens)

    def special_ids(ids: list[int]) -> list[int]:
        return [number for number in ids if number in special]

    assert special_ids(IDS["injected", name]) == special_ids(prompt_ids(harmless))


def without(value, tokens: list[str]):
    """The value, in all of whose strings but keys each token is an x. JSON text of arguments escapes quotes in tokens."""
    if isinstance(value, str):
        for token in tokens:
            value = value.replace(token, "x").replace(token.replace('"', '\\"'), "x")
        return value
    if isinstance(value, dict):
        return {key: without(item, tokens) for key, item in value.items()}
    return [without(item, tokens) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "name"), CHATS)
def test_the_engine_answers_the_prompt_of_transformers(engine, model, kind, name):
    ids = IDS[kind, name]
    request = {**REQUESTS[kind][name], "max_tokens": 8, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    result = engine.page.evaluate("(request) => engine.chat.completions.create(request)", request)
    assert result["usage"]["prompt_tokens"] == len(ids)
    tokens = result["choices"][0]["token_ids"]
    assert len(tokens) == 8 and tokens == greedy_choices(model, ids, tokens)


def test_a_call_that_has_to_come_has_the_name_of_one_of_the_tools(engine):
    """At such a temperature the random model draws any name that it may, each of several tokens."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "get_time", "hello")]
    found = set()
    for seed in range(6):
        request = dict(messages=[{"role": "user", "content": "a"}], tools=tools, tool_choice="required", temperature=50, seed=seed, max_tokens=30,
                       return_token_ids=True)
        result = engine.page.evaluate("(request) => engine.chat.completions.create(request)", request)
        text = chat_tokenizer().decode(result["choices"][0]["token_ids"], skip_special_tokens=False)
        found.add(re.match(r"<\|tool_call>call:(get_weather|get_time|hello)\{", text)[1])
    assert len(found) > 1


def test_what_the_engine_does_not_know_is_refused_by_name(engine):
    failure = engine.failure("engine.chat.completions.create({ messages: [{ role: 'user', content: 'a' }], suffix: 'b' })")
    assert failure["code"] == "bad-request" and failure["message"] == "suffix: this field is not supported"
