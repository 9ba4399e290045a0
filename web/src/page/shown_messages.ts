/** Which messages are shown together: what tools answered belongs to the message that called them. */

import type { ChatMessage, ToolMessage } from "../engine/openai";

export interface Shown {
  message: ChatMessage;
  /** The message's place in the conversation. */
  index: number;
  /** What tools answered to it. */
  answers: ToolMessage[];
}

export function shownMessages(messages: readonly ChatMessage[]): Shown[] {
  const shown: Shown[] = [];
  messages.forEach((message, index) => {
    const before = shown.at(-1);
    if (message.role === "tool" && before?.message.role === "assistant") before.answers.push(message);
    else shown.push({ message, index, answers: [] });
  });
  return shown;
}
