/** What is read out of an answer of Gemma 4's syntax, sent back as the assistant's message, gives the prompt that transformers makes of the original. */

import { expect, test } from "vitest";
import gemma4 from "../../tests/fixtures/templates/gemma4.jinja?raw";
import golden from "../../tests/golden/chat_prompts.json";
import { callMarkers, PLAIN, thoughtMarkers } from "../src/text/answer_format";
import { AnswerReader, type Delta } from "../src/text/answer_reader";
import { addCall, type CallDelta } from "../src/text/call_delta";
import { ChatTemplate } from "../src/text/chat";
import type { AssistantMessage, Conversation } from "../src/text/messages";
import { Tokenizer } from "../src/text/tokenizer";
import { TOKENIZER_FACTS } from "./fixture";

const tokenizer = new Tokenizer(golden.tokenizer, TOKENIZER_FACTS, gemma4);
const chat = new ChatTemplate(gemma4, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" });
const markers = { ...thoughtMarkers(tokenizer), ...callMarkers(tokenizer) };
const { thoughtBegin, callBegin, callEnd } = markers;
const cases = (golden.cases as unknown as { kind: string; name: string; ids: number[]; request: Conversation }[]).filter(
  ({ ids, request }) => ids.includes(callBegin!) && request.messages.filter((message) => (message as AssistantMessage).tool_calls).length === 1,
);

/** Thought and calls of a prompt, as the model would have drawn them. */
function drawn(ids: number[]): number[] {
  const first = ids.indexOf(callBegin!);
  const thought = ids.lastIndexOf(thoughtBegin!, first);
  const turn = ids.lastIndexOf(tokenizer.special.get("<|turn>")!, first);
  return ids.slice(thought > turn ? thought : first, ids.lastIndexOf(callEnd!) + 1);
}

function read(ids: number[]) {
  const reader = new AnswerReader((each) => tokenizer.decode(each), [], { ...PLAIN, markers });
  const deltas: Delta[] = [...ids.map((id) => reader.push(id).delta), reader.end().delta];
  const calls: CallDelta[] = [];
  for (const piece of deltas.flatMap((delta) => delta.calls)) addCall(calls, piece);
  return { text: deltas.map(({ text }) => text).join(""), thought: deltas.map(({ thought }) => thought).join(""), calls };
}

test("there are cases with thoughts, several calls, and arguments of all kinds", () => {
  expect(cases.map(({ name }) => name)).toEqual(expect.arrayContaining(["thoughts before a call", "parallel calls", "arguments of all kinds", "odd characters in tools"]));
});

test.each(cases)("$kind, $name", ({ ids, request }) => {
  const { text, thought, calls } = read(drawn(ids));
  expect(text).toBe("");
  const messages = request.messages.map((message) => {
    const { tool_calls, reasoning_content, ...rest } = message as AssistantMessage;
    if (!tool_calls) return message;
    const again = calls.map(({ name, arguments: text }, i) => ({ ...tool_calls[i]!, function: { name: name!, arguments: text } }));
    return { ...rest, tool_calls: again, ...(thought !== "" && { reasoning_content: thought }) };
  });
  expect(calls.length).toBe(request.messages.flatMap((message) => (message as AssistantMessage).tool_calls ?? []).length);
  expect(chat.encode({ ...request, messages })).toEqual(ids);
});
