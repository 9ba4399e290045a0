/** A loaded model that answers requests, one after the other. Runs in the worker. */

import { type License, type Manifest, type Quantization, vocabularySize, weightBytes } from "../artifact/manifest";
import type { Backend, BackendInfo } from "../backend/backend";
import { GREEDY } from "../backend/sampling";
import { GemletError } from "../errors";
import { cutPrompt } from "../generate/chunks";
import { Conversations } from "../generate/conversations";
import { generate, type OnToken as OnDrawn, type Outcome } from "../generate/generate";
import { shifted } from "../generate/overflow";
import type { LoadedLibrary } from "../grammar/start_library";
import { Grammars, type GrammarTokens } from "../grammar/grammars";
import { lastTurn, PLAIN } from "../text/answer_format";
import { AnswerReader, type Delta } from "../text/answer_reader";
import { CallNames } from "../text/call_names";
import { answerMemory, remember } from "../known_answer/require";
import { selfTest, type SelfTestOptions, type SelfTestReport } from "../known_answer/self_test";
import { fitMessages } from "../text/fit_messages";
import { isFarOver } from "../text/long_text";
import { BackendSlot } from "./backend_slot";
import { canThink, type ReadChat, readChat } from "./chat_request";
import { fail, isObject, show } from "./check_fields";
import { checkGenerate, checkLogits, checkTokenIds } from "./check_params";
import { requestDrawOf, samplingOf, topLogprobs, wantedOf } from "./draw_wishes";
import type { Model } from "./load";
import { MasksAfterThought } from "./masks_after_thought";
import type { StorageInfo } from "./load_weights";
import type { ChatParams, CompletionParams, TokenLogprob } from "./openai";
import { tokenLogprob } from "./token_logprobs";

export interface EngineInfo {
  name: string;
  title: string;
  architecture: string;
  /** False: a base model, which continues text. */
  chat: boolean;
  /** Whether `reasoning_effort` lets the model think before it answers. */
  thinking: boolean;
  license: License;
  facts: Record<string, number | string>;
  /** Most tokens of a prompt and its answer together. */
  context: number;
  quantization: Quantization;
  weight_bytes: number;
  backend: BackendInfo;
  /** Where the weights came from when the model was loaded. */
  storage: StorageInfo;
}

/** Parameters that have been checked, without the signal. */
export type GenerateRequest = { kind: "completion"; params: CompletionParams } | { kind: "chat"; params: ChatParams };

/** As `generate` calls it, with the token's logprob where that was asked for. */
export type OnToken = (token: number | null, delta: Delta, logprob?: TokenLogprob) => void;

export interface Logits {
  ids: number[];
  /** Lengths of the prefill chunks; default: as large as there are. */
  chunks?: number[];
  /** For each id 0 (text) or the number, from 1, of the image it belongs to, whose tokens may see each other. */
  blocks?: number[];
}

/** The library is a file of its own. */
async function loadLibrary(): Promise<LoadedLibrary> {
  return (await import("../grammar/grammar_library")).loadLibrary();
}

/** Of `LoadOptions`. */
export interface CoreOptions {
  stepsInFlight: number;
  conversationMemory: number;
}

export class Core {
  info: EngineInfo;
  private readonly slot: BackendSlot;
  private readonly grammars: Grammars;
  private readonly conversations: Conversations;
  private last: Promise<unknown> = Promise.resolve();
  /** Requests that are answered or wait. */
  private waiting = 0;

  /**
   * `onBackend` is told of a backend that has taken over. `loadGrammars` loads what knows grammars, when it is needed.
   * @internal The package's declarations do not name the library.
   */
  constructor(
    private readonly model: Model,
    private readonly options: CoreOptions,
    onBackend: (backend: BackendInfo) => void,
    loadGrammars: () => Promise<LoadedLibrary> = loadLibrary,
  ) {
    const { name, title, architecture, chat, license, facts, context, quantization } = model.manifest;
    const { storage, backend: { info: backend } } = model;
    const weight_bytes = weightBytes(model.manifest);
    const thinking = model.chat !== null && canThink(model.chat);
    this.info = { name, title, architecture, chat, thinking, license, facts, context, quantization, weight_bytes, backend, storage };
    this.grammars = new Grammars(() => this.grammarTokens(), loadGrammars);
    this.conversations = new Conversations(options.conversationMemory);
    this.slot = new BackendSlot(model.backend, model.fallBack, ({ info }) => {
      this.info = { ...this.info, backend: info };
      onBackend(info);
    });
  }

