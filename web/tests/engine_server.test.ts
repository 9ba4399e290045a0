/** What pages that share an engine see of each other. The model comes from a fake load. */

import { beforeEach, expect, test, vi } from "vitest";
import { EngineServer } from "../src/engine/engine_server";
import { type LoadRequest, loadModel, type Model } from "../src/engine/load";
import { type Endpoint, RpcClient } from "../src/engine/rpc";
import { GemletError } from "../src/errors";
import { Tokenizer } from "../src/text/tokenizer";
import { FakeBackend } from "./fake_backend";
import { FakeFiles } from "./fake_files";
import { makeArtifact, PREFILL, TOKENIZER_FACTS, tokenizerFile } from "./fixture";

vi.mock("../src/engine/load", () => ({ loadModel: vi.fn() }));

const { manifest } = await makeArtifact("abc");
const REQUEST = { stepsInFlight: 1, conversationMemory: 0, tab: null } as unknown as LoadRequest;
const STORAGE = { place: "cache", network_bytes: 0, stored_bytes: 0, persistent: false, note: null } as const;

let backend: FakeBackend;
/** Ends the load that is under way. */
let finish: (error?: Error) => void;
let onProgress: Parameters<typeof loadModel>[2];

beforeEach(() => {
  backend = new FakeBackend([7], { prefillSizes: PREFILL });
  vi.mocked(loadModel).mockReset();
  vi.mocked(loadModel).mockImplementation((_, __, report, signal) => {
    onProgress = report;
    const model: Model = { manifest, tokenizer: new Tokenizer(tokenizerFile(), TOKENIZER_FACTS), chat: null, backend, storage: STORAGE, activations: "float", fallBack: null };
    return new Promise((resolve, reject) => {
      finish = (error) => (error ? reject(error) : resolve(model));
      signal.addEventListener("abort", () => reject(new GemletError("aborted", "all have left")));
    });
  });
});

function start(pages: number) {
  const onLeft = vi.fn();
  const server = new EngineServer(onLeft);
  const clients = Array.from({ length: pages }, () => {
    const { port1, port2 } = new MessageChannel();
    server.connect(port1 as Endpoint);
    port1.start();
    const rpc = new RpcClient(port2 as Endpoint);
    port2.start();
    return rpc;
  });
  return { clients: clients as [RpcClient, RpcClient], onLeft };
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
const params = { prompt: [5], temperature: 0, ignore_eos: true };
const ask = (rpc: RpcClient, max_tokens: number) => rpc.call("generate", { kind: "completion", params: { ...params, max_tokens } });

test("two pages wait for one load, hear how it goes on, and use one backend", async () => {
  const { clients } = start(2);
  const heard = clients.map(() => vi.fn());
  const infos = clients.map((rpc, i) => rpc.call("load", REQUEST, heard[i]));
  await turn();
  onProgress({ phase: "weights", loaded: 1, total: 2, unit: "bytes" });
  finish();
  expect((await Promise.all(infos)).map(({ name }) => name)).toEqual(["recital", "recital"]);
  expect(loadModel).toHaveBeenCalledTimes(1);
  for (const each of heard) expect(each).toHaveBeenCalledTimes(1);
  for (const rpc of clients) await ask(rpc, 2);
  expect(backend.prompts.length).toBe(2);
});

test("a page that leaves ends its own answers alone, and the last one frees the model", async () => {
  const { clients, onLeft } = start(2);
  const infos = clients.map((rpc) => rpc.call("load", REQUEST));
  await turn();
  finish();
  await Promise.all(infos);
  const [first, second] = clients;
  const [left, stayed] = [ask(first, 1000), ask(second, 3)];
  await turn();
  await Promise.all([first.call("unload", null), expect(left).rejects.toMatchObject({ code: "unloaded" })]);
  expect(await stayed).toMatchObject({ completionTokens: 3, aborted: false });
  expect(backend.calls).not.toContain("unload");
  await second.call("unload", null);
  await turn();
  expect([backend.calls.at(-1), onLeft.mock.calls.length]).toEqual(["unload", 1]);
});

test("who aborts a load leaves it to the other, and the last one ends it", async () => {
  const { clients } = start(2);
  const aborters = clients.map(() => new AbortController());
  const loads = clients.map((rpc, i) => rpc.call("load", REQUEST, undefined, aborters[i]!.signal));
  const [first, second] = loads.map((load) => expect(load).rejects.toMatchObject({ code: "aborted" }));
  await turn();
  aborters[0]!.abort();
  await first;
  expect(vi.mocked(loadModel).mock.calls[0]![3].aborted).toBe(false);
  aborters[1]!.abort();
  await second;
  expect(vi.mocked(loadModel).mock.calls[0]![3].aborted).toBe(true);
});

test("a load that failed is tried anew by the next page", async () => {
  const { clients: [first, second] } = start(2);
  const failed = expect(first.call("load", REQUEST)).rejects.toMatchObject({ code: "network" });
  await turn();
  finish(new GemletError("network", "no answer"));
  await failed;
  const again = second.call("load", REQUEST);
  await turn();
  finish();
  expect((await again).name).toBe("recital");
});

test("a page whose tab is gone has left", async () => {
  vi.stubGlobal("navigator", new FakeFiles().navigator);
  const { clients: [page], onLeft } = start(1);
  let close!: () => void;
  void navigator.locks.request("tab 1", {}, () => new Promise<void>((release) => (close = release)));
  const info = page.call("load", { ...REQUEST, tab: "tab 1" });
  await turn();
  finish();
  await info;
  expect(onLeft).not.toHaveBeenCalled();
  close();
  await turn();
  expect([backend.calls.at(-1), onLeft.mock.calls.length]).toEqual(["unload", 1]);
  vi.unstubAllGlobals();
});
