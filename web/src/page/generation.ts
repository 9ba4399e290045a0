/** Runs one streamed answer for a view: its speed, how it ended, and how to stop it. */

import type { ReactiveController, ReactiveControllerHost } from "lit";
import type { ChatCompletionChunk, CompletionChunk, FinishReason, Usage } from "../engine/openai";
import type { StatusEvent } from "./events";
import { formatSpeed } from "./format";

type Chunk = ChatCompletionChunk | CompletionChunk;

export interface Ending {
  /** Undefined where the answer was stopped, or ended by an error. */
  finish: FinishReason | undefined;
  usage: Usage | undefined;
}

export class Generation implements ReactiveController {
  /** Stops the answer under way; undefined where there is none. */
  private aborter: AbortController | undefined;

  constructor(
    private readonly host: ReactiveControllerHost,
    /** Told what goes on; an error where one ended the answer. */
    private readonly report: (...status: ConstructorParameters<typeof StatusEvent>) => void,
  ) {
    host.addController(this);
  }

  get running(): boolean {
    return this.aborter !== undefined;
  }

  hostDisconnected(): void {
    this.abandon();
  }

  /** Ends the answer with what there is of it. */
  stop(): void {
    this.aborter?.abort();
  }

  /** Ends the answer, of which nothing more is given out. */
  abandon(): void {
    if (!this.aborter) return;
    this.aborter.abort();
    this.aborter = undefined;
    this.host.requestUpdate();
  }

  /** Gives each piece of the answer to `take`. Resolves with the answer's end, also by an error; with undefined where it was abandoned. */
  async run<C extends Chunk>(
    create: (signal: AbortSignal) => Promise<AsyncIterable<C>>,
    take: (choice: C["choices"][number]) => void,
  ): Promise<Ending | undefined> {
    const aborter = (this.aborter = new AbortController());
    const isCurrent = (): boolean => this.aborter === aborter;
    let ending: Ending = { finish: undefined, usage: undefined };
    this.report("Reading the prompt…");
    this.host.requestUpdate();
    try {
      ending = await this.read(await create(aborter.signal), isCurrent, take);
    } catch (error) {
      if (isCurrent()) this.report("The answer broke off", error as Error);
    }
    if (!isCurrent()) return undefined;
    this.aborter = undefined;
    this.host.requestUpdate();
    return ending;
  }

  private async read<C extends Chunk>(
    stream: AsyncIterable<C>,
    isCurrent: () => boolean,
    take: (choice: C["choices"][number]) => void,
  ): Promise<Ending> {
    const started = performance.now();
    const ending: Ending = { finish: undefined, usage: undefined };
    let isStopped = false;
    let firstAt = 0;
    let tokens = 0;
    for await (const chunk of stream) {
      if (!isCurrent()) break;
      ending.usage = chunk.usage ?? ending.usage;
      const choice: C["choices"][number] | undefined = chunk.choices[0];
      if (!choice) continue;
      isStopped ||= choice.aborted === true;
      if (!isStopped) ending.finish = choice.finish_reason ?? ending.finish;
      take(choice);
      if (choice.token_ids?.length) {
        firstAt ||= performance.now();
        tokens += choice.token_ids.length;
        const seconds = (performance.now() - firstAt) / 1000;
        this.report(`Answering: ${formatSpeed(tokens, seconds > 0 ? (tokens - 1) / seconds : 0, firstAt - started)}`, undefined, true);
      }
      this.host.requestUpdate();
    }
    if (isCurrent() && ending.usage) this.report(`${isStopped ? "Stopped" : ending.finish === "length" ? "Done, cut at its longest" : "Done"}: ${speedOf(ending.usage)}`);
    return ending;
  }
}

function speedOf({ completion_tokens, gemlet }: Usage): string {
  return formatSpeed(completion_tokens, gemlet.decode_tokens_per_second, gemlet.time_to_first_token_ms);
}
