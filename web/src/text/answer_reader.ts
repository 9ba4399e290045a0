/**
 * Reads an answer token by token: text, thoughts and tool calls.
 *
 * Markers are found by their ids, so text that only looks like one stays text, and none is ever seen in part. A call is given out when it
 * is whole: one that breaks off, or that cannot be read, becomes text, since half a call must not be run.
 */

import { type AnswerFormat, THOUGHT_LABEL, THOUGHT_LAST } from "./answer_format";
import { Detokenizer } from "./detokenizer";
import { StopStrings } from "./stop_strings";
import { type ParsedCall, parseCall } from "./tool_call_syntax";

/** What a token, or the end, made certain. */
export interface Delta {
  text: string;
  thought: string;
  calls: ParsedCall[];
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
  /** Calls that were given out. */
  callCount = 0;
  /** Tokens of thoughts, without those around them. */
  thoughtTokens = 0;
  private readonly detokenizer: Detokenizer;
  private readonly stops: StopStrings;
  private place: "text" | "thought" | "call" = "text";
  private thought = new ThoughtText();
  /** By turns what is outside and inside quotes. */
  private call: string[] = [];
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
    if (place === "call" && id === quote) return this.leave(() => this.call.push(""));
    if (place === "call" && id === callEnd) return this.leave(() => this.endCall());
    if (place === "thought" && id === thoughtEnd) return this.leave(() => (this.place = "text"));
    if (place === "text" && id === thoughtBegin) return this.leave(() => this.beginThought());
    if (id !== callBegin) return false;
    return this.leave(() => {
      if (place === "call") this.giveUpCall(); // it never ended; nor did a thought, which may be left so
      this.place = "call";
      this.call = [""];
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
    else if (this.place === "call") this.call[this.call.length - 1] += text;
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

  private endCall(): void {
    const call = parseCall(this.call);
    if (!call) return this.giveUpCall();
    this.place = "text";
    this.callCount += 1;
    this.delta.calls.push(call);
  }

  private giveUpCall(): void {
    this.place = "text";
    this.delta.text += this.call.join('"');
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
