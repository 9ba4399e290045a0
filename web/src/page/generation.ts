/** Runs one streamed answer for a view: its text as it grows, its speed, and how to stop it. */

import type { ReactiveController, ReactiveControllerHost } from "lit";
import type { ChatCompletionChunk, CompletionChunk, Usage } from "../engine/openai";
import { formatSpeed } from "./format";

type Chunk = ChatCompletionChunk | CompletionChunk;

export class Generation implements ReactiveController {
  running = false;
  text = "";
  private aborter = new AbortController();

  constructor(
    private readonly host: ReactiveControllerHost,
    /** Told what goes on; an error where one ended the answer. */
    private readonly report: (status: string, error?: Error) => void,
  ) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.stop();
  }

  stop(): void {
    this.aborter.abort();
  }

  /** Resolves with the whole text when the answer has ended, however it did. */
  async run(create: (signal: AbortSignal) => Promise<AsyncIterable<Chunk>>): Promise<string> {
    this.aborter = new AbortController();
    this.running = true;
    this.text = "";
    this.report("Reading the prompt…");
    this.host.requestUpdate();
    try {
      await this.read(await create(this.aborter.signal));
    } catch (error) {
      this.report("The answer broke off", error as Error);
    }
    this.running = false;
    this.host.requestUpdate();
    return this.text;
  }

  private async read(stream: AsyncIterable<Chunk>): Promise<void> {
    const started = performance.now();
    let firstAt = 0;
    let tokens = 0;
    let finish = "";
    let usage: Usage | undefined;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      const choice = chunk.choices[0];
      if (!choice) continue;
      finish = choice.aborted ? "abort" : (choice.finish_reason ?? finish);
      this.text += "delta" in choice ? (choice.delta.content ?? "") : choice.text;
      if (choice.token_ids?.length) {
        firstAt ||= performance.now();
        tokens += choice.token_ids.length;
        const seconds = (performance.now() - firstAt) / 1000;
        this.report(`Answering: ${formatSpeed(tokens, seconds > 0 ? (tokens - 1) / seconds : 0, firstAt - started)}`);
      }
      this.host.requestUpdate();
    }
    if (usage) this.report(`${ENDINGS[finish] ?? "Done"}: ${speedOf(usage)}`);
  }
}

const ENDINGS: Record<string, string> = { abort: "Stopped", length: "Done, cut at its longest" };

function speedOf({ completion_tokens, gemlet }: Usage): string {
  return formatSpeed(completion_tokens, gemlet.decode_tokens_per_second, gemlet.time_to_first_token_ms);
}
