/** What a chat asks for beside its messages: tools, and thoughts. */

import { GemletError } from "../errors";
import { type AnswerFormat, callMarkers, THOUGHT_LAST, thoughtMarkers, toolAnswerTokens } from "../text/answer_format";
import type { ChatTemplate } from "../text/chat";
import type { Conversation, Json } from "../text/messages";
import type { Tokenizer } from "../text/tokenizer";
import type { ChatParams } from "./openai";

/** The variable of Gemma's template that switches thoughts on. */
const THINKING = "enable_thinking";

/** Whether thoughts can be switched on. */
export function canThink(chat: ChatTemplate): boolean {
  return chat.reads(THINKING);
}

export interface ReadChat {
  /** What the template shows. */
  conversation: Conversation;
  format: AnswerFormat;
  /** Tokens that end the answer, beside the model's own. */
  stop: number[];
  /** Behind `format.opening` comes one of these names; none: what comes is free. */
  names: string[];
}

/** Throws GemletError "bad-request" that names the field which contradicts another, or for which the model has no means. */
export function readChat(params: ChatParams, chat: ChatTemplate, tokenizer: Tokenizer): ReadChat {
  const { messages, tools = [], tool_choice = "auto", thinking_budget, continue_final_message } = params;
  const { parallel_tool_calls = true } = params;
  checkTools(params, chat);
  const shown = tool_choice === "none" ? [] : tools;
  const thoughts = thoughtMarkers(tokenizer);
  const calls = callMarkers(tokenizer);
  if (thinking_budget !== undefined && !thoughts) fail("thinking_budget", "this model has no marks for thoughts");
  const variables = templateVariables(params, chat);
  return {
    conversation: {
      messages,
      ...(shown.length > 0 && { tools: shown }),
      ...(variables && { chat_template_kwargs: variables }),
      ...(continue_final_message && { continue_final_message }),
    },
    format: {
      markers: { ...thoughts, ...(shown.length > 0 && calls) },
      thinkingBudget: thinking_budget ?? Infinity,
      closing: thoughts ? [...tokenizer.encodePlain(THOUGHT_LAST), thoughts.thoughtEnd!] : [],
      opening: openingOf(params, tokenizer),
      ...(calls && !continue_final_message && isFree(params) && { tools: shown.map((tool) => tool.function.name) }),
      ...(!parallel_tool_calls && { mostCalls: 1 }),
    },
    stop: toolAnswerTokens(tokenizer),
    names: tool_choice === "required" && tools.length > 1 ? tools.map((tool) => tool.function.name) : [],
  };
}

/** Whether the answer may have any form. */
function isFree({ response_format, grammar, regex }: ChatParams): boolean {
  return (response_format?.type ?? "text") === "text" && grammar === undefined && regex === undefined;
}

function checkTools({ tools = [], tool_choice = "auto" }: ChatParams, chat: ChatTemplate): void {
  if (tools.length > 0 && tool_choice !== "none" && !chat.reads("tools")) fail("tools", "this model's chat template does not show tools");
  if (tool_choice === "auto" || tool_choice === "none") return;
  if (tools.length === 0) fail("tool_choice", "there are no tools to choose from");
  const names = tools.map((tool) => tool.function.name);
  if (tool_choice !== "required" && !names.includes(tool_choice.function.name)) {
    fail("tool_choice.function.name", `expected ${names.map((name) => `"${name}"`).join(", ")}, found "${tool_choice.function.name}"`);
  }
}

/** The beginning of the call that the answer has to be. */
function openingOf({ tools = [], tool_choice = "auto" }: ChatParams, tokenizer: Tokenizer): number[] {
  if (tool_choice === "auto" || tool_choice === "none") return [];
  const calls = callMarkers(tokenizer);
  if (!calls) return fail("tool_choice", "this model has no marks for calls, so none can be asked of it; leave the field out");
  const only = tool_choice === "required" ? (tools.length === 1 ? tools[0]! : undefined) : tool_choice;
  return [calls.callBegin!, ...tokenizer.encodePlain(only ? `call:${only.function.name}{` : "call:")];
}

function templateVariables({ chat_template_kwargs, reasoning_effort }: ChatParams, chat: ChatTemplate): { [name: string]: Json } | undefined {
  if (reasoning_effort === undefined) return chat_template_kwargs;
  if (chat_template_kwargs && THINKING in chat_template_kwargs) {
    fail("reasoning_effort", `chat_template_kwargs.${THINKING} says the same or the contrary; leave one of them out`);
  }
  const thinks = reasoning_effort !== "none";
  if (!canThink(chat)) {
    if (thinks) fail("reasoning_effort", `this model's chat template knows no thoughts, so it can only be "none", found "${reasoning_effort}"`);
    return chat_template_kwargs;
  }
  return { ...chat_template_kwargs, [THINKING]: thinks };
}

function fail(field: string, problem: string): never {
  throw new GemletError("bad-request", `${field}: ${problem}`);
}
