/**
 * Reads an answer token by token: text, thoughts and tool calls. It begins where the prompt ended, which may have opened
 * a thought or a call.
 *
 * Markers are found by their ids, so text that only looks like one stays text, and none is ever seen in part; but a call
 * may stand where text begins (bare_call.ts). A call is given out as it comes, and is JSON when it is whole. One that
 * breaks off, or turns out to be none, becomes text as well, since half a call must not be run.
 */

import type { AnswerFormat } from "./answer_format";
import { BareCall } from "./bare_call";
import { addCall, type CallDelta } from "./call_delta";
import { CallReader } from "./call_reader";
import { Detokenizer } from "./detokenizer";
import { StopStrings } from "./stop_strings";
import { ThoughtText } from "./thought_text";

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
  private readonly bareCall: BareCall;
  /** Calls whose name was given out. */
  private begunCalls = 0;
  private call = new CallReader();
  /** What the prompt has of the call that it opened: it comes with the first delta, since a call is given whole. */
  private promptCalls: CallDelta[] = [];
  private delta: Delta = NOTHING.delta;
  private stopped = false;

  constructor(
    decode: (ids: readonly number[]) => string,
    stopStrings: readonly string[],
    private readonly format: AnswerFormat,
  ) {
    this.detokenizer = new Detokenizer(decode);
    this.stops = new StopStrings(stopStrings);
    this.bareCall = new BareCall(format.tools ?? []);
    this.readPrompt();
  }

  /** Whether what comes next is a thought. */
  get thinks(): boolean {
    return this.place === "thought";
  }

  /** Tokens with which the answer has to begin. */
  get first(): readonly number[] {
    const { opening } = this.format;
    return this.thinks && opening.length > 0 ? [...this.closing, ...opening] : [...this.dueClosing(), ...opening];
  }

  push(id: number): Read {
    this.beginDelta();
    if (!this.takeMarker(id)) this.takeToken(id);
    return { delta: this.delta, stopped: this.stopped, next: this.dueClosing() };
  }

  /** The rest, when no id will follow. `isTurn`: the model ended its turn, which may stand for the last token of a call. */
  end(isTurn = false): Read {
    this.beginDelta();
    this.takeText(this.detokenizer.end());
    if (this.place === "call") this.leaveCall(isTurn);
    else this.takeCertainText(this.bareCall.end());
    if (!this.stopped) this.delta.text += this.stops.end();
    return { delta: this.delta, stopped: this.stopped, next: [] };
  }

  /** Brings the reader to where the prompt ended; what came before is no part of the answer. */
  private readPrompt(): void {
    for (const id of this.format.begun ?? []) {
      if (this.place !== "call") this.forget();
      if (!this.takeMarker(id) && this.place !== "text") this.takeToken(id);
    }
    if (this.place === "call") this.promptCalls = this.delta.calls;
    else this.forget();
    this.thought.forget();
    this.call.raw = "";
    this.callCount = 0;
    this.thoughtTokens = 0;
    this.stopped = false;
  }

  private forget(): void {
    this.delta = { text: "", thought: "", calls: [] };
    this.begunCalls = 0;
  }

  private beginDelta(): void {
    this.delta = { text: "", thought: "", calls: this.promptCalls.splice(0) };
  }

  private get closing(): readonly number[] {
    return this.thought.isAtLineStart ? [this.format.markers.thoughtEnd!] : this.format.closing;
  }

  private dueClosing(): readonly number[] {
    const isLongest = this.thinks && this.thought.hasBegun && this.thoughtTokens >= this.format.thinkingBudget;
    return isLongest ? this.closing : [];
  }

  private takeMarker(id: number): boolean {
    const { thoughtBegin, thoughtEnd, callBegin, callEnd, quote } = this.format.markers;
    const { place } = this;
    if (place === "call" && id === quote) return this.leave(() => this.giveCall(this.call.quote()));
    if (place === "call" && id === callEnd) return this.leave(() => this.endCall());
    if (place === "thought" && id === thoughtEnd) return this.leave(() => this.beginText());
    // One end too many.
    if (id === callEnd || (place === "text" && id === thoughtEnd)) return this.leave(() => undefined);
    // In a thought it begins once more: the model does not always see that the prompt has opened one.
    if (id === thoughtBegin && (place !== "call" || this.call.complete)) return this.leave(() => this.beginThought());
    if (id !== callBegin) return false;
    return this.leave(() => {
      if (this.place === "call") this.leaveCall(true); // a thought may be left without its end
      this.beginCall("");
    });
  }

  /** Gives out what was held back of the place that ends here, then does `enter`. */
  private leave(enter: () => void): true {
    this.takeText(this.detokenizer.end());
    if (this.place === "text") this.takeCertainText(this.bareCall.end());
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
    else if (this.place === "call") this.takeCallText(text);
    else {
      const found = this.bareCall.push(text);
      this.takeCertainText(found.text);
      if (found.call !== "") this.beginCall(found.call);
    }
  }

  private takeCertainText(text: string): void {
    const found = this.stops.push(text);
    this.delta.text += found.text;
    this.stopped ||= found.stopped;
  }

  private beginText(): void {
    this.place = "text";
    this.bareCall.begin();
  }

  private beginCall(text: string): void {
    this.place = "call";
    this.call = new CallReader();
    this.takeCallText(text);
  }

  private takeCallText(text: string): void {
    this.giveCall(this.call.text(text));
    const next = this.call.takeNext();
    if (next === undefined) return;
    this.endCall();
    if (!this.stopped) this.beginCall(next);
  }

  private beginThought(): void {
    if (this.place === "call") this.leaveCall(true);
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
    const json = this.call.end(true);
    if (json === null) return this.giveUpCall();
    this.giveCall(json, true);
    this.beginText();
    this.callCount += 1;
    this.stopped ||= this.callCount >= (this.format.mostCalls ?? Infinity);
  }

  /** Ends a call whose last token did not come. `isOver`: the model went on to something else: nothing more would come. */
  private leaveCall(isOver: boolean): void {
    if (isOver && this.call.complete) this.endCall();
    else this.giveUpCall();
  }

  private giveUpCall(): void {
    this.place = "text";
    this.delta.text += this.call.raw;
  }
}
