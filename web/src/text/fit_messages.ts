/** Leaves out the oldest messages of a conversation that is too long for the model's context. */

import type { ChatMessage, Conversation } from "./messages";

/** Messages that tell the model how to answer, and stay. */
const STAYING: readonly string[] = ["system", "developer"];

/** What cannot fit in any case, so that it need not be encoded: so many messages, and characters of their contents. */
export interface Bounds {
  messages: number;
  characters: number;
}

const NO_BOUNDS: Bounds = { messages: Infinity, characters: Infinity };

/**
 * Ids of the conversation, without as many of its oldest messages as it takes to fit: a message of the user's with all that followed it at a time, never the last
 * one of the user's. Where that does not suffice the ids are those of what is left. `encode` throws what the template refuses; it is called some log n times.
 */
export function fitMessages<C extends Conversation>(
  conversation: C,
  encode: (conversation: C) => number[],
  fits: (count: number) => boolean,
  bounds = NO_BOUNDS,
): number[] {
  const { messages } = conversation;
  const staying = messages.filter(({ role }) => STAYING.includes(role));
  const others = messages.filter(({ role }) => !STAYING.includes(role));
  /** Where what is left may begin; at 0 nothing is left out. */
  const starts = [0, ...[...others.keys()].filter((i) => i > 0 && others[i]!.role === "user")];
  const encodeFrom = (at: number): number[] => encode(at === 0 ? conversation : { ...conversation, messages: [...staying, ...others.slice(starts[at])] });

  const first = firstWithin(others, starts, bounds);
  const last = starts.length - 1;
  if (first === 0) {
    const whole = encodeFrom(0);
    if (fits(whole.length) || last === 0) return whole;
  }
  let ids = encodeFrom(last);
  let enough = last;
  if (!fits(ids.length)) return ids;
  // From the end on, in steps that double, so that nothing is encoded that is much longer than what fits: some templates take time that grows with the square.
  let tooLong = first === 0 ? 0 : first - 1;
  for (let step = 1; enough - tooLong > 1; step *= 2) {
    const at = Math.max(enough - step, tooLong + 1);
    const tried = encodeFrom(at);
    if (!fits(tried.length)) {
      tooLong = at;
      break;
    }
    [enough, ids] = [at, tried];
  }
  while (enough - tooLong > 1) {
    const middle = Math.floor((tooLong + enough) / 2);
    const tried = encodeFrom(middle);
    if (fits(tried.length)) [enough, ids] = [middle, tried];
    else tooLong = middle;
  }
  return ids;
}

/** The first of `starts` from which the rest is within the bounds, or the last. */
function firstWithin(messages: readonly ChatMessage[], starts: readonly number[], bounds: Bounds): number {
  let characters = 0;
  let first = starts.length - 1;
  for (let i = messages.length - 1; i >= 0; i--) {
    characters += charactersOf(messages[i]!);
    if (messages.length - i > bounds.messages || characters > bounds.characters) break;
    while (first > 0 && starts[first - 1]! >= i) first -= 1;
  }
  return first;
}

function charactersOf({ content }: ChatMessage): number {
  if (typeof content === "string") return content.length;
  return content?.reduce((sum, { text }) => sum + text.length, 0) ?? 0;
}
