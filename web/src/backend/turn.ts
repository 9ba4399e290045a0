/** Lets messages in that have come to this thread while it computed, as one that aborts the answer. */

export class Turns {
  private readonly channel = new MessageChannel();
  private readonly waiting: (() => void)[] = [];

  constructor() {
    this.channel.port1.onmessage = () => this.waiting.shift()!();
  }

  /** Resolves in a later turn of the event loop. Timers would wait 4 ms. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.channel.port2.postMessage(null);
    });
  }

  /** Those that wait go on at once. */
  close(): void {
    this.channel.port1.close();
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
