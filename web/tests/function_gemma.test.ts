/** Calls of FunctionGemma, a Gemma 3 with special tokens of its own, from OpenAI's objects down to a fake backend. */

import { expect, test } from "vitest";
import functionGemma from "../../tests/fixtures/templates/function_gemma.jinja?raw";
import golden from "../../tests/golden/function_gemma_prompts.json";
import type { AssistantMessage, ChatParams } from "../src/engine/openai";
import { callMarkers, PLAIN } from "../src/text/answer_format";
import { AnswerReader } from "../src/text/answer_reader";
import { addCall, type CallDelta } from "../src/text/call_delta";
import { ChatTemplate } from "../src/text/chat";
import type { Conversation } from "../src/text/messages";
import { Tokenizer } from "../src/text/tokenizer";
import { TOKENIZER_FACTS } from "./fixture";
import { joined, start } from "./recital_engine";

const MARKS = ["<start_function_declaration>", "<end_function_declaration>", "<start_function_call>", "<end_function_call>", "<start_function_response>", "<end_function_response>", "<escape>"];
const TEMPLATE = "{{ bos_token }}{{ tools }}{{ messages[0].content }}<|turn>model\n";
const tools = ["light", "weather"].map((name) => ({ type: "function" as const, function: { name } }));
const messages: ChatParams["messages"] = [{ role: "user", content: "tea?" }];

async function answered(answer: string, params: Omit<Partial<ChatParams>, "stream"> = {}) {
  const engine = () => start({ template: TEMPLATE, marks: MARKS, answer });
  const { chats, tokenizer } = await engine();
  const { choices: [choice] } = await chats.create({ messages, tools, ...params, return_token_ids: true });
  const { content, tool_calls = [] } = choice!.message;
  const stream = await joined(await (await engine()).chats.create({ messages, tools, ...params, stream: true }));
  expect(stream).toEqual({ content: content ?? "", reasoning_content: "", calls: tool_calls.map((call) => call.function), finish_reason: choice!.finish_reason });
  return { ...stream, arguments: stream.calls.map((call) => JSON.parse(call.arguments) as unknown), names: stream.calls.map(({ name }) => name), ids: choice!.token_ids!, tokenizer };
}

test.each([
  ["<start_function_call>call:light{room:<escape>kitchen<escape>,n:2}<end_function_call>", ["light"], [{ room: "kitchen", n: 2 }]],
  ["<start_function_call>call:light{}<end_function_call><start_function_call>call:weather{place:<escape>Oslo<escape>}<end_function_call>", ["light", "weather"], [{}, { place: "Oslo" }]],
  ["<start_function_call>call:light{a:{b:[1,true,null,<escape>x<escape>],c:{}}}<end_function_call>", ["light"], [{ a: { b: [1, true, null, "x"], c: {} } }]],
  ["<start_function_call>call:light{text:<escape>{a:1}, [b] \"c\", d:<escape>}<end_function_call>", ["light"], [{ text: '{a:1}, [b] "c", d:' }]],
  // Without its last token, and with the mistakes that Gemma 4 makes.
  ["<start_function_call>call:light{on:true}", ["light"], [{ on: true }]],
  ["<start_function_call>:call:light{on:,n:108.}", ["light"], [{ on: "", n: 108 }]],
])("reads %s", async (answer, names, values) => {
  for (const end of ["<turn|>", "<start_function_response>"]) {
    const found = await answered(answer + end);
    expect(found).toMatchObject({ names, arguments: values, content: "", finish_reason: "tool_calls" });
  }
});

test("gives text around a call, and what is no call, as text", async () => {
  expect(await answered("Yes. <start_function_call>call:light{}<end_function_call><turn|>")).toMatchObject({ content: "Yes. ", names: ["light"] });
  expect(await answered("<start_function_call>light<end_function_call><turn|>")).toMatchObject({ content: "light", names: [], finish_reason: "stop" });
  expect(await answered("<start_function_call>call:light{}<end_function_call>", { max_tokens: 5 })).toMatchObject({ content: "call", names: [], finish_reason: "length" });
});

test("ends behind the first call where there is to be one alone", async () => {
  const two = "<start_function_call>call:light{}<end_function_call><start_function_call>call:weather{}<end_function_call><turn|>";
  expect(await answered(two, { parallel_tool_calls: false })).toMatchObject({ names: ["light"], finish_reason: "tool_calls" });
  expect(await answered(two)).toMatchObject({ names: ["light", "weather"] });
});

test("begins with a call where that is asked for", async () => {
  const named = await answered("n:1}<end_function_call><turn|>", { tool_choice: { type: "function", function: { name: "weather" } } });
  expect(named).toMatchObject({ names: ["weather"], arguments: [{ n: 1 }], finish_reason: "tool_calls" });
  expect(named.ids[0]).toBe(named.tokenizer.special.get("<start_function_call>"));
  expect(await answered("light{}<end_function_call><turn|>", { tool_choice: "required" })).toMatchObject({ names: ["light"] });
});

const tokenizer = new Tokenizer(golden.tokenizer, TOKENIZER_FACTS, functionGemma);
const chat = new ChatTemplate(functionGemma, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" });
const cases = golden.cases as unknown as { name: string; ids: number[]; request: Conversation }[];

test.each(cases)("prompts are those of transformers: $name", ({ ids, request }) => expect(chat.encode(request)).toEqual(ids));

const callsOf = ({ messages }: Conversation) => messages.flatMap((message) => (message as AssistantMessage).tool_calls ?? []);
const called = cases.filter(({ request, name }) => callsOf(request).length > 0 && name !== "tokens as text");

test.each(called)("calls that are read out of a prompt and sent back give that prompt: $name", ({ ids, request }) => {
  const markers = callMarkers(tokenizer)!;
  const reader = new AnswerReader((each) => tokenizer.decode(each), [], { ...PLAIN, markers });
  const calls: CallDelta[] = [];
  const drawn = ids.slice(ids.indexOf(markers.callBegin!), ids.lastIndexOf(markers.callEnd!) + 1);
  for (const piece of drawn.flatMap((id) => reader.push(id).delta.calls)) addCall(calls, piece);
  expect(calls.map(({ name, whole }) => [name, whole])).toEqual(callsOf(request).map((call) => [call.function.name, true]));
  const messages = request.messages.map((message) => {
    const { tool_calls, ...rest } = message as AssistantMessage;
    return tool_calls ? { ...rest, tool_calls: tool_calls.map((call) => ({ ...call, function: { name: call.function.name, arguments: calls.shift()!.arguments } })) } : message;
  });
  expect(chat.encode({ ...request, messages })).toEqual(ids);
});
