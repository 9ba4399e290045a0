/** Finds a call of a known tool at the beginning of text, since models forget the token that begins one. */

export class BareCall {
  private readonly heads: readonly string[];
  /** What may become such a beginning; null where the text has begun otherwise. */
  private held: string | null = "";

  constructor(names: readonly string[]) {
    this.heads = names.flatMap((name) => [`call:${name}{`, `call:${name}(`]);
    if (names.length === 0) this.held = null;
  }

  /** Text begins again. */
  begin(): void {
    if (this.heads.length > 0) this.held = "";
  }

  /** More of the text. Gives what is text for certain, or what the call has so far. */
  push(text: string): { text: string; call: string } {
    if (this.held === null) return { text, call: "" };
    this.held += text;
    const begun = this.held.trimStart();
    if (this.heads.some((head) => begun.startsWith(head))) return { text: "", call: this.end() };
    return { text: this.heads.some((head) => head.startsWith(begun)) ? "" : this.end(), call: "" };
  }

  /** What was held back, when the text is over. */
  end(): string {
    const held = this.held ?? "";
    this.held = null;
    return held;
  }
}
