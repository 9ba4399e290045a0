import { expect, test } from "vitest";
import type { Conversation } from "../src/page/conversation";
import { readConversations, writeConversations } from "../src/page/conversation_file";
import { modelsOf } from "../src/page/models";
import { newConversations } from "../src/page/new_conversations";
import { sentence } from "../src/page/format";

const of = (id: string, text: string, changed = 1): Conversation => ({ id, title: text, changed, messages: [{ role: "user", content: text }] });
const A = of("a", "one");
const B = of("b", "two");

test("one's own export adds nothing, also after a conversation was renamed", () => {
  const exported = readConversations(writeConversations([A, B]));
  expect(newConversations(exported, [A, B])).toEqual([]);
  expect(newConversations(exported, [{ ...A, title: "renamed", changed: 9 }, B])).toEqual([]);
  expect(newConversations(exported, [A])).toEqual([B]);
});

test("fields in another order are the same conversation", () => {
  const messages = JSON.parse('[{"content":"one","role":"user"}]') as Conversation["messages"];
  expect(newConversations([{ ...A, messages }], [A])).toEqual([]);
});

test("what has gone on is added under an id of its own, and changes nothing in the list", () => {
  const [added] = newConversations([of("a", "one and more", 2)], [A]);
  expect(added).toEqual({ ...of("a", "one and more", 2), id: expect.stringMatching(/^[0-9a-f-]{36}$/) });
});

test("an equal text of another id is another conversation", () => {
  expect(newConversations([of("c", "one", 5)], [A])).toHaveLength(1);
});

test("an index of models is taken as it is, each name once", () => {
  const models = [{ name: "a", title: "A", bytes: 1 }, { name: "b.c-1", title: "<b>", bytes: 1 }];
  expect(modelsOf({ models: [...models, { ...models[0]!, title: "again" }] }, "i.json")).toEqual(models);
});

test.each([null, [], "x", {}, { models: {} }, { models: [] }])("%j is no index", (index) => {
  expect(() => modelsOf(index, "i.json")).toThrow("i.json: ");
});

test.each([null, {}, { name: "a" }, { name: "", title: "x", bytes: 1 }, { name: "..", title: "x", bytes: 1 }, { name: "../a", title: "x", bytes: 1 }, { name: "a?b", title: "x", bytes: 1 }, { name: "a#b", title: "x", bytes: 1 }, { name: "a%2fb", title: "x", bytes: 1 }, { name: 7, title: "x", bytes: 1 }])(
  "%j is no model of an index",
  (entry) => expect(() => modelsOf({ models: [{ name: "a", title: "A", bytes: 1 }, entry] }, "i.json")).toThrow("i.json: "),
);

test.each([
  ["the prompt has 9 tokens", "The prompt has 9 tokens"], ["http://x.test: no answer", "http://x.test: no answer"], ["max_tokens: expected", "max_tokens: expected"],
  ["messages[0]: x", "messages[0]: x"], ["élan vital", "Élan vital"], ["There is", "There is"], ["", ""], ["weights", "Weights"],
])("%j begins a sentence as %j", (text, shown) => expect(sentence(text)).toBe(shown));
