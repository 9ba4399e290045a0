/** Prompts that open a thought or a call, from OpenAI's objects down to a fake backend: the answer goes on in it. */

import { describe, expect, test } from "vitest";
import type { DrawRequest } from "../src/backend/backend";
import type { ChatParams } from "../src/engine/openai";
import { TEMPLATE } from "./fixture";
import { joined, MESSAGES, start } from "./recital_engine";

const MARKS = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<|tool_response>"];
const tools = [{ type: "function" as const, function: { name: "now" } }, { type: "function" as const, function: { name: "later" } }];

/** The answer, whole and as streamed, where the template ends with `begun`. */
async function answered(begun: string, answer: string, params: Omit<Partial<ChatParams>, "stream"> = {}) {
  const template = `{{ tools }}${TEMPLATE}{{ ${JSON.stringify(begun)} }}`;
  const request = { messages: MESSAGES, ...params };
  const engine = () => start({ template, marks: MARKS, answer: `${answer}<turn|>` });
  const { chats, backend, tokenizer } = await engine();
  const { choices: [choice], usage } = await chats.create({ ...request, return_token_ids: true });
  const stream = await joined(await (await engine()).chats.create({ ...request, stream: true }));
  const { content, reasoning_content = "", tool_calls = [] } = choice!.message;
  const calls = tool_calls.map((call) => call.function);
  expect(stream).toEqual({ content: content ?? "", reasoning_content, calls, finish_reason: choice!.finish_reason });
  return { ...stream, usage, backend, tokenizer, ids: choice!.token_ids! };
}

describe("A prompt that opens a thought", () => {
  test.each([
    ["<|channel>thought\n", "hm\n<channel|>Yes", "hm", "Yes"],
    ["<|channel>thought\nI see", ", well<channel|>Yes", ", well", "Yes"],
    ["<|channel>thought\nFirst.\n", "Then.<channel|>Yes", "Then.", "Yes"],
    ["<|channel>", "thought\nhm<channel|>Yes", "hm", "Yes"],
    ["<|channel>thou", "ght\nhm<channel|>Yes", "hm", "Yes"],
    ["<|channel>thought\n", "<channel|>Yes", "", "Yes"],
    ["<|channel>thought\n<channel|>", "Yes", "", "Yes"],
    ["<|channel>thought\nold\n<channel|>So ", "Yes", "", "Yes"],
    ["<|channel>thought\nold<channel|>So<|channel>thought\n", "new<channel|>Yes", "new", "Yes"],
    ["<|channel>thought\n", "it never ends", "it never ends", ""],
    ["<|channel>thought\n", "a<channel|>Yes<channel|>, no", "a", "Yes, no"],
    ["", "<|channel>thought\nhm<channel|>Yes", "hm", "Yes"],
    ["<|channel>thought\n", "<|channel>thought\nhm<channel|>Yes", "hm", "Yes"],
  ])("%j goes on with %j as a thought, and then as text", async (begun, answer, thought, text) => {
    expect(await answered(begun, answer)).toMatchObject({ reasoning_content: thought, content: text, finish_reason: "stop" });
  });

  test("is that of the last turn alone", async () => {
    // Some templates begin a turn with nothing but words.
    for (const template of [`<|turn>model\n<|channel>thought\nnever ended<turn|>\n${TEMPLATE}`, "<|channel>thought\nnever ended<eos>User: {{ messages[0].content }}\nModel:"]) {
      const { chats } = await start({ template, marks: MARKS, answer: "Yes<turn|>" });
      expect((await chats.create({ messages: MESSAGES })).choices[0]!.message).toEqual({ role: "assistant", content: "Yes", refusal: null });
    }
  });

  test("counts the tokens that are new, and closes it where they are spent", async () => {
    const { usage, ids, tokenizer, reasoning_content } = await answered("<|channel>thought\nI see", "abcdef", { thinking_budget: 3, max_tokens: 6 });
    expect(usage.completion_tokens_details.reasoning_tokens).toBe(3);
    expect([ids.indexOf(tokenizer.special.get("<channel|>")!), reasoning_content]).toEqual([4, "abc"]);
    const none = await answered("<|channel>thought\n", "ab", { thinking_budget: 0, max_tokens: 3 });
    // An empty thought is closed where its line begins, as templates write it.
    expect([none.ids[0], none.reasoning_content, none.content]).toEqual([tokenizer.special.get("<channel|>"), "", "ab"]);
    expect(none.usage.completion_tokens_details.reasoning_tokens).toBe(0);
  });

  test("is closed before a call that has to come", async () => {
    const { ids, tokenizer, calls, finish_reason } = await answered("<|channel>thought\n", "later{}<tool_call|>", { tools, tool_choice: "required" });
    expect(ids.slice(0, 2)).toEqual([tokenizer.special.get("<channel|>"), tokenizer.special.get("<|tool_call>")]);
    expect([calls, finish_reason]).toEqual([[{ name: "later", arguments: "{}" }], "tool_calls"]);
  });

  test("goes into a call of itself, and stop strings are for the text behind it", async () => {
    expect(await answered("<|channel>thought\n", "hm<|tool_call>call:now{}<tool_call|>", { tools })).toMatchObject({ reasoning_content: "hm", calls: [{ name: "now", arguments: "{}" }] });
    expect(await answered("<|channel>thought\n", "tea<channel|>no tea", { stop: "tea" })).toMatchObject({ reasoning_content: "tea", content: "no ", finish_reason: "stop" });
  });

  test.each([{ regex: "Yes|No" }, { grammar: 'root ::= "Yes"' }])("lets the form of the answer begin behind it: %j", async (form) => {
    const { backend, ids, tokenizer, content } = await answered("<|channel>thought\n", "hm<channel|>Yes", form);
    const allows = ({ adjustment }: DrawRequest, token: number): boolean => Boolean((adjustment!.mask![token >> 5]! >> (token & 31)) & 1);
    const end = tokenizer.special.get("<channel|>")!;
    const stop = ids.at(-1)!;
    expect(content).toBe("Yes");
    ids.forEach((token, i) => expect([i, allows(backend.requests[i]!, token)]).toEqual([i, true]));
    const behind = ids.indexOf(end) + 1;
    const [, no] = tokenizer.encodePlain("YN");
    // A thought may say anything, but neither end the answer nor begin a call.
    for (const token of [end, no!]) expect(allows(backend.requests[behind - 1]!, token)).toBe(true);
    for (const token of [stop, ...["<|tool_call>", "<|channel>"].map((mark) => tokenizer.special.get(mark)!)]) expect(allows(backend.requests[behind - 1]!, token)).toBe(false);
    for (const token of [end, stop, tokenizer.encodePlain("h")[0]!]) expect(allows(backend.requests[behind]!, token)).toBe(false);
  });
});

