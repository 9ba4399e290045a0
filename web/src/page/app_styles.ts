/** Layout of the page: one column on a phone, a panel beside it on a wide screen, one on either side on a wider one. */

import { css } from "lit";

export const appStyles = css`
  :host {
    display: flex;
    flex-direction: column;
    height: 100dvh;
    max-width: 96rem;
    margin: 0 auto;
    padding: 0 1rem;
  }
  header {
    display: flex;
    align-items: center;
    gap: 1rem;
    padding: 0.8rem 0;
  }
  .skip:not(:focus) {
    position: absolute;
    clip-path: inset(50%);
  }
  .skip {
    align-self: flex-start;
    margin-top: 0.8rem;
  }
  .icon {
    padding: 0.5rem;
    line-height: 0;
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
  main:focus {
    outline: none;
  }
  aside {
    display: flex;
    flex-direction: column;
    gap: 0.8rem;
    padding-bottom: 1rem;
  }
  nav {
    display: flex;
    flex-direction: column;
    gap: 0.6rem;
    min-height: 0;
  }
  gemlet-conversation-list {
    flex: 1;
  }
  dialog {
    width: min(20rem, 85vw);
    height: 100dvh;
    max-height: none;
    margin: 0;
    padding: 0;
    border: 0;
    border-right: 1px solid var(--line);
    background: var(--ground);
    color: inherit;
  }
  dialog nav {
    height: 100%;
    padding: 0.8rem;
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
  .error p {
    overflow-wrap: anywhere;
  }
  @media (max-width: 59.99rem) {
    :host {
      height: auto;
      min-height: 100dvh;
    }
    gemlet-chat-view {
      height: calc(100dvh - 7.5rem);
      flex: none;
    }
  }
  @media (max-width: 29.99rem) {
    header {
      gap: 0.5rem;
    }
    .chooser span {
      position: absolute;
      clip-path: inset(50%);
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
  @media (min-width: 80rem) {
    nav {
      width: 17rem;
      padding-bottom: 0.8rem;
    }
  }
`;
