"""Tools and thoughts of a chat, from the request to a model in the browser: its own wishes are none, so that biases lead it through an answer."""
import re

import pytest
import torch
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from compiler.serve import serving
from tests.fixtures.chat_tokenizer import chat_tokenizer
from tests.fixtures.conversations import PLAIN
from tests.fixtures.gemma4_checkpoints import COMMON, SHAPES, save
from tests.fixtures.sites import EnginePage, add_model, add_page
from tests.golden.make_chat_prompts import TEMPLATE, prompt_ids


@pytest.fixture(scope="module")
def engine(browser, tmp_path_factory):
    """With a small random Gemma 4 whose logits are all near 0, since its embeddings are."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(7)
    model = Gemma4ForCausalLM(Gemma4TextConfig(**{**COMMON, **SHAPES["plain"], "vocab_size": tokenizer.get_vocab_size()}))
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1e-3)
    folder = save(model, tmp_path_factory.mktemp("chat"), TEMPLATE.read_text())
    tokenizer.save(str(folder / "tokenizer.json"))
    site = tmp_path_factory.mktemp("site")
    add_model(site, folder, "chat", "f32", targets=("wasm",))
    add_page(site)
    with serving(site) as address:
        page = EnginePage(browser, address)
        page.load("chat", threads=1)
        yield page
        page.close()


def led_through(engine: EnginePage, *tokens: str) -> dict:
    """Fields that let the model draw these tokens, at most three, and then end: what was drawn has a logit that is 4 less."""
    tokenizer = chat_tokenizer()
    end = engine.page.evaluate("async () => (await (await fetch('models/chat/model.json')).json()).tokenizer.stop[0]")
    bias = dict(zip(map(tokenizer.token_to_id, tokens), (100, 98.5, 97.5))) | {end: 96.5}
    return {"logit_bias": bias, "presence_penalty": 2, "frequency_penalty": 2, "temperature": 0, "max_tokens": 40}


def joined(chunks: list[dict], field: str) -> str:
    return "".join(choice["delta"].get(field) or "" for chunk in chunks for choice in chunk["choices"])


def test_a_tool_is_called_and_its_answer_goes_on_in_the_conversation(engine):
    tools = [{"type": "function", "function": {"name": name}} for name in ("today", "now")]
    asked = {"role": "user", "content": "What time is it?"}
    request = {"tools": tools, "tool_choice": {"type": "function", "function": {"name": "now"}}, **led_through(engine, "}", "<tool_call|>")}
    chunks = engine.stream(messages=[asked], **request)
    call, *more = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert call["function"] == {"name": "now", "arguments": "{"} and more == [{"index": 0, "function": {"arguments": "}"}}]
    call["function"]["arguments"] += "}"
    assert call["index"] == 0 and joined(chunks, "content") == ""
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    said = {"role": "assistant", "content": None, "tool_calls": [{key: call[key] for key in ("id", "type", "function")}]}
    conversation = [asked, said, {"role": "tool", "tool_call_id": call["id"], "content": "noon"}]
    answer = engine.page.evaluate("(request) => engine.chat.completions.create(request)", {"messages": conversation, "tools": tools, "max_tokens": 2})
    assert answer["usage"]["prompt_tokens"] == len(prompt_ids({"messages": conversation, "tools": tools}))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_thoughts_come_apart_from_the_text_and_end_at_their_budget(engine):
    request = {"reasoning_effort": "high", "thinking_budget": 1, **led_through(engine, "<|channel>", "W", "h")}
    chunks = engine.stream(messages=[{"role": "user", "content": "Why?"}], stream_options={"include_usage": True}, **request)
    assert joined(chunks, "reasoning_content") == "Wh" and joined(chunks, "content") == ""
    # The first token of a thought without a label is what shows that there is none.
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop" and chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1


def test_a_thought_that_the_prompt_opens_is_one(engine):
    conversation = PLAIN["thought opened"]
    request = {**conversation, **led_through(engine, "W", "<channel|>", "h")}
    answer = engine.page.evaluate("(request) => engine.chat.completions.create(request)", request)
    message = answer["choices"][0]["message"]
    assert answer["usage"]["prompt_tokens"] == len(prompt_ids(conversation))
    assert [message["reasoning_content"], message["content"]] == ["W", "h"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    chunks = engine.stream(**request)
    assert [joined(chunks, "reasoning_content"), joined(chunks, "content")] == ["W", "h"]


def test_the_form_of_an_answer_begins_behind_a_thought_that_the_prompt_opens(engine):
    """The model would end its turn behind the first token: that is masked until the thought is closed."""
    request = {**PLAIN["thought opened"], **led_through(engine, "W"), "regex": "h+e", "thinking_budget": 3}
    choice = engine.page.evaluate("(request) => engine.chat.completions.create(request)", request)["choices"][0]
    assert len(choice["message"]["reasoning_content"]) >= 3
    assert re.fullmatch("h+e", choice["message"]["content"]) and choice["finish_reason"] == "stop"
