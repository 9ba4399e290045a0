/** An async iterable that is filled from callbacks. One reader. */
export class Channel<T> implements AsyncIterable<T> {
  private readonly items: T[] = [];
  private ended = false;
  private error: Error | undefined;
  private wake: () => void = () => undefined;

  /** `onCancel` is called where the reader leaves before the end. */
  constructor(private readonly onCancel: () => void) {}

  push(item: T): void {
    this.items.push(item);
    this.wake();
  }

  /** Ends it, with an error if one is given. */
  end(error?: Error): void {
    this.ended = true;
    this.error = error;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (;;) {
        while (this.items.length > 0) yield this.items.shift()!;
        if (this.error) throw this.error;
        if (this.ended) return;
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      if (!this.ended) this.onCancel();
    }
  }
}
