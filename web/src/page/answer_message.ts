/** An assistant's message as the pieces of its stream add up. */

import type { AnswerDelta, AssistantMessage, Content, ToolCall, ToolCallDelta } from "../engine/openai";
import { prettyJson } from "./pretty_json";

export const NO_ANSWER: AssistantMessage = { role: "assistant", content: "" };

/** The message and what a piece adds to it, as the engine would give it whole; the message itself where that is nothing. */
export function withDelta(message: AssistantMessage, { content = "", reasoning_content = "", tool_calls = [] }: AnswerDelta): AssistantMessage {
  if (content === "" && reasoning_content === "" && tool_calls.length === 0) return message;
  const text = textOf(message.content) + content;
  const thought = (message.reasoning_content ?? "") + reasoning_content;
  const calls = tool_calls.reduce(withCall, message.tool_calls ?? []);
  return {
    ...message,
    content: text === "" && calls.length > 0 ? null : text,
    ...(thought !== "" && { reasoning_content: thought }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** The message without a call that broke off, of which an answer gives the text as well. */
export function withoutHalfCalls({ tool_calls: calls = [], ...message }: AssistantMessage): AssistantMessage {
  const whole = calls.filter(({ function: { arguments: text } }) => prettyJson(text) !== undefined);
  return whole.length > 0 ? { ...message, tool_calls: whole } : { ...message, content: message.content ?? "" };
}

function withCall(calls: ToolCall[], { index, ...piece }: ToolCallDelta): ToolCall[] {
  const begun = calls[index];
  if (!begun) return [...calls, { ...piece, type: "function", function: { name: "", ...piece.function } }];
  return calls.with(index, { ...begun, function: { ...begun.function, arguments: begun.function.arguments + piece.function.arguments } });
}

/** What is to be read of a message's content. */
export function textOf(content: Content | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text }) => text).join("");
}
