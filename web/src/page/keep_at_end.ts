/** Keeps a list that grows at its end, unless the reader has scrolled away from there. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

/** Pixels from the end that count as being there. */
const NEAR = 40;

export class KeepAtEnd implements ReactiveController {
  private atEnd = true;
  private top = 0;
  private observed = false;
  private readonly observer = new ResizeObserver(() => this.follow());

  constructor(
    private readonly host: ReactiveControllerHost,
    /** The element that scrolls, whose only child is what grows. It calls `onScroll`. */
    private readonly list: () => HTMLElement,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.host.requestUpdate();
  }

  hostUpdated(): void {
    this.follow();
    if (this.observed) return;
    this.observed = true;
    this.observer.observe(this.list());
    this.observer.observe(this.list().firstElementChild!);
  }

  hostDisconnected(): void {
    this.observer.disconnect();
    this.observed = false;
  }

  /** Goes to the end, wherever the reader is. */
  go(): void {
    this.atEnd = true;
    this.host.requestUpdate();
  }

  readonly onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = this.list();
    // The event of an earlier scroll comes when the list has grown again: only a reader goes up.
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.atEnd = true;
    else if (scrollTop < this.top) this.atEnd = false;
    this.top = scrollTop;
  };

  private follow(): void {
    const list = this.list();
    if (this.atEnd) list.scrollTop = list.scrollHeight;
  }
}
