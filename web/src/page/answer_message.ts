/** An assistant's message as the pieces of its stream add up. */

import type { AnswerDelta, AssistantMessage, Content } from "../engine/openai";

export const NO_ANSWER: AssistantMessage = { role: "assistant", content: "" };

/** The message and what a piece adds to it, as the engine would give it whole; the message itself where that is nothing. */
export function withDelta(message: AssistantMessage, { content = "", reasoning_content = "", tool_calls = [] }: AnswerDelta): AssistantMessage {
  if (content === "" && reasoning_content === "" && tool_calls.length === 0) return message;
  const text = textOf(message.content) + content;
  const thought = (message.reasoning_content ?? "") + reasoning_content;
  const calls = [...(message.tool_calls ?? []), ...tool_calls.map(({ index, ...call }) => call)];
  return {
    ...message,
    content: text === "" && calls.length > 0 ? null : text,
    ...(thought !== "" && { reasoning_content: thought }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** What is to be read of a message's content. */
export function textOf(content: Content | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text }) => text).join("");
}
