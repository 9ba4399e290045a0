/** Layout of a chat: messages that scroll above a box to write in. */

import { css } from "lit";

export const chatStyles = css`
  :host {
    display: flex;
    flex-direction: column;
    min-height: 0;
    flex: 1;
    gap: 0.6rem;
  }
  .messages {
    flex: 1;
    min-height: 12rem;
    overflow-y: auto;
    overscroll-behavior: contain;
    padding: 0.2rem;
  }
  .content,
  .log {
    display: flex;
    flex-direction: column;
    gap: 0.6rem;
  }
  .content {
    min-height: 100%;
  }
  .empty {
    margin: auto;
    text-align: center;
  }
  .composer {
    display: flex;
    gap: 0.6rem;
    align-items: flex-end;
    padding: 0.6rem;
  }
  .composer:focus-within {
    border-color: var(--accent);
  }
  .composer textarea {
    field-sizing: content;
    max-height: 30vh;
    border: 0;
    background: none;
    outline: none;
  }
  .context {
    display: flex;
    gap: 0.6rem;
    align-items: center;
    font-size: 0.85rem;
    font-variant-numeric: tabular-nums;
  }
  meter {
    flex: 1;
    max-width: 12rem;
  }
`;
