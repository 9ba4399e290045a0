/** Text between a model's own quotes, as JSON. Brackets at its end are held back: they end the call where the last quote is missing. */

const BRACKETS = /[}\])][\s}\])]*$/;
/** What may be the next key of the object, or the first of one more. */
const KEY = /[,{[]\s*["']?[^\s"',:{}[\]]+["']?\s*:/;

export class QuotedText {
  /** What is held back. */
  brackets = "";
  private given = "";

  /** Whether the text holds what looks like a key, so that the last quote may have been meant before it. */
  get mayHoldKey(): boolean {
    return KEY.test(this.given + this.brackets);
  }

  /** More of the text. Gives the JSON that is certain. */
  text(text: string): string {
    const all = this.brackets + text;
    this.brackets = BRACKETS.exec(all)?.[0] ?? "";
    const certain = all.slice(0, all.length - this.brackets.length);
    this.given += certain;
    return JSON.stringify(certain).slice(1, -1);
  }

  /** The rest, with the quotation mark, where the last quote has come. */
  end(): string {
    return `${JSON.stringify(this.brackets).slice(1, -1)}"`;
  }
}
