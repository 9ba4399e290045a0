"""The chat of the page: what messages look like, and what a person can do with them."""
import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.chat_page import ask, done, messages, press

# The answers of random weights are noise, so where a certain answer is needed the view has an engine that streams what the test says. "wait" holds the
# stream until `release` is called or the answer is stopped.
SCRIPTED = """async () => {
    await import("./gemlet-chat.js");
    Object.assign(globalThis, { deltas: [], requests: [], told: [], statuses: [], finish: "stop" });
    const wait = (signal) => new Promise((resolve) => {
        globalThis.release = resolve;
        signal.addEventListener("abort", resolve);
    });
    async function* stream(signal) {
        const chunk = (delta, finish_reason = null) => ({ choices: [{ delta, finish_reason, token_ids: [1], ...(finish_reason && signal.aborted && { aborted: true }) }] });
        yield chunk({ role: "assistant", content: "" });
        for (const delta of deltas) {
            if (delta === "wait") await wait(signal);
            else yield chunk(delta);
        }
        yield chunk({}, finish);
        const gemlet = { decode_tokens_per_second: 10, time_to_first_token_ms: 5, prefill_tokens_per_second: 10 };
        yield { choices: [], usage: { completion_tokens: 3, total_tokens: 43, gemlet } };
    }
    const create = async ({ signal, ...request }) => {
        requests.push(structuredClone(request));
        return stream(signal);
    };
    globalThis.view = document.createElement("gemlet-chat-view");
    Object.assign(view, { engine: { info: { context: 100 }, chat: { completions: { create } } } });
    view.style.height = "600px";
    view.addEventListener("gemlet-messages", ({ messages }) => told.push(messages));
    view.addEventListener("gemlet-status", ({ status, error }) => statuses.push([status, error?.message ?? null]));
    document.body.replaceChildren(view);
}"""
HOSTILE = """<script>globalThis.harm = 1</script><img src="https://evil.example/a.png" onerror="globalThis.harm = 1"><iframe src="https://evil.example/"></iframe>
<table background="https://evil.example/b.png"><tr><td background="https://evil.example/c.png" onclick="globalThis.harm = 1">cell</td></tr></table>
<button onclick="globalThis.harm = 1">Press</button><gemlet-copy></gemlet-copy><p style="background: url(https://evil.example/d.png)">styled</p>

[one](javascript:globalThis.harm=1) <a href="javascript:globalThis.harm=1">two</a> ![picture](https://evil.example/e.png) [three](https://good.example/)"""
CALL = {"id": "call-1", "type": "function", "function": {"name": "look_up", "arguments": '{"word":"sea","large":12345678901234567890}'}}


@pytest.fixture(scope="module")
def scripted_page(browser, wasm_address):
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(wasm_address + "blank.html")
    yield page
    page.close()


@pytest.fixture
def page(scripted_page):
    """A new view with the engine above."""
    scripted_page.evaluate(SCRIPTED)
    return scripted_page


def say(page: Page, *deltas: dict | str) -> None:
    """What the next answers stream."""
    page.evaluate("(said) => { globalThis.deltas = said; }", list(deltas))


def answer(page: Page):
    return page.get_by_label("Answer", exact=True)


def open_conversation(page: Page, *conversation: dict) -> None:
    page.evaluate("(messages) => { view.messages = messages; }", list(conversation))


def test_a_thought_is_open_while_it_is_written_and_folded_in_the_answer(page):
    say(page, {"reasoning_content": "Salt, **rain**"}, "wait", {"content": "Because of *rivers*."})
    ask(page, "Why is the sea salt?")
    expect(answer(page).get_by_text("Thinking…")).to_be_visible()
    expect(answer(page).locator("strong", has_text="rain")).to_be_visible()
    page.evaluate("release()")
    done(page)
    expect(answer(page).locator("em", has_text="rivers")).to_be_visible()
    expect(answer(page).locator("strong", has_text="rain")).to_be_hidden()
    answer(page).get_by_text("Thought", exact=True).click()
    expect(answer(page).locator("strong", has_text="rain")).to_be_visible()
    assert messages(page)[-1] == {"role": "assistant", "content": "Because of *rivers*.", "reasoning_content": "Salt, **rain**"}


