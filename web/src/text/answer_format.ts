/** How a model marks thoughts and tool calls: Gemma 4 and FunctionGemma with special tokens, other models not at all. */

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
  /** Names of the tools that the model is shown: where text begins with a call of one, it is a call. Default: none. */
  tools?: readonly string[];
  /** Behind so many calls the answer ends. Default: no limit. */
  mostCalls?: number;
  /** The end of the prompt, which may have opened a thought or a call: the answer goes on in it. Default: nothing is open. */
  begun?: readonly number[];
}

/** Text is text. */
export const PLAIN: AnswerFormat = { markers: {}, thinkingBudget: Infinity, closing: [], opening: [] };

/** What stands between the beginning of a thought and its text; the newline before its end is none of the text either. */
export const THOUGHT_LABEL = "thought\n";
export const THOUGHT_LAST = "\n";

const THOUGHTS = { thoughtBegin: "<|channel>", thoughtEnd: "<channel|>" };
/** Gemma 4's, and FunctionGemma's. `toolAnswer`: where a tool's answer begins, which the model waits for. */
const CALLS = [
  { marks: { callBegin: "<|tool_call>", callEnd: "<tool_call|>", quote: '<|"|>' }, toolAnswer: "<|tool_response>" },
  {
    marks: { callBegin: "<start_function_call>", callEnd: "<end_function_call>", quote: "<escape>" },
    toolAnswer: "<start_function_response>",
  },
];
/** What a turn of a conversation begins with. */
const TURNS = ["<|turn>", "<start_of_turn>"];

/** The markers of thoughts; none unless the model has all of them. */
export function thoughtMarkers(tokenizer: Tokenizer): Markers | null {
  return found(tokenizer, THOUGHTS);
}

/** The markers of tool calls; none unless the model has all of one kind. */
export function callMarkers(tokenizer: Tokenizer): Markers | null {
  return callFormat(tokenizer)?.markers ?? null;
}

/** Ids of tokens that end an answer because a tool's answer comes next. */
export function toolAnswerTokens(tokenizer: Tokenizer): number[] {
  const id = tokenizer.special.get(callFormat(tokenizer)?.toolAnswer ?? "");
  return id === undefined ? [] : [id];
}

/** What the last turn of a prompt has already; `stop`: tokens that end a turn. */
export function lastTurn(tokenizer: Tokenizer, prompt: readonly number[], stop: readonly number[]): readonly number[] {
  const bounds = new Set([...stop, ...TURNS.flatMap((text) => tokenizer.special.get(text) ?? [])]);
  return prompt.slice(prompt.findLastIndex((id) => bounds.has(id)) + 1);
}

function callFormat(tokenizer: Tokenizer): { markers: Markers; toolAnswer: string } | null {
  for (const { marks, toolAnswer } of CALLS) {
    const markers = found(tokenizer, marks);
    if (markers) return { markers, toolAnswer };
  }
  return null;
}

function found(tokenizer: Tokenizer, texts: Record<string, string>): Markers | null {
  const ids = Object.entries(texts).map(([name, text]) => [name, tokenizer.special.get(text)] as const);
  return ids.some(([, id]) => id === undefined) ? null : (Object.fromEntries(ids) as Markers);
}
