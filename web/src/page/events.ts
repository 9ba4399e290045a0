/** What views tell the page. */

import type { ChatMessage } from "../engine/openai";

/** A line on what goes on, and an error where one ended an answer. */
export class StatusEvent extends Event {
  static readonly type = "gemlet-status";

  constructor(
    readonly status: string,
    readonly error?: Error,
    /** Another one follows at once, so that it is not to be read aloud. */
    readonly isPassing = false,
  ) {
    super(StatusEvent.type, { bubbles: true, composed: true });
  }
}

/** The conversation has changed by what a person or the model did. */
export class MessagesEvent extends Event {
  static readonly type = "gemlet-messages";

  /** `messages`: all that there are now. An answer that is being written is told of about once a second, as far as it has come. */
  constructor(readonly messages: ChatMessage[]) {
    super(MessagesEvent.type, { bubbles: true, composed: true });
  }
}

/** The list's choice: another conversation, or a new chat, is shown. */
export class ChosenEvent extends Event {
  static readonly type = "gemlet-chosen";

  constructor() {
    super(ChosenEvent.type, { bubbles: true, composed: true });
  }
}

/** Another system prompt is set. */
export class SystemPromptEvent extends Event {
  static readonly type = "gemlet-system-prompt";

  constructor(readonly text: string) {
    super(SystemPromptEvent.type, { bubbles: true, composed: true });
  }
}