def test_a_call_alone_stays_with_its_answer_beneath_and_json_is_set_out_in_lines(page):
    say(page, {"tool_calls": [{"index": 0, **CALL}]})
    ask(page, "What is the sea?")
    done(page)
    call = page.get_by_role("region", name="Call of look_up")
    expect(call.locator("pre code")).to_have_text('{\n  "word": "sea",\n  "large": 12345678901234567890\n}')
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("")
    conversation = [{"role": "user", "content": "What is the sea?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "call-1", "content": "much water"}]
    assert messages(page) == conversation[:2]
    open_conversation(page, *conversation)
    expect(call.get_by_text("much water")).to_be_visible()
    expect(page.get_by_label("Tool answer")).to_have_count(0)
    say(page, {"content": '{"sea":'}, {"content": '["water", 1.0]}'})
    press(page, "Get an answer")
    done(page)
    expect(answer(page).locator("pre code")).to_have_text('{\n  "sea": [\n    "water",\n    1.0\n  ]\n}')
    expect(answer(page).get_by_text("json", exact=True)).to_be_visible()
    assert page.evaluate("requests.at(-1).messages") == conversation
    assert messages(page)[-1]["content"] == '{"sea":["water", 1.0]}'


def test_a_call_is_shown_while_it_is_written_and_half_of_one_is_kept_as_text(page):
    name = {"index": 0, **CALL, "function": {"name": "look_up", "arguments": '{"word":'}}
    say(page, {"tool_calls": [name]}, {"tool_calls": [{"index": 0, "function": {"arguments": '"se'}}]}, "wait", {"content": 'call:look_up{word:"se'})
    ask(page, "What is the sea?")
    expect(page.get_by_role("region", name="Call of look_up").locator("pre code")).to_have_text('{"word":"se')
    page.evaluate("release()")
    done(page)
    expect(page.get_by_role("region", name="Call of look_up")).to_have_count(0)
    assert messages(page)[-1] == {"role": "assistant", "content": 'call:look_up{word:"se'}


def test_html_and_links_that_a_model_writes_do_nothing_and_ask_no_host(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    call = {**CALL, "function": {"name": "<img src=x onerror='globalThis.harm = 1'>", "arguments": f'{{"a": "<b>{"x" * 5}</b>"}}'}}
    say(page, {"reasoning_content": HOSTILE}, {"content": HOSTILE}, {"tool_calls": [{"index": 0, **call}]})
    ask(page, HOSTILE)
    done(page)
    answer(page).get_by_text("Thought", exact=True).click()
    expect(answer(page).get_by_text("styled").first).to_be_visible()
    shown = answer(page)
    expect(shown.get_by_text("<script>globalThis.harm = 1</script>").first).to_be_visible()  # as it was written
    for refused in ("script", "img", "iframe", "button:not(.small)", ":not(.bar) > gemlet-copy", "[onclick]", "[onerror]", "[style]", "[background]", "[href^='javascript']"):
        expect(shown.locator(refused)).to_have_count(0)
    link = shown.get_by_role("link", name="three").first
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
    expect(page.get_by_label("Your message")).to_contain_text("<script>globalThis.harm = 1</script>")
    page.wait_for_timeout(200)
    assert page.evaluate("globalThis.harm") is None
    assert asked == []


def test_what_markdown_does_not_make_takes_nothing_of_the_page_and_what_nests_deep_is_shown(page):
    text = 'one <slot name="actions"></slot> <style>* { display: none }</style> <p id="x" class="user" data-a="b">two</p>'
    say(page, {"content": text})
    ask(page, "HTML?")
    done(page)
    shown = answer(page).locator(".markdown")
    expect(shown.locator("slot, style, [id], [data-a], .user")).to_have_count(0)
    expect(shown).to_have_text(text)
    expect(page.get_by_role("button", name="Copy answer")).to_be_visible()
    for text, tag in (("> " * 3000 + "deep", "blockquote"), ("- " * 3000 + "deep", "ul"), ("![a](https://evil.example/a.png)", "a[href^=https]")):
        open_conversation(page, {"role": "user", "content": "?"}, {"role": "assistant", "content": text})
        expect(shown.locator(tag).first).to_be_visible()
        expect(shown).to_contain_text("deep" if "deep" in text else "a")


def test_tasks_keep_their_state_and_each_block_has_the_direction_of_its_text(page):
    open_conversation(page, {"role": "user", "content": "שלום"}, {"role": "assistant", "content": "- [x] done\n- [ ] to do\n\nשלום עולם\n\nhello"})
    boxes = answer(page).get_by_role("checkbox")
    assert boxes.evaluate_all("(boxes) => boxes.map(({ checked, disabled }) => [checked, disabled])") == [[True, True], [False, True]]
    directions = answer(page).locator("p").evaluate_all("(blocks) => blocks.map((block) => getComputedStyle(block).direction)")
    assert directions == ["rtl", "ltr"]
    assert page.get_by_label("Your message").evaluate("(message) => getComputedStyle(message).direction") == "rtl"


def test_an_answer_that_was_cut_goes_on_also_inside_its_thought_and_a_whole_one_does_not(page):
    page.evaluate("finish = 'length'")
    say(page, {"reasoning_content": "Salt and"})
    ask(page, "Why?")
    done(page)
    assert page.evaluate("statuses.at(-1)[0]").startswith("Done, cut at its longest")
    page.evaluate("finish = 'stop'")
    say(page, {"reasoning_content": " rain."}, {"content": "Rivers."})
    press(page, "Continue answer")
    done(page)
    assert messages(page)[-1] == {"role": "assistant", "content": "Rivers.", "reasoning_content": "Salt and rain."}
    assert page.evaluate("requests.at(-1).continue_final_message")
    expect(page.get_by_role("button", name="Continue answer")).to_have_count(0)
    expect(page.get_by_role("button", name="Regenerate answer")).to_be_visible()


def test_code_has_its_language_and_buttons_copy_it_or_the_whole_answer(page):
    text = "Look:\n\n- item\n\n  ```js\n  nested();\n  ```\n\n```python\nprint('<b>')\n```"
    say(page, {"content": text})
    ask(page, "Code?")
    done(page)
    code = answer(page).locator("gemlet-copy")
    for button, name, copied in ((code.nth(0), "Copy code", "nested();"), (code.nth(1), "Copy code", "print('<b>')"), (page.locator("gemlet-copy[slot]"), "Copy answer", text)):
        button.get_by_role("button", name=name, exact=True).click()
        expect(button.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").rstrip("\n") == copied
    expect(code.get_by_role("button", name="Copy code")).to_have_count(2)  # again, after a while
    expect(answer(page).get_by_text("js", exact=True)).to_be_visible()
    expect(answer(page).get_by_text("python", exact=True)).to_be_visible()


def test_another_conversation_stops_the_answer_which_leaves_no_trace_in_it(page):
    say(page, {"content": "first "}, "wait", {"content": "late"})
    ask(page, "One")
    expect(answer(page)).to_contain_text("first")
    other = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two"}, {"role": "assistant", "content": "second"}]
    told = page.evaluate("told.length")
    open_conversation(page, *other)
    done(page)
    expect(answer(page)).to_have_text("second")
    assert page.evaluate("statuses.at(-1)") == ["", None]  # what was said of the other does not hold here
    expect(page.get_by_text("Instructions")).to_be_visible()
    page.wait_for_timeout(100)  # what is left of the stream
    assert messages(page) == other and page.evaluate("told.length") == told
    say(page, {"content": "third"})
    ask(page, "Three")
    done(page)
    expected = [*other, {"role": "user", "content": "Three"}]
    assert page.evaluate("requests.at(-1).messages") == expected
    assert messages(page) == page.evaluate("told.at(-1)") == [*expected, {"role": "assistant", "content": "third"}]
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_text("Ask something.")).to_be_visible()
    assert messages(page) == page.evaluate("told.at(-1)") == other[:1]
    page.evaluate("view.listed = true")
    expect(page.get_by_role("button", name="New chat")).to_have_count(0)


def test_the_page_is_told_of_a_long_answer_while_it_is_written_so_that_leaving_loses_little(page):
    say(page, {"content": "begun"}, "wait", {"content": " later"}, "wait", {"content": " end"})
    ask(page, "One")
    expect(answer(page)).to_contain_text("begun")
    page.wait_for_timeout(1100)  # it is told at most once a second
    page.evaluate("release()")
    expect(answer(page)).to_contain_text("begun later")
    asked = {"role": "user", "content": "One"}
    assert page.evaluate("told.at(-1)") == [asked, {"role": "assistant", "content": "begun later"}]
    assert messages(page) == [asked]
    page.get_by_role("button", name="Stop").click()
    done(page)
    stopped = [asked, {"role": "assistant", "content": "begun later end"}]
    assert messages(page) == page.evaluate("told.at(-1)") == stopped
    say(page, "wait")
    page.get_by_role("button", name="Continue answer").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    assert page.evaluate("told.at(-1)") == stopped
    page.get_by_role("button", name="Stop").click()
    done(page)
    assert messages(page) == page.evaluate("told.at(-1)") == stopped


def test_a_message_is_changed_with_the_keyboard_and_what_fails_is_not_lost(page):
    conversation = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "first"}]
    open_conversation(page, *conversation)
    edit = page.get_by_role("button", name="Edit message")
    edit.focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="Changed message")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(edit).to_be_focused()
    page.keyboard.press("Enter")
    say(page)  # an answer without anything
    box.fill("Changed")
    page.keyboard.press("Enter")
    done(page)
    assert messages(page) == conversation
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("Changed")
    press(page, "Regenerate answer")
    done(page)
    assert messages(page) == conversation


