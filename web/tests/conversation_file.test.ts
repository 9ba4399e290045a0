import { expect, it } from "vitest";
import type { Conversation } from "../src/page/conversation";
import { readConversations, writeConversations } from "../src/page/conversation_file";

const CONVERSATION: Conversation = {
  id: "a",
  title: "“ü” 🐟",
  changed: 1764036000000,
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: "What is the weather?" }] },
    {
      role: "assistant",
      content: null,
      reasoning_content: "I must look.",
      tool_calls: [{ id: "call_1", type: "function", function: { name: "look", arguments: '{"at": "sky"}' } }],
    },
    { role: "tool", tool_call_id: "call_1", content: "rain" },
    { role: "assistant", content: "Rain." },
  ],
};
const file = (change: object) => JSON.stringify({ ...(JSON.parse(writeConversations([CONVERSATION])) as object), ...change });

it("conversations are read as they were written", () => {
  const ended: Conversation = { ...CONVERSATION, finish_reason: "stop" };
  expect(readConversations(writeConversations([CONVERSATION, ended]))).toEqual([CONVERSATION, ended]);
});

it("a large file is read", () => {
  const messages = Array.from({ length: 100_000 }, (_, index) => ({ role: index % 2 ? ("assistant" as const) : ("user" as const), content: `${index}` }));
  expect(readConversations(writeConversations([{ ...CONVERSATION, messages }]))[0]!.messages.length).toBe(100_000);
});

it.each([
  ["[]", "the file: expected an object, found []"],
  ["no JSON", 'expected a JSON file as "Export" writes it'],
  [file({ format: "other" }), 'format: expected "gemlet-conversations", found "other"'],
  [file({ version: 2 }), "version: expected 1, found 2"],
  [file({ more: 1 }), "more: this field is not supported"],
  [file({ conversations: [] }), "conversations: expected a list of conversations, not empty, found []"],
  [file({ conversations: [CONVERSATION, { ...CONVERSATION, changed: "today" }] }), "conversations[1].changed: expected milliseconds since 1970"],
  [file({ conversations: [{ ...CONVERSATION, title: undefined }] }), "conversations[0].title: the field is missing"],
  [file({ conversations: [{ ...CONVERSATION, finish_reason: "abort" }] }), 'conversations[0].finish_reason: expected "stop", "length" or "tool_calls", found "abort"'],
  [file({ conversations: [{ ...CONVERSATION, title: "" }] }), "conversations[0].title: expected text that is not empty"],
  [file({ conversations: [{ ...CONVERSATION, id: 7 }] }), "conversations[0].id: expected text"],
  [file({}).replace('"id":', '"__proto__":{},"id":'), "conversations[0].__proto__: this field is not supported"],
  [file({}).replace('"Be brief."', "{}"), "conversations[0].messages[0].content: expected"],
  ["null", "the file: expected an object, found null"],
  [file({ conversations: [{ ...CONVERSATION, messages: [] }] }), "conversations[0].messages: expected a list of messages, not empty"],
  [file({ conversations: [{ ...CONVERSATION, messages: [{ role: "user" }] }] }), "conversations[0].messages[0].content: the field is missing"],
])("%s is refused", (text, told) => {
  expect(() => readConversations(text)).toThrow(told);
});
