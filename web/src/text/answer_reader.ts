/**
 * Reads an answer token by token: text, thoughts and tool calls.
 *
 * Markers are found by their ids, so text that only looks like one stays text, and none is ever seen in part. A call is given out as it comes, and is
 * JSON when it is whole. One that breaks off, or turns out to be none, becomes text as well, since half a call must not be run.
 */

import { type AnswerFormat, THOUGHT_LABEL, THOUGHT_LAST } from "./answer_format";
import { addCall, type CallDelta } from "./call_delta";
import { CallReader } from "./call_reader";
import { Detokenizer } from "./detokenizer";
import { StopStrings } from "./stop_strings";

/** What a token, or the end, made certain. */
export interface Delta {
  text: string;
  thought: string;
  calls: CallDelta[];
}

export interface Read {
  delta: Delta;
  /** A stop string ended the answer; thoughts and calls are not searched for them. */
  stopped: boolean;
  /** Tokens with which the answer has to go on. */
  next: readonly number[];
}

export const NOTHING: Read = { delta: { text: "", thought: "", calls: [] }, stopped: false, next: [] };

export class AnswerReader {
  /** Calls that were given out whole. */
  callCount = 0;
  /** Tokens of thoughts, without those around them. */
  thoughtTokens = 0;
  private readonly detokenizer: Detokenizer;
  private readonly stops: StopStrings;
  private place: "text" | "thought" | "call" = "text";
  private thought = new ThoughtText();
  /** Calls whose name was given out. */
  private begunCalls = 0;
  private call = new CallReader();
  private delta: Delta = NOTHING.delta;
  private stopped = false;

  constructor(
    decode: (ids: readonly number[]) => string,
    stopStrings: readonly string[],
    private readonly format: AnswerFormat,
  ) {
    this.detokenizer = new Detokenizer(decode);
    this.stops = new StopStrings(stopStrings);
  }

  push(id: number): Read {
    this.delta = { text: "", thought: "", calls: [] };
    if (!this.takeMarker(id)) this.takeToken(id);
    const { thinkingBudget, closing } = this.format;
    const isLongest = this.place === "thought" && this.thought.hasBegun && this.thoughtTokens >= thinkingBudget;
    return { delta: this.delta, stopped: this.stopped, next: isLongest ? closing : [] };
  }

  /** The rest, when no id will follow. */
  end(): Read {
    this.delta = { text: "", thought: "", calls: [] };
    this.takeText(this.detokenizer.end());
    if (this.place === "call") this.giveUpCall();
    if (!this.stopped) this.delta.text += this.stops.end();
    return { delta: this.delta, stopped: this.stopped, next: [] };
  }

  private takeMarker(id: number): boolean {
    const { thoughtBegin, thoughtEnd, callBegin, callEnd, quote } = this.format.markers;
    const { place } = this;
    if (place === "call" && id === quote) return this.leave(() => this.giveCall(this.call.quote()));
    if (place === "call" && id === callEnd) return this.leave(() => this.endCall());
    if (place === "thought" && id === thoughtEnd) return this.leave(() => (this.place = "text"));
    if (place === "text" && id === thoughtBegin) return this.leave(() => this.beginThought());
    if (id !== callBegin) return false;
    return this.leave(() => {
      if (place === "call") this.giveUpCall(); // it never ended; nor did a thought, which may be left so
      this.place = "call";
      this.call = new CallReader();
    });
  }

  /** Gives out what was held back of the place that ends here, then does `enter`. */
  private leave(enter: () => void): true {
    this.takeText(this.detokenizer.end());
    if (this.stopped) return true;
    if (this.place === "text") this.delta.text += this.stops.end();
    enter();
    return true;
  }

  private takeToken(id: number): void {
    const counts = this.place === "thought" && this.thought.hasBegun;
    if (counts && this.thoughtTokens < this.format.thinkingBudget) this.thoughtTokens += 1;
    this.takeText(this.detokenizer.push(id));
  }

  private takeText(text: string): void {
    if (this.place === "thought") this.delta.thought += this.thought.push(text);
    else if (this.place === "call") this.giveCall(this.call.text(text));
    else {
      const found = this.stops.push(text);
      this.delta.text += found.text;
      this.stopped ||= found.stopped;
    }
  }

  private beginThought(): void {
    this.place = "thought";
    this.thought = new ThoughtText();
  }

  private giveCall(json: string, whole = false): void {
    const name = this.call.takeName();
    if (name !== undefined) this.begunCalls += 1;
    if (name === undefined && json === "") return;
    addCall(this.delta.calls, { index: this.begunCalls - 1, ...(name !== undefined && { name }), arguments: json, whole });
  }

  private endCall(): void {
    const json = this.call.end();
    if (json === null) return this.giveUpCall();
    this.giveCall(json, true);
    this.place = "text";
    this.callCount += 1;
  }

  private giveUpCall(): void {
    this.place = "text";
    this.delta.text += this.call.raw;
  }
}

/** The text of a thought without its label and its last newline, both of which come in pieces. */
class ThoughtText {
  /** Whether the label is over. */
  hasBegun = false;
  private held = "";

  /** The text that is now certain. */
  push(text: string): string {
    this.held += text;
    if (!this.hasBegun) {
      if (THOUGHT_LABEL.startsWith(this.held) && this.held !== THOUGHT_LABEL) return "";
      this.hasBegun = true;
      if (this.held.startsWith(THOUGHT_LABEL)) this.held = this.held.slice(THOUGHT_LABEL.length);
    }
    const certain = this.held.endsWith(THOUGHT_LAST) ? this.held.length - THOUGHT_LAST.length : this.held.length;
    const given = this.held.slice(0, certain);
    this.held = this.held.slice(certain);
    return given;
  }
}