describe("A prompt that opens a call", () => {
  test.each([
    ["<|tool_call>", "call:now{a:1}<tool_call|>", { name: "now", arguments: '{"a":1}' }],
    ["<|tool_call>call:", "now{a:1}<tool_call|>", { name: "now", arguments: '{"a":1}' }],
    ["<|tool_call>call:now{a:1,", "b:2}<tool_call|>", { name: "now", arguments: '{"a":1,"b":2}' }],
    ['<|tool_call>call:now{a:<|"|>x', 'y<|"|>}<tool_call|>', { name: "now", arguments: '{"a":"xy"}' }],
    ["<|tool_call>call:old{}<tool_call|><|tool_call>call:now{a:", "1}<tool_call|>", { name: "now", arguments: '{"a":1}' }],
  ])("%j goes on with %j as a whole call", async (begun, answer, call) => {
    expect(await answered(begun, answer, { tools })).toMatchObject({ calls: [call], content: "", finish_reason: "tool_calls" });
  });

  test("gives back of one that breaks off what is new", async () => {
    const { content, usage } = await start({ template: `{{ tools }}${TEMPLATE}<|tool_call>call:now{a:`, marks: MARKS, answer: "1,b<turn|>" }).then(async ({ chats }) => {
      const { choices, usage } = await chats.create({ messages: MESSAGES, tools });
      return { ...choices[0]!.message, usage };
    });
    expect([content, usage.completion_tokens]).toEqual(["1,b", 4]);
  });

  test("is none of the answer's where it has ended", async () => {
    expect(await answered("<|tool_call>call:now{}<tool_call|><|tool_response>", "Yes", { tools })).toMatchObject({ calls: [], content: "Yes", finish_reason: "stop" });
  });
});
