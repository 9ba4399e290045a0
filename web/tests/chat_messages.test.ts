import { describe, expect, test } from "vitest";
import type { AssistantMessage, ChatMessage } from "../src/engine/openai";
import { NO_ANSWER, textOf, withDelta } from "../src/page/answer_message";
import { prettyJson } from "../src/page/pretty_json";
import { shownMessages } from "../src/page/shown_messages";

const call = { id: "call-1", type: "function" as const, function: { name: "look_up", arguments: '{"word":"sea"}' } };

describe("an answer adds up", () => {
  test("from thoughts, text and calls to the message that goes into the next request", () => {
    const deltas = [{ role: "assistant" as const, content: "" }, { reasoning_content: "Let me " }, { reasoning_content: "see" }, { content: "I look" }, { content: " it up", tool_calls: [{ index: 0, ...call }] }];
    expect(deltas.reduce(withDelta, NO_ANSWER)).toEqual({ role: "assistant", content: "I look it up", reasoning_content: "Let me see", tool_calls: [call] });
  });

  test("a call alone has the content null, as the engine gives it whole", () => {
    expect(withDelta(NO_ANSWER, { tool_calls: [{ index: 0, ...call }] })).toEqual({ role: "assistant", content: null, tool_calls: [call] });
  });

  test("a piece without anything leaves the message itself, so that an empty answer is told", () => {
    expect(withDelta(NO_ANSWER, { role: "assistant", content: "" })).toBe(NO_ANSWER);
  });

  test("a message that goes on keeps what else it has", () => {
    const begun: AssistantMessage = { role: "assistant", content: [{ type: "text", text: "One, " }, { type: "text", text: "two" }], name: "Ann", refusal: null };
    expect(withDelta(begun, { content: ", three" })).toEqual({ role: "assistant", content: "One, two, three", name: "Ann", refusal: null });
  });
});

test.each([["text", "text"], [[{ type: "text" as const, text: "a" }, { type: "text" as const, text: "b" }], "ab"], [null, ""], [undefined, ""]])("the text of %j is %j", (content, text) =>
  expect(textOf(content)).toBe(text),
);

test("what tools answered is shown with the message that called them, and its own where there is none", () => {
  const tool = (content: string): ChatMessage => ({ role: "tool", content, tool_call_id: "call-1" });
  const messages: ChatMessage[] = [tool("stray"), { role: "user", content: "?" }, { role: "assistant", tool_calls: [call] }, tool("a"), tool("b"), { role: "assistant", content: "!" }];
  expect(shownMessages(messages).map(({ index, answers }) => [index, answers.map(({ content }) => content)])).toEqual([[0, []], [1, []], [2, ["a", "b"]], [5, []]]);
});

describe("JSON in lines", () => {
  test.each([
    '{"a": [1, {"b": []}, {}], "c, {d}": "e \\"f\\": [g]", "h": null}',
    "[]", " [ true ,false ] ", "[[[]]]", '[{"a":{"b":{"c":[1,2]}}}]',
  ])("%s is set out as JavaScript does", (text) => expect(prettyJson(text)).toBe(JSON.stringify(JSON.parse(text), null, 2)));

  test("numbers and double keys stay as they were written", () => {
    expect(prettyJson('{"n":12345678901234567890,"n":1.0e400}')).toBe('{\n  "n": 12345678901234567890,\n  "n": 1.0e400\n}');
  });

  test.each(["", "12", '"a"', "{", "{'a': 1}", '{"a": 1} and more', "text [1]", "[1] a source"])("%j is text", (text) => expect(prettyJson(text)).toBeUndefined());
});
