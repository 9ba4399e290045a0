/** The engine from OpenAI's objects down to a fake backend, over a real message channel instead of a worker. */

import { chatCompletions, textCompletions } from "../src/engine/completions";
import { Core } from "../src/engine/core";
import type { ChatParams } from "../src/engine/openai";
import { type Endpoint, RpcClient, serveRpc } from "../src/engine/rpc";
import { ChatTemplate } from "../src/text/chat";
import { Tokenizer } from "../src/text/tokenizer";
import { FakeBackend } from "./fake_backend";
import { makeArtifact, PREFILL, STOP, TEMPLATE, TOKENIZER_FACTS, tokenizerFile, VOCABULARY } from "./fixture";
import { loadForNode } from "./xgrammar";

export const TEXT = "the tea ☕ is in the tin";
export const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
const STORAGE = { place: "files", network_bytes: 0, stored_bytes: 64, persistent: false, note: null } as const;
export const SCRIPT = [...tokenizer.encodePlain(TEXT), STOP[1]!];

/** An engine that recites TEXT, with what its backend was asked. `adjusts`: whether the artifact has the steps for changed logits. */
export async function start({ chat = true, template = TEMPLATE, adjusts = true } = {}) {
  const { manifest } = await makeArtifact(TEXT, { chat });
  if (adjusts) manifest.adjust = { adjustments: 0, mask: 0 };
  const backend = new FakeBackend(SCRIPT, { prefillSizes: PREFILL });
  backend.vocabulary = VOCABULARY.length;
  const rendering = chat ? new ChatTemplate(template, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" }) : null;
  const core = new Core({ manifest, tokenizer, chat: rendering, backend, storage: STORAGE, fallBack: null }, { stepsInFlight: 4, conversationMemory: 1000 }, () => undefined, loadForNode);
  const { port1, port2 } = new MessageChannel();
  serveRpc(port1 as Endpoint, {
    load: async () => core.info,
    makeRoom: async () => null,
    logits: (request) => core.logits(request),
    generate: (request, onEvent, signal) =>
      core.generate(request, (promptTokens) => onEvent({ promptTokens }), (token, delta, logprob) => onEvent({ token, delta, logprob }), signal),
    unload: async () => null,
  });
  const rpc = new RpcClient(port2 as Endpoint);
  port1.start();
  port2.start();
  const completions = textCompletions(rpc, manifest.name);
  const chats = chatCompletions(rpc, manifest.name);
  return { backend, rpc, completions, chats };
}

export const MESSAGES: ChatParams["messages"] = [{ role: "user", content: "tea?" }];
