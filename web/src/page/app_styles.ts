/** Layout of the page: one column on a phone, a side panel on a wide screen. */

import { css } from "lit";

export const appStyles = css`
  :host {
    display: flex;
    flex-direction: column;
    height: 100dvh;
    max-width: 78rem;
    margin: 0 auto;
    padding: 0 1rem;
  }
  header {
    display: flex;
    align-items: center;
    gap: 1rem;
    padding: 0.8rem 0;
  }
  h1 {
    display: flex;
    align-items: center;
    gap: 0.5rem;
    margin: 0;
    font-size: 1.25rem;
    font-weight: 750;
    letter-spacing: -0.02em;
  }
  .chooser {
    display: flex;
    align-items: center;
    gap: 0.6rem;
    margin-left: auto;
    min-width: 0;
  }
  select {
    min-width: 0;
    max-width: 100%;
    text-overflow: ellipsis;
  }
  .columns {
    display: flex;
    flex: 1;
    flex-direction: column;
    gap: 1rem;
    min-height: 0;
  }
  main {
    display: flex;
    flex: 1;
    flex-direction: column;
    gap: 0.8rem;
    min-width: 0;
    min-height: 0;
  }
  aside {
    display: flex;
    flex-direction: column;
    gap: 0.8rem;
    padding-bottom: 1rem;
  }
  [role="status"] {
    margin: 0;
    min-height: 1.5em;
    font-size: 0.9rem;
    font-variant-numeric: tabular-nums;
  }
  .error {
    border-color: var(--danger);
    background: var(--danger-soft);
  }
  .error p::first-letter {
    text-transform: uppercase;
  }
  .error p {
    overflow-wrap: anywhere;
  }
  @media (max-width: 59.99rem) {
    :host {
      height: auto;
      min-height: 100dvh;
    }
    gemlet-chat-view {
      min-height: 65dvh;
    }
  }
  @media (min-width: 60rem) {
    .columns {
      flex-direction: row;
      gap: 1.6rem;
    }
    aside {
      width: 20rem;
      overflow-y: auto;
    }
    [role="status"] {
      margin-bottom: 0.8rem;
    }
  }
`;
