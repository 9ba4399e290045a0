/** OpenAI's objects of a token's logprobs. */

import type { TokenizerFacts } from "../artifact/manifest";
import { type Logprob, logprobsOf } from "../generate/logprobs";
import type { Tokenizer } from "../text/tokenizer";
import type { TokenLogprob, TopLogprob } from "./openai";

/** Of a token that was drawn from these logits, with `top` of the likeliest that have a text beside it. */
export function tokenLogprob(tokenizer: Tokenizer, { without_text }: TokenizerFacts, logits: Float32Array, token: number, top: number): TokenLogprob {
  const found = logprobsOf(logits, token, top, without_text);
  const named = ({ token, logprob }: Logprob): TopLogprob => ({ token: nameOf(tokenizer, token), logprob, bytes: [...tokenizer.tokenBytes(token)] });
  return { ...named(found.chosen), top_logprobs: found.top.map(named) };
}

/** The token's text, or its name in the vocabulary where its bytes are no whole characters. */
function nameOf(tokenizer: Tokenizer, token: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(tokenizer.tokenBytes(token));
  } catch {
    return tokenizer.tokenText(token);
  }
}
