/**
 * Token ids to text as they come. The pieces joined are exactly the text of all ids.
 *
 * A token's text depends on its neighbours: bytes of one character may be spread over tokens, and a decoder may treat the
 * first space differently. So the newest ids are decoded behind those before them, and the difference is what is new.
 */

const INCOMPLETE = "\uFFFD"; // what decoders put for a character whose bytes are not all there

export class Detokenizer {
  /** Ids whose text has been given out last; they are the context of the next ones. */
  private context: number[] = [];
  private pending: number[] = [];

  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  /** Adds an id; returns the text that is now certain, which may be empty. */
  push(id: number): string {
    this.pending.push(id);
    const text = this.pendingText();
    return text.endsWith(INCOMPLETE) ? "" : this.give(text);
  }

  /** The rest, when no id will follow: bytes that never became a character give U+FFFD. */
  end(): string {
    return this.give(this.pendingText());
  }

  private pendingText(): string {
    const before = this.decode(this.context);
    return this.decode([...this.context, ...this.pending]).slice(before.length);
  }

  private give(text: string): string {
    // Ids without text of their own (special ones) are no context.
    if (text !== "") {
      this.context = this.pending;
      this.pending = [];
    }
    return text;
  }
}