  /** float32 [vocabulary] for the last of `ids`, from an empty KV cache. Throws GemletError. */
  async logits(request: Logits): Promise<Float32Array<ArrayBuffer>> {
    const { manifest } = this.model;
    checkLogits(request);
    const { ids, chunks, blocks } = request;
    checkTokenIds(ids, vocabularySize(manifest));
    if (ids.length > manifest.context) throw overflow(ids.length, manifest, "");
    const compute = async (backend: Backend): Promise<Float32Array<ArrayBuffer>> => {
      const cut = cutPrompt(ids, backend.prefillSizes, chunks, blocks);
      await this.conversations.bring(backend, []);
      backend.start(GREEDY, 0);
      backend.kept.begin(0);
      for (const chunk of cut) await backend.prefill(chunk);
      const logits = await backend.logits();
      // Tokens of images are not what their ids tell.
      if (!blocks) backend.kept.hold(ids, ids.length);
      return logits;
    };
    return this.enqueue(async () => {
      const backend = await this.slot.current();
      return compute(backend).catch(async (cause: unknown) => compute(await this.slot.replace(backend, cause)));
    });
  }

  /**
   * Generates an answer; `onAccepted` is called with the prompt's length once the request is known to be right.
   * Throws GemletError "bad-request" or "context-overflow" before that, "device-lost" or "gpu-error" after it.
   */
  async generate(
    request: GenerateRequest,
    onAccepted: (promptTokens: number) => void,
    onToken: OnToken,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { manifest, tokenizer } = this.model;
    checkGenerate(request);
    // What takes long begins in a turn of its own, so that an abort which was sent right behind is known.
    if (isLarge(request)) await new Promise((resolve) => setTimeout(resolve));
    const { ids, format, stop, names } = signal.aborted ? NO_PROMPT : this.promptOf(request);
    const { params } = request;
    /** Tells how the answer begins. */
    const reader = new AnswerReader((each) => tokenizer.decode(each), [], format);
    const top = topLogprobs(request);
    const wanted = wantedOf(params, { names: names.length > 0, logits: top !== null }, manifest);
    const grammar = wanted?.grammar ?? null;
    if (grammar && format.opening.length > 0) fail("tool_choice", `the answer is to be a call, but ${grammar.field} asks for something else; expected one of them`);
    // Whether a grammar is right turns out when it is compiled, in the request's turn.
    if (!grammar) onAccepted(ids.length);
    const generation = {
      ids,
      sampling: samplingOf(params, [...manifest.tokenizer.stop, ...stop]),
      maxTokens: params.max_tokens ?? Infinity,
      context: manifest.context,
      overflow: params.overflow ?? "error",
      stopStrings: typeof params.stop === "string" ? [params.stop] : (params.stop ?? []),
      format,
      signal,
      stepsInFlight: this.options.stepsInFlight,
      conversations: this.conversations,
    };
    const onDrawn: OnDrawn = (token, delta, logits) => onToken(token, delta, logits && tokenLogprob(tokenizer, manifest.tokenizer, logits, token!, top!));
    return this.enqueue(async () => {
      const masks = grammar && !signal.aborted ? await this.grammars.begin(grammar) : null;
      try {
        if (grammar) onAccepted(ids.length);
        const { thoughtEnd } = format.markers;
        const formed = masks && reader.thinks ? new MasksAfterThought(masks, thoughtEnd!, this.grammarTokens()) : masks;
        const named = wanted?.names ? this.callNames(names, reader.first.length) : null;
        const requestDraw = wanted && requestDrawOf(wanted, formed ?? named);
        return await generate(this.slot, (each) => tokenizer.decode(each), { ...generation, requestDraw }, onDrawn);
      } finally {
        masks?.dispose();
      }
    });
  }

  /** Computes the known answer anew, and remembers what came out. Throws GemletError "bad-request" while anything else is under way. */
  async selfTest(options: SelfTestOptions): Promise<SelfTestReport> {
    const { manifest, activations } = this.model;
    const { layers } = isObject(options) ? options : fail("selfTest", `expected options, found ${show(options)}`);
    if (layers !== undefined && typeof layers !== "boolean") fail("layers", `expected true or false, found ${show(layers)}`);
    const answer = manifest.known_answer;
    if (!answer) throw new GemletError("bad-request", "selfTest: the artifact knows no answer; compile the model again, with its weights");
    if (this.waiting > 0) throw new GemletError("bad-request", "selfTest: an answer is being written, or waits for its turn; ask again when it is done");
    return this.enqueue(async () => {
      const backend = await this.slot.current();
      await this.conversations.bring(backend, []);
      const report = await selfTest(backend, manifest, answer, layers === undefined ? {} : { layers });
      const { name, adapter } = backend.info;
      await remember(await answerMemory(manifest, name, adapter, activations), report.check);
      backend.info = { ...backend.info, known_answer: { source: "computed", check: report.check, refused: null } };
      this.info = { ...this.info, backend: backend.info };
      return report;
    });
  }

