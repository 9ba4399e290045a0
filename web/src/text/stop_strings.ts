/** Finds stop strings in text that arrives in pieces, and holds back what may be the beginning of one. */

export class StopStrings {
  private held = "";

  constructor(private readonly stops: readonly string[]) {}

  /** Adds a piece. Returns the text that may be shown, and whether a stop string ended it; that string is not shown. */
  push(piece: string): { text: string; stopped: boolean } {
    this.held += piece;
    const found = this.stops.map((stop) => this.held.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      const text = this.held.slice(0, Math.min(...found));
      this.held = "";
      return { text, stopped: true };
    }
    const safe = this.held.length - this.longestBeginning();
    const text = this.held.slice(0, safe);
    this.held = this.held.slice(safe);
    return { text, stopped: false };
  }

  /** What was held back, when no piece will follow. */
  end(): string {
    const text = this.held;
    this.held = "";
    return text;
  }

  /** Length of the longest end of `held` with which a stop string begins. */
  private longestBeginning(): number {
    const longest = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, this.held.length); length > 0; length--) {
      const end = this.held.slice(-length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
