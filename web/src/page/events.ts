/** What views tell the page: a line on what goes on, and an error where one ended an answer. */
export class StatusEvent extends Event {
  static readonly type = "gemlet-status";

  constructor(
    readonly status: string,
    readonly error?: Error,
  ) {
    super(StatusEvent.type, { bubbles: true, composed: true });
  }
}
