/** How a model marks its thoughts and its tool calls: Gemma 4 with special tokens, other models not at all. */

import type { Tokenizer } from "./tokenizer";

/** Ids of special tokens; one that the model does not have is left out, and then never found. */
export interface Markers {
  thoughtBegin?: number;
  thoughtEnd?: number;
  callBegin?: number;
  callEnd?: number;
  /** Stands before and behind each text in a call. */
  quote?: number;
}

export interface AnswerFormat {
  markers: Markers;
  /** Most tokens of a thought; then the tokens of `closing` end it. */
  thinkingBudget: number;
  closing: readonly number[];
  /** Tokens with which the answer begins, whatever the model would draw. */
  opening: readonly number[];
}

/** Text is text. */
export const PLAIN: AnswerFormat = { markers: {}, thinkingBudget: Infinity, closing: [], opening: [] };

/** What stands between the beginning of a thought and its text; the newline before its end is none of the text either. */
export const THOUGHT_LABEL = "thought\n";
export const THOUGHT_LAST = "\n";

/** Where a tool's answer begins, which the model waits for. */
export const TOOL_ANSWER = "<|tool_response>";

const THOUGHTS = { thoughtBegin: "<|channel>", thoughtEnd: "<channel|>" };
const CALLS = { callBegin: "<|tool_call>", callEnd: "<tool_call|>", quote: '<|"|>' };

/** The markers of thoughts; none unless the model has all of them. */
export function thoughtMarkers(tokenizer: Tokenizer): Markers | null {
  return found(tokenizer, THOUGHTS);
}

/** The markers of tool calls; none unless the model has all of them. */
export function callMarkers(tokenizer: Tokenizer): Markers | null {
  return found(tokenizer, CALLS);
}

function found(tokenizer: Tokenizer, texts: Record<string, string>): Markers | null {
  const ids = Object.entries(texts).map(([name, text]) => [name, tokenizer.special.get(text)] as const);
  return ids.some(([, id]) => id === undefined) ? null : (Object.fromEntries(ids) as Markers);
}
