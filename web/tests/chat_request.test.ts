import { describe, expect, test } from "vitest";
import { readChat } from "../src/engine/chat_request";
import type { ChatParams } from "../src/engine/openai";
import { ChatTemplate } from "../src/text/chat";
import { Tokenizer } from "../src/text/tokenizer";
import { TEMPLATE, TOKENIZER_FACTS, tokenizerFile, VOCABULARY } from "./fixture";

const MARKERS = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<|tool_response>"];
const THINKING_TEMPLATE = `{% if enable_thinking %}think{% endif %}{{ tools }}${TEMPLATE}`;
const plain = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
const marked = new Tokenizer(withMarkers(tokenizerFile() as Parameters<typeof withMarkers>[0]), TOKENIZER_FACTS, THINKING_TEMPLATE);
const [thoughtBegin, thoughtEnd, callBegin, callEnd, quote, answering] = MARKERS.map((text) => marked.special.get(text)!);

function withMarkers(file: { added_tokens: { id: number; content: string }[]; model: { vocab: Record<string, number> } }): object {
  const added = MARKERS.map((content, i) => ({ ...file.added_tokens[0]!, id: VOCABULARY.length + i, content }));
  return {
    ...file,
    added_tokens: [...file.added_tokens, ...added],
    model: { ...file.model, vocab: { ...file.model.vocab, ...Object.fromEntries(added.map(({ content, id }) => [content, id])) } },
  };
}

const tool = (name: string) => ({ type: "function" as const, function: { name } });
const TOOLS = [tool("now"), tool("later")];
const messages: ChatParams["messages"] = [{ role: "user", content: "tea?" }];

function read(params: Partial<ChatParams>, tokenizer = marked, template = THINKING_TEMPLATE) {
  return readChat({ messages, ...params }, new ChatTemplate(template, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" }), tokenizer);
}

describe("readChat", () => {
  test("finds markers of thoughts, and of calls where the model is shown tools", () => {
    expect(read({}).format.markers).toEqual({ thoughtBegin, thoughtEnd });
    const { format, stop, conversation } = read({ tools: TOOLS });
    expect(format.markers).toEqual({ thoughtBegin, thoughtEnd, callBegin, callEnd, quote });
    expect([stop, conversation.tools]).toEqual([[answering], TOOLS]);
  });

  test("finds calls in bare text alone where the answer may be any text", () => {
    const names = (params: Partial<ChatParams>) => read({ tools: TOOLS, ...params }).format.tools;
    expect(names({})).toEqual(["now", "later"]);
    for (const params of [{ regex: "a" }, { grammar: "a" }, { response_format: { type: "json_object" } }, { continue_final_message: true }] as const) {
      expect(names(params)).toBeUndefined();
    }
    expect(names({ tool_choice: "none" })).toEqual([]);
  });

  test("shows no tools where none may be called", () => {
    const { conversation, format } = read({ tools: TOOLS, tool_choice: "none" });
    expect([conversation.tools, format.markers.callBegin]).toEqual([undefined, undefined]);
  });

  test.each([
    ["required" as const, TOOLS, "call:"],
    ["required" as const, TOOLS.slice(0, 1), "call:now{"],
    [tool("later"), TOOLS, "call:later{"],
  ])("lets the answer begin with a call for %j", (tool_choice, tools, text) => {
    const [first, ...rest] = read({ tools, tool_choice }).format.opening;
    expect([first, marked.decode(rest)]).toEqual([callBegin, text]);
  });

  test("binds the name of a call where it is to be one of several tools' alone", () => {
    expect(read({ tools: TOOLS, tool_choice: "required" }).names).toEqual(["now", "later"]);
    for (const tool_choice of ["auto", "none", tool("later")] as const) expect(read({ tools: TOOLS, tool_choice }).names).toEqual([]);
    expect(read({ tools: TOOLS.slice(1), tool_choice: "required" }).names).toEqual([]);
  });

  test("switches thoughts, and closes them behind their budget", () => {
    expect(read({ reasoning_effort: "high" }).conversation.chat_template_kwargs).toEqual({ enable_thinking: true });
    expect(read({ reasoning_effort: "none" }).conversation.chat_template_kwargs).toEqual({ enable_thinking: false });
    const { thinkingBudget, closing } = read({ thinking_budget: 7 }).format;
    expect([thinkingBudget, closing.at(-1)]).toEqual([7, thoughtEnd]);
  });

  test("a model without markers answers in text", () => {
    expect(read({}, plain, TEMPLATE)).toMatchObject({ format: { markers: {}, opening: [] }, stop: [] });
  });

  test.each<[Partial<ChatParams>, RegExp]>([
    [{ tools: TOOLS }, /^tools: this model's chat template does not show tools/],
    [{ thinking_budget: 3 }, /^thinking_budget: this model has no marks/],
    [{ reasoning_effort: "low" }, /^reasoning_effort: .* can only be "none", found "low"/],
  ])("a model that cannot refuses %j", (params, message) => {
    expect(() => read(params, plain, TEMPLATE)).toThrow(message);
  });

  test.each<[Partial<ChatParams>, RegExp]>([
    [{ tool_choice: "required" }, /^tool_choice: there are no tools/],
    [{ tools: TOOLS, tool_choice: tool("never") }, /^tool_choice.function.name: expected "now", "later", found "never"/],
    [{ reasoning_effort: "low", chat_template_kwargs: { enable_thinking: false } }, /^reasoning_effort: chat_template_kwargs.enable_thinking says/],
  ])("what contradicts itself is refused: %j", (params, message) => {
    expect(() => read(params)).toThrow(message);
  });
});
