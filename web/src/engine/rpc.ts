/** Calls into the worker: a request, events while it runs, and one result or error. Typed by `Methods`. */

import type { StorageFull } from "../artifact/room";
import type { BackendInfo } from "../backend/backend";
import { type ErrorCode, GemletError } from "../errors";
import type { Outcome } from "../generate/generate";
import type { Delta } from "../text/answer_reader";
import type { EngineInfo, GenerateRequest, Logits } from "./core";
import type { LoadRequest, Progress } from "./load";
import type { TokenLogprob } from "./openai";

export type GenerateEvent = { promptTokens: number } | { token: number | null; delta: Delta; logprob?: TokenLogprob | undefined };

/** `storageFull`: the load waits until `makeRoom` says what may go. */
export type LoadEvent = Progress | { storageFull: StorageFull };

/** What the worker tells that no call asked for: another backend has taken over, or how far it is with that. */
export type Notice = { backend: BackendInfo } | { progress: Progress };

/** What the worker can do: name to arguments, events and result. */
export interface Methods {
  load: { args: LoadRequest; event: LoadEvent; result: EngineInfo };
  /** Folders of stored models that may be deleted, for the load under way. */
  makeRoom: { args: string[]; event: never; result: null };
  logits: { args: Logits; event: never; result: Float32Array<ArrayBuffer> };
  generate: { args: GenerateRequest; event: GenerateEvent; result: Outcome };
  unload: { args: null; event: never; result: null };
}

export type Method = keyof Methods;

type Handlers = {
  [M in Method]: (
    args: Methods[M]["args"],
    onEvent: (event: Methods[M]["event"]) => void,
    signal: AbortSignal,
  ) => Promise<Methods[M]["result"]>;
};

type ToWorker = { id: number; method: Method; args: unknown } | { id: number; abort: true };
type FromWorker =
  | { id: number; event: unknown }
  | { id: number; result: unknown }
  | { id: number; error: { code: ErrorCode | null; message: string } }
  | { notice: Notice };

/** Both ends of it: a Worker, a worker's own global scope, or a MessagePort. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

interface Call {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onEvent(event: unknown): void;
}

export class RpcClient {
  private readonly calls = new Map<number, Call>();
  private nextId = 0;
  private failure: Error | undefined;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly onNotice: (notice: Notice) => void = () => undefined,
  ) {
    endpoint.addEventListener("message", ({ data }) => this.receive(data as FromWorker));
  }

  call<M extends Method>(
    method: M,
    args: Methods[M]["args"],
    onEvent: (event: Methods[M]["event"]) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Methods[M]["result"]> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.nextId++;
    const abort = (): void => this.post({ id, abort: true });
    const result = new Promise<Methods[M]["result"]>((resolve, reject) => {
      this.calls.set(id, {
        resolve: resolve as (result: unknown) => void,
        reject,
        onEvent: onEvent as (event: unknown) => void,
      });
    });
    this.post({ id, method, args });
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    return result.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Rejects all calls, those to come too. */
  fail(error: Error): void {
    this.failure = error;
    for (const call of this.calls.values()) call.reject(error);
    this.calls.clear();
  }

  private receive(message: FromWorker): void {
    if ("notice" in message) return this.onNotice(message.notice);
    const call = this.calls.get(message.id);
    if (!call) return;
    if ("event" in message) return call.onEvent(message.event);
    this.calls.delete(message.id);
    if ("result" in message) return call.resolve(message.result);
    const { code, message: text } = message.error;
    call.reject(code === null ? new Error(text) : new GemletError(code, text));
  }

  private post(message: ToWorker): void {
    this.endpoint.postMessage(message, []);
  }
}

/** The other end of an RpcClient. */
export interface Served {
  notify(notice: Notice): void;
  /** Aborts all calls but `unload`, which reject so. */
  end(error: GemletError): void;
}

/** Answers calls at this end. Errors keep the code of a GemletError. */
export function serveRpc(endpoint: Endpoint, handlers: Handlers): Served {
  const running = new Map<number, AbortController>();
  const post = (message: FromWorker, transfer: Transferable[] = []): void => endpoint.postMessage(message, transfer);

  const postError = (id: number, error: unknown): void => {
    const code = error instanceof GemletError ? error.code : null;
    post({ id, error: { code, message: error instanceof Error ? error.message : String(error) } });
  };
  const run = async ({ id, method, args }: { id: number; method: Method; args: unknown }): Promise<void> => {
    const controller = new AbortController();
    if (method !== "unload") running.set(id, controller);
    const isWanted = (): boolean => method === "unload" || running.has(id);
    const handler = handlers[method] as (
      args: unknown,
      onEvent: (event: unknown) => void,
      signal: AbortSignal,
    ) => Promise<unknown>;
    try {
      const result = await handler(args, (event) => isWanted() && post({ id, event }), controller.signal);
      if (isWanted()) post({ id, result }, result instanceof Float32Array ? [result.buffer] : []);
    } catch (error) {
      if (isWanted()) postError(id, error);
    } finally {
      running.delete(id);
    }
  };
  endpoint.addEventListener("message", ({ data }) => {
    const message = data as ToWorker;
    if ("abort" in message) running.get(message.id)?.abort();
    else void run(message);
  });
  return {
    notify: (notice) => post({ notice }),
    end: (error) => {
      for (const [id, controller] of running) {
        running.delete(id);
        postError(id, error);
        controller.abort();
      }
    },
  };
}
