/** A conversation as the page keeps it: OpenAI's messages, which the engine takes as they are. */

import type { ChatMessage, FinishReason } from "../engine/openai";

export interface Conversation {
  id: string;
  title: string;
  /** Milliseconds since 1970. */
  changed: number;
  messages: ChatMessage[];
  /** How the last message, an answer, ended; missing where that is not known, or where it was stopped. */
  finish_reason?: FinishReason;
}
