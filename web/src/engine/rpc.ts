/** Calls into the worker: a request, events while it runs, and one result or error. Typed by `Methods`. */

import type { StorageFull } from "../artifact/room";
import type { BackendInfo } from "../backend/backend";
import { type ErrorCode, GemletError } from "../errors";
import type { Outcome } from "../generate/generate";
import type { SelfTestOptions, SelfTestReport } from "../known_answer/self_test";
import type { Delta } from "../text/answer_reader";
import { isObject, show } from "./check_fields";
import type { EngineInfo, GenerateRequest, Logits } from "./core";
import type { LoadRequest, Progress } from "./load";
import type { TokenLogprob } from "./openai";

export type GenerateEvent = { promptTokens: number } | { token: number | null; delta: Delta; logprob?: TokenLogprob | undefined };

/** `storageFull`: the load waits until `makeRoom` says what may go. */
export type LoadEvent = Progress | { storageFull: StorageFull };

/**
 * What the worker tells that no call asked for: another backend has taken over, or how far it is with that; and the name of the lock that the worker holds for
 * as long as it is there.
 */
export type Notice = { backend: BackendInfo } | { progress: Progress } | { lifetime: string };

/** What the worker can do: name to arguments, events and result. */
export interface Methods {
  load: { args: LoadRequest; event: LoadEvent; result: EngineInfo };
  /** Folders of stored models that may be deleted, for the load under way. */
  makeRoom: { args: string[]; event: never; result: null };
  logits: { args: Logits; event: never; result: Float32Array<ArrayBuffer> };
  generate: { args: GenerateRequest; event: GenerateEvent; result: Outcome };
  selfTest: { args: SelfTestOptions; event: never; result: SelfTestReport };
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
  /** `messageerror`: what came could not be read. */
  addEventListener(type: "message" | "messageerror", listener: (event: MessageEvent) => void): void;
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
    endpoint.addEventListener("message", ({ data }) => this.receive(data as FromWorker | null));
    endpoint.addEventListener("messageerror", () => this.receive(null));
  }

  /** Throws GemletError "bad-request" where the arguments are nothing that can be sent, and whatever the method does. */
  async call<M extends Method>(
    method: M,
    args: Methods[M]["args"],
    onEvent: (event: Methods[M]["event"]) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Methods[M]["result"]> {
    if (this.failure) throw this.failure;
    const id = this.nextId++;
    const abort = (): void => this.post({ id, abort: true });
    const result = new Promise<Methods[M]["result"]>((resolve, reject) => {
      this.calls.set(id, {
        resolve: resolve as (result: unknown) => void,
        reject,
        onEvent: onEvent as (event: unknown) => void,
      });
    });
    try {
      this.post({ id, method, args });
    } catch (cause) {
      this.calls.delete(id);
      this.nextId = id; // as if it had never been: the worker counts
      throw new GemletError("bad-request", `what ${method} was given cannot be sent to the engine: ${(cause as Error).message}`);
    }
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    return result.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Rejects all calls, those to come too; the first error stays. */
  fail(error: Error): void {
    this.failure ??= error;
    this.rejectAll(this.failure);
  }

  private rejectAll(error: Error): void {
    for (const call of this.calls.values()) call.reject(error);
    this.calls.clear();
  }

  private receive(message: FromWorker | null): void {
    // Whose answer it was cannot be told.
    if (!isObject(message)) return this.rejectAll(new GemletError("worker-failed", "a message of the engine's worker could not be read; ask again"));
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

/** Answers calls at this end. Errors keep the code of a GemletError. No message can do more than fail. */
export function serveRpc(endpoint: Endpoint, handlers: Handlers): Served {
  const running = new Map<number, AbortController>();
  /** Of the newest call: ids count up. */
  let newest = -1;
  const post = (message: FromWorker, transfer: Transferable[] = []): void => endpoint.postMessage(message, transfer);

  const postError = (id: number, error: unknown): void => {
    const code = error instanceof GemletError ? error.code : null;
    post({ id, error: { code, message: error instanceof Error ? error.message : String(error) } });
  };
  const run = async (id: number, method: Method, args: unknown): Promise<void> => {
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
  const receive = (message: unknown): void => {
    if (!isObject(message)) {
      // A browser gives null for what nests too deep for it. Only a call is large, and it is the next one.
      newest += 1;
      return postError(newest, new GemletError("bad-request", "the request did not arrive whole; it may nest too deep"));
    }
    const { id, method, args, abort } = message;
    if (!Number.isSafeInteger(id)) return;
    if (abort === true) return running.get(id as number)?.abort();
    newest = Math.max(newest, id as number);
    if (running.has(id as number)) return; // it is answered already
    if (typeof method !== "string" || !Object.hasOwn(handlers, method)) {
      return postError(id as number, new GemletError("bad-request", `expected one of ${Object.keys(handlers).join(", ")}, found ${show(method)}`));
    }
    void run(id as number, method as Method, args);
  };
  endpoint.addEventListener("message", ({ data }) => receive(data));
  endpoint.addEventListener("messageerror", () => receive(null));
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
