/** One request, from its parameters to OpenAI's objects, whole or streamed. */

import { addCall } from "../text/call_delta";
import { Channel } from "./channel";
import type { GenerateRequest } from "./core";
import { noPiece, type Piece, type Shape, usageOf } from "./responses";
import type { GenerateEvent, RpcClient } from "./rpc";

/** Resolves with the complete object. */
export async function answerWhole<Whole, Chunk>(
  rpc: RpcClient,
  request: GenerateRequest,
  shape: Shape<Whole, Chunk>,
  signal: AbortSignal | undefined,
): Promise<Whole> {
  const all = noPiece();
  let promptTokens = 0;
  const onEvent = (event: GenerateEvent): void => {
    if ("promptTokens" in event) promptTokens = event.promptTokens;
    else {
      all.text += event.delta.text;
      all.thought += event.delta.thought;
      for (const piece of event.delta.calls) addCall(all.calls, piece);
      add(all, event);
    }
  };
  const outcome = await rpc.call("generate", request, onEvent, signal);
  return shape.whole(all, outcome, usageOf(promptTokens, outcome));
}

/** Resolves once the request is accepted; leaving the stream early aborts the generation. */
export async function answerStream<Whole, Chunk>(
  rpc: RpcClient,
  request: GenerateRequest,
  shape: Shape<Whole, Chunk>,
  signal: AbortSignal | undefined,
): Promise<AsyncIterable<Chunk>> {
  const left = new AbortController();
  const either = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
  const channel = new Channel<Chunk>(() => left.abort());
  const piece = noPiece();
  let promptTokens = 0;
  await new Promise<void>((accept, reject) => {
    const onEvent = (event: GenerateEvent): void => {
      if ("promptTokens" in event) {
        promptTokens = event.promptTokens;
        for (const chunk of shape.begin()) channel.push(chunk);
        return accept();
      }
      add(piece, event);
      const { text, thought, calls } = event.delta;
      // Tokens without certain text yet travel with the next text.
      if (text === "" && thought === "" && calls.length === 0) return;
      channel.push(shape.chunk({ ...event.delta, tokens: piece.tokens.splice(0), logprobs: piece.logprobs.splice(0) }, null));
    };
    rpc.call("generate", request, onEvent, either).then(
      (outcome) => {
        channel.push(shape.chunk(piece, outcome));
        if (request.params.stream_options?.include_usage) channel.push(shape.usage(usageOf(promptTokens, outcome)));
        channel.end();
      },
      (error: Error) => {
        reject(error); // without effect where the request was accepted
        channel.end(error);
      },
    );
  });
  return channel;
}

function add(piece: Piece, { token, logprob }: Exclude<GenerateEvent, { promptTokens: number }>): void {
  if (token !== null) piece.tokens.push(token);
  if (logprob) piece.logprobs.push(logprob);
}
