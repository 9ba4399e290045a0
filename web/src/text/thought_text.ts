/** The text of a thought without its label and its last newline, both of which come in pieces. */

import { THOUGHT_LABEL, THOUGHT_LAST } from "./answer_format";

export class ThoughtText {
  /** Whether the label is over. */
  hasBegun = false;
  private held = "";
  private lastGiven = "\n";

  /** Whether nothing stands in its last line. */
  get isAtLineStart(): boolean {
    return this.hasBegun && (this.held || this.lastGiven).endsWith("\n");
  }

  /** Leaves out what is held back: it is no part of the answer. */
  forget(): void {
    if (!this.hasBegun) return;
    this.lastGiven = this.held || this.lastGiven;
    this.held = "";
  }

  /** The text that is now certain. */
  push(text: string): string {
    this.held += text;
    if (!this.hasBegun) {
      const begun = this.held.trimStart();
      if (THOUGHT_LABEL.startsWith(begun) && begun !== THOUGHT_LABEL) return "";
      this.hasBegun = true;
      if (begun.startsWith(THOUGHT_LABEL)) this.held = begun.slice(THOUGHT_LABEL.length);
    }
    const certain = this.held.endsWith(THOUGHT_LAST) ? this.held.length - THOUGHT_LAST.length : this.held.length;
    const given = this.held.slice(0, certain);
    this.lastGiven = given || this.lastGiven;
    this.held = this.held.slice(certain);
    return given;
  }
}
