/** The `completions` objects of the engine, for chat and for text. */

import { answerStream, answerWhole } from "./answer";
import { withoutNulls } from "./check_fields";
import { checkChatParams, checkCompletionParams } from "./check_params";
import type { GenerateRequest } from "./core";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatParams,
  Completion,
  CompletionChunk,
  CompletionParams,
  OrNull,
  SamplingParams,
} from "./openai";
import { plainCopy } from "./plain_data";
import { chatShape, completionShape, type Shape } from "./responses";
import type { RpcClient } from "./rpc";

export type TextCompletions = Completions<CompletionParams, Completion, CompletionChunk>;
export type ChatCompletions = Completions<ChatParams, ChatCompletion, ChatCompletionChunk>;

/** `model`: the name that goes into the objects. */
export function textCompletions(rpc: RpcClient, model: string): TextCompletions {
  return new Completions<CompletionParams, Completion, CompletionChunk>(rpc, {
    check: checkCompletionParams,
    request: (params) => ({ kind: "completion", params }),
    shape: (params) => completionShape(model, { tokenIds: params.return_token_ids === true, logprobs: params.logprobs !== undefined }),
  });
}

/** `model`: the name that goes into the objects. */
export function chatCompletions(rpc: RpcClient, model: string): ChatCompletions {
  return new Completions<ChatParams, ChatCompletion, ChatCompletionChunk>(rpc, {
    check: checkChatParams,
    request: ({ max_completion_tokens, ...params }) => ({ kind: "chat", params: { ...params, ...(max_completion_tokens !== undefined && { max_tokens: max_completion_tokens }) } }),
    shape: (params) => chatShape(model, { tokenIds: params.return_token_ids === true, logprobs: params.logprobs === true }),
  });
}

/** What differs between the two. */
interface CompletionKind<Params, Whole, Chunk> {
  /** Throws GemletError "bad-request" that names the field. */
  check(params: Params): void;
  request(params: Params): GenerateRequest;
  /** Makes the objects of one answer. */
  shape(params: Params): Shape<Whole, Chunk>;
}

class Completions<Params extends SamplingParams, Whole, Chunk> {
  constructor(
    private readonly rpc: RpcClient,
    private readonly kind: CompletionKind<Params, Whole, Chunk>,
  ) {}

  /**
   * Resolves with the complete answer or, with `stream: true`, with an async iterable of chunks as soon as the request is
   * accepted. Requests are answered one after the other. A field that is null counts as absent.
   *
   * Throws GemletError: "bad-request" names the field that is unknown or wrong; "context-overflow" where the prompt does
   * not fit; "device-lost" and "gpu-error", also out of the stream; "unloaded".
   */
  create(params: OrNull<Params> & { stream: true }): Promise<AsyncIterable<Chunk>>;
  create(params: OrNull<Params> & { stream?: false | null }): Promise<Whole>;
  async create(given: OrNull<Params>): Promise<Whole | AsyncIterable<Chunk>> {
    const params = withoutNulls<Params>(plainCopy(given) as OrNull<Params>);
    this.kind.check(params);
    const { signal, ...rest } = params;
    const request = this.kind.request(rest as Params);
    const shape = this.kind.shape(params);
    const answer = params.stream ? answerStream : answerWhole;
    return answer(this.rpc, request, shape, signal);
  }
}
