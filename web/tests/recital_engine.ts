/** The engine from OpenAI's objects down to a fake backend, over a real message channel instead of a worker. */

import { chatCompletions, textCompletions } from "../src/engine/completions";
import { Core } from "../src/engine/core";
import type { ChatCompletionChunk, ChatParams } from "../src/engine/openai";
import { type Endpoint, RpcClient, serveRpc } from "../src/engine/rpc";
import { ChatTemplate } from "../src/text/chat";
import { Tokenizer } from "../src/text/tokenizer";
import { FakeBackend } from "./fake_backend";
import { CONTEXT, makeArtifact, PREFILL, STOP, TEMPLATE, TOKENIZER_FACTS, tokenizerFile, VOCABULARY } from "./fixture";
import { loadForNode } from "./xgrammar";

export const TEXT = "the tea ☕ is in the tin";
export const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
const STORAGE = { place: "files", network_bytes: 0, stored_bytes: 64, persistent: false, note: null } as const;
export const SCRIPT = [...tokenizer.encodePlain(TEXT), STOP[1]!];

/** The fixture's tokenizer with these special tokens behind its own. */
export function withMarks(marks: readonly string[], template: string): Tokenizer {
  const file = tokenizerFile() as { added_tokens: { id: number; content: string }[]; model: { vocab: Record<string, number> } };
  const added = marks.map((content, i) => ({ ...file.added_tokens[0]!, id: VOCABULARY.length + i, content }));
  const vocab = { ...file.model.vocab, ...Object.fromEntries(added.map(({ content, id }) => [content, id])) };
  return new Tokenizer({ ...file, added_tokens: [...file.added_tokens, ...added], model: { ...file.model, vocab } }, TOKENIZER_FACTS, template);
}

/**
 * An engine that recites TEXT, or `answer`, in which special tokens are recognised, with what its backend was asked. `adjusts`: whether the artifact has the
 * steps for changed logits. `marks`: special tokens of the model beside the fixture's. `context`: of prompt and answer.
 */
export async function start({ chat = true, template = TEMPLATE, adjusts = true, marks = [] as readonly string[], answer = "", context = CONTEXT } = {}) {
  const { manifest } = await makeArtifact(TEXT, { chat });
  if (adjusts) manifest.adjust = { adjustments: 0, mask: 0 };
  manifest.context = context;
  const tokenizer = withMarks(marks, template);
  manifest.facts["vocab_size"] = VOCABULARY.length + marks.length;
  const backend = new FakeBackend(answer === "" ? SCRIPT : tokenizer.encode(answer), { prefillSizes: PREFILL });
  backend.vocabulary = VOCABULARY.length + marks.length;
  const rendering = chat ? new ChatTemplate(template, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" }) : null;
  const core = new Core({ manifest, tokenizer, chat: rendering, backend, storage: STORAGE, activations: "float", fallBack: null }, { stepsInFlight: 4, conversationMemory: 1000 }, () => undefined, loadForNode);
  const { port1, port2 } = new MessageChannel();
  serveRpc(port1 as Endpoint, {
    load: async () => core.info,
    makeRoom: async () => null,
    logits: (request) => core.logits(request),
    generate: (request, onEvent, signal) =>
      core.generate(request, (promptTokens) => onEvent({ promptTokens }), (token, delta, logprob) => onEvent({ token, delta, logprob }), signal),
    selfTest: (options) => core.selfTest(options),
    unload: async () => null,
  });
  const rpc = new RpcClient(port2 as Endpoint);
  port1.start();
  port2.start();
  const completions = textCompletions(rpc, manifest.name);
  const chats = chatCompletions(rpc, manifest.name);
  return { backend, rpc, completions, chats, tokenizer };
}

/** The deltas of a stream, each field joined, with the calls as the client adds them up. */
export async function joined(chunks: AsyncIterable<ChatCompletionChunk>) {
  const all = { content: "", reasoning_content: "", finish_reason: null as string | null, calls: [] as { name: string; arguments: string }[] };
  for await (const { choices } of chunks) {
    for (const { delta, finish_reason } of choices) {
      all.content += delta.content ?? "";
      all.reasoning_content += delta.reasoning_content ?? "";
      all.finish_reason = finish_reason;
      for (const { index, function: { name, arguments: piece } } of delta.tool_calls ?? []) {
        if (name !== undefined) all.calls[index] = { name, arguments: "" };
        all.calls[index]!.arguments += piece;
      }
    }
  }
  return all;
}

export const MESSAGES: ChatParams["messages"] = [{ role: "user", content: "tea?" }];
