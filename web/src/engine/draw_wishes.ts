/** What a request wants of draws: how tokens are drawn, and what is changed or read of the logits. */

import { canAdjust, type Manifest } from "../artifact/manifest";
import type { Adjustment, Sampling } from "../backend/backend";
import { GemletError } from "../errors";
import { adjustmentOf, type Penalties } from "../generate/adjustment";
import type { RequestDraw } from "../generate/generate";
import type { GrammarSpec } from "../grammar/grammars";
import { grammarOf } from "./answer_grammar";
import { checkBias } from "./check_params";
import type { GenerateRequest } from "./core";
import type { SamplingParams } from "./openai";

export function samplingOf(params: SamplingParams, stop: number[]): Sampling {
  return {
    temperature: params.temperature ?? 1,
    top_k: params.top_k ?? 0,
    top_p: params.top_p ?? 1,
    min_p: params.min_p ?? 0,
    seed: params.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
    stop: params.ignore_eos ? [] : stop,
  };
}

/** How many of the likeliest tokens the logprobs name; null: there are to be none. */
export function topLogprobs({ kind, params }: GenerateRequest): number | null {
  if (kind === "completion") return params.logprobs ?? null;
  return params.logprobs ? (params.top_logprobs ?? 0) : null;
}

/** What a request wants of draws beyond `Sampling`. */
export interface Wanted {
  /** Null: none. */
  penalties: Penalties | null;
  grammar: GrammarSpec | null;
  /** Whether the answer begins with a name that is one of several. */
  names: boolean;
  logits: boolean;
}

/** Which tokens may come next; null: all. */
export interface Masks {
  after(answer: readonly number[]): Promise<Adjustment["mask"]>;
}

const NO_PENALTIES: Penalties = { presence: 0, frequency: 0, repetition: 1, bias: new Map() };

/**
 * Null where that is nothing. Throws GemletError "bad-request", also where the artifact is too old for it; there names are free, as they were when it was
 * compiled.
 */
export function wantedOf(params: SamplingParams, { names, logits }: Pick<Wanted, "names" | "logits">, manifest: Manifest): Wanted | null {
  const { presence_penalty: presence = 0, frequency_penalty: frequency = 0, repetition_penalty: repetition = 1, logit_bias: bias = {} } = params;
  checkBias(bias, manifest);
  const penalties: Penalties = { presence, frequency, repetition, bias: new Map(Object.entries(bias).map(([id, value]) => [Number(id), value])) };
  const penalizes = presence !== 0 || frequency !== 0 || repetition !== 1 || penalties.bias.size > 0;
  const grammar = grammarOf(params);
  const isOld = !canAdjust(manifest);
  if (!penalizes && !grammar && !logits && (!names || isOld)) return null;
  if (isOld) {
    throw new GemletError("bad-request", `${manifest.name} was compiled by an older gemlet, which knew no penalties, logit_bias, logprobs and grammars; compile the model again`);
  }
  return { penalties: penalizes ? penalties : null, grammar, names, logits };
}

export function requestDrawOf({ penalties, logits }: Wanted, masks: Masks | null): RequestDraw {
  return async (context, answer) => {
    const mask = masks && (await masks.after(answer));
    const adjusts = penalties !== null || mask !== null;
    const answered = Math.min(answer.length, context.length - 1);
    return { adjustment: adjusts ? adjustmentOf(penalties ?? NO_PENALTIES, context, answered, mask) : null, logits };
  };
}
