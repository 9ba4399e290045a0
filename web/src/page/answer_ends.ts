/** How answers ended. It is no field of a message, which goes to the engine and to other programs as it is. */

import type { ChatMessage, FinishReason } from "../engine/openai";

const ends = new WeakMap<ChatMessage, FinishReason>();

/** Undefined of what was stopped, or is no answer, or of which nobody knows. */
export function endOf(message: ChatMessage | undefined): FinishReason | undefined {
  return message && ends.get(message);
}

/** `end`: undefined where it is not known, or where the answer was stopped. */
export function rememberEnd(message: ChatMessage | undefined, end: FinishReason | undefined): void {
  if (message && end) ends.set(message, end);
}

/** Whether the model itself has ended the answer, so that there is nothing to go on with. */
export function isWhole(message: ChatMessage): boolean {
  const end = ends.get(message);
  return end === "stop" || end === "tool_calls";
}
