/** Leaves out the oldest messages of a conversation that is too long for the model's context. */

import type { Conversation } from "./messages";

/** Messages that tell the model how to answer, and stay. */
const STAYING: readonly string[] = ["system", "developer"];

/**
 * Ids of the conversation, without as many of its oldest messages as it takes to fit: a message of the user's with all that followed it at a time, never the last
 * one of the user's. Where that does not suffice the ids are those of what is left. `encode` throws what the template refuses.
 */
export function fitMessages<C extends Conversation>(conversation: C, encode: (conversation: C) => number[], fits: (count: number) => boolean): number[] {
  let messages = conversation.messages;
  for (;;) {
    const ids = encode({ ...conversation, messages });
    if (fits(ids.length)) return ids;
    const staying = messages.filter(({ role }) => STAYING.includes(role));
    const others = messages.filter(({ role }) => !STAYING.includes(role));
    const next = others.findIndex(({ role }, i) => i > 0 && role === "user");
    if (next < 0) return ids;
    messages = [...staying, ...others.slice(next)];
  }
}