  /** Frees the backend's memory at once; requests under way reject. */
  unload(): Promise<void> {
    this.conversations.forget();
    return this.slot.unload();
  }

  private grammarTokens(): GrammarTokens {
    const { manifest, tokenizer } = this.model;
    const count = vocabularySize(manifest);
    return { texts: Array.from({ length: count }, (_, id) => tokenizer.answerText(id)), count, stop: manifest.tokenizer.stop };
  }

  private callNames(names: string[], opening: number): CallNames {
    const { texts, count } = this.grammarTokens();
    return new CallNames(names, texts, count, opening);
  }

  private promptOf(request: GenerateRequest): { ids: number[] } & Pick<ReadChat, "format" | "stop" | "names"> {
    const { manifest, tokenizer, chat } = this.model;
    const { model } = request.params;
    if (model !== undefined && model !== manifest.name) {
      throw new GemletError("bad-request", `model: the loaded model is "${manifest.name}", found "${model}"`);
    }
    const fits = (count: number): boolean => count < manifest.context;
    const shifts = request.params.overflow === "shift";
    if (request.kind === "chat") {
      if (!chat) throw new GemletError("bad-request", `messages: ${manifest.title} is a base model without a chat template; use completions`);
      const { conversation, format, ...rest } = readChat(request.params, chat, tokenizer);
      const { context } = manifest;
      const bounds = { messages: context / TOKENS_OF_A_TURN, characters: context * tokenizer.longest };
      if (!shifts && conversation.messages.length > bounds.messages) throw tooManyMessages(conversation.messages.length, manifest);
      const ids = fitMessages(conversation, (each) => chat.encode(each, context), shifts ? fits : () => true, shifts ? bounds : undefined);
      if (!fits(ids.length)) {
        throw shifts ? overflow(ids.length, manifest, "", NOTHING_TO_FORGET) : overflow(ids.length, manifest, LET_FORGET);
      }
      return { ids, format: { ...format, begun: lastTurn(tokenizer, ids, manifest.tokenizer.stop) }, ...rest };
    }
    const { prompt } = request.params;
    const ids = typeof prompt === "string" ? tokenizer.withBos(tokenizer.encode(prompt, manifest.context, shifts)) : prompt;
    checkTokenIds(ids, vocabularySize(manifest));
    if (!fits(ids.length) && !shifts) throw overflow(ids.length, manifest, LET_FORGET);
    return { ids: fits(ids.length) ? ids : shifted(ids, manifest.context), format: PLAIN, stop: [], names: [] };
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    this.waiting += 1;
    const result = this.last.then(work).finally(() => (this.waiting -= 1));
    this.last = result.catch(() => undefined);
    return result;
  }
}

const LET_FORGET = ', or let its beginning be forgotten with overflow: "shift"';
const NOTHING_TO_FORGET =
  ", even with the last of the user's messages and the system's alone, so that nothing is left to forget";

/** Of a request that was aborted before it was looked at. */
const NO_PROMPT = { ids: [], format: PLAIN, stop: [], names: [] };

/** Whether its prompt takes more than a moment. */
function isLarge({ kind, params }: GenerateRequest): boolean {
  return kind === "chat" ? params.messages.length > 100 || params.messages.some(({ content }) => (content?.length ?? 0) > 10_000) : params.prompt.length > 10_000;
}

/** At least: marks for its beginning and end, a role, a new line. */
const TOKENS_OF_A_TURN = 4;

/** A template may take time that grows with the square of their number. */
function tooManyMessages(count: number, { context }: Manifest): GemletError {
  return new GemletError("context-overflow", `there are ${count} messages, but the context holds ${context} tokens for prompt and answer together; send fewer${LET_FORGET}`);
}

function overflow(length: number, { context }: Manifest, orElse: string, although = ""): GemletError {
  return new GemletError(
    "context-overflow",
    `the prompt has ${isFarOver(length, context) ? "more than " : ""}${length} tokens${although}, but the context holds ${context} for prompt and answer together; ` +
      `shorten the prompt${orElse === "" ? " or" : ","} compile the model with a larger context${orElse}`,
  );
}
