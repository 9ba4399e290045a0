/** A conversation as callers send it, in OpenAI's shape, and as chat templates take it. */

import { parseExactly } from "./exact_numbers";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface TextPart {
  type: "text";
  text: string;
}

export type Content = string | TextPart[];

export interface SystemMessage {
  role: "system" | "developer";
  content: Content;
  name?: string;
}

export interface UserMessage {
  role: "user";
  content: Content;
  name?: string;
}

export interface AssistantMessage {
  role: "assistant";
  /** May be null or absent where the message calls tools. */
  content?: Content | null;
  name?: string;
  tool_calls?: ToolCall[];
  /** What the model thought before it answered; which of it is shown to the model again is the template's choice. */
  reasoning_content?: string | null;
  /** Gemma's own form of tool answers, for early templates that do not read `tool` messages. */
  tool_responses?: { name: string; response: Json }[];
  /** Part of OpenAI's answers, so that one can be sent back as it came. */
  refusal?: null;
  /** The same. They are not shown to the model. */
  annotations?: unknown[];
}

export interface ToolMessage {
  role: "tool";
  content: Content;
  /** The `id` of the call that this answers. */
  tool_call_id: string;
  name?: string;
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

export interface ToolCall {
  id?: string;
  type: "function";
  /** `arguments`: JSON text of an object. */
  function: { name: string; arguments: string };
}

export interface Tool {
  type: "function";
  /** `parameters`: a JSON Schema. `response`: what Gemma's templates tell of the answer. */
  function: {
    name: string;
    description?: string;
    parameters?: { [key: string]: Json };
    response?: { [key: string]: Json };
    strict?: boolean | null;
  };
}

/** All that a template is rendered from. */
export interface Conversation {
  messages: readonly ChatMessage[];
  tools?: readonly Tool[];
  /** Variables of the template, such as `enable_thinking`. */
  chat_template_kwargs?: { [key: string]: Json };
  /** The answer goes on behind the content of the last message, the assistant's, in the same turn. */
  continue_final_message?: boolean;
}

/** The messages with the arguments of tool calls as objects, which is how templates read them. */
export function templateMessages(messages: readonly ChatMessage[]): Json {
  return messages.map((message) => {
    const { refusal, annotations, ...shown } = message as AssistantMessage;
    const { tool_calls } = shown;
    if (tool_calls === undefined) return shown as unknown as Json;
    const calls = tool_calls.map((call) => {
      return { ...call, function: { ...call.function, arguments: parseExactly(call.function.arguments) } };
    });
    return { ...shown, tool_calls: calls } as unknown as Json;
  });
}