def test_the_list_is_read_out_when_an_answer_is_whole_and_stays_where_the_reader_is(page):
    lines = "\n\n".join(f"line {number}" for number in range(40))
    say(page, {"content": lines}, "wait", {"content": lines}, "wait", {"content": "the end"})
    ask(page, "Much?")
    log = page.get_by_role("log")
    scroller = page.get_by_role("region", name="Conversation")
    expect(answer(page)).to_have_attribute("aria-busy", "true")
    expect(log.get_by_label("Answer", exact=True)).to_have_count(0)
    from_end = "(list) => list.scrollHeight - list.scrollTop - list.clientHeight"
    at_end = f"() => ({from_end})(view.shadowRoot.querySelector('.messages')) < 2"
    page.wait_for_function(at_end)
    height = scroller.evaluate("(list) => list.scrollHeight")
    page.evaluate("release()")
    page.wait_for_function("(height) => view.shadowRoot.querySelector('.messages').scrollHeight > 1.5 * height", arg=height)
    page.wait_for_function(at_end)
    scroller.hover()
    page.mouse.wheel(0, -700)
    page.wait_for_function(f"() => !({at_end})()")
    place = scroller.evaluate("(list) => list.scrollTop")
    page.evaluate("release()")
    done(page)
    assert scroller.evaluate("(list) => list.scrollTop") == place
    expect(log.get_by_label("Answer", exact=True)).to_have_attribute("aria-busy", "false")
    expect(page.get_by_text("43 of 100 tokens")).to_be_visible()
    assert page.get_by_role("meter").evaluate("(meter) => [meter.value, meter.max]") == [43, 100]
