/** Styles that all components share. Colours come from page.css. */

import { css } from "lit";

export const controls = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  button,
  select,
  input,
  textarea {
    font: inherit;
    color: inherit;
  }
  button {
    padding: 0.5rem 1.1rem;
    border: 1px solid var(--line);
    border-radius: 10px;
    background: var(--card);
    font-weight: 550;
    cursor: pointer;
  }
  button:hover:not(:disabled) {
    border-color: var(--accent);
  }
  button.primary {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--on-accent);
  }
  button.primary:hover:not(:disabled) {
    filter: brightness(1.08);
  }
  button.small {
    padding: 0.15rem 0.6rem;
    border-radius: 8px;
    font-size: 0.82rem;
    line-height: 1.5;
  }
  button:disabled {
    opacity: 0.45;
    cursor: default;
  }
  select,
  input,
  textarea {
    padding: 0.45rem 0.65rem;
    border: 1px solid var(--line);
    border-radius: 10px;
    background: var(--card);
  }
  textarea {
    resize: none;
    width: 100%;
    line-height: inherit;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 1px;
  }
  a {
    color: var(--accent);
  }
  h2 {
    margin: 0;
    font-size: 1rem;
    font-weight: 650;
  }
  .card {
    background: var(--card);
    border: 1px solid var(--line);
    border-radius: var(--radius);
    padding: 1rem 1.1rem;
  }
  .muted {
    color: var(--muted);
  }
  .unseen {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .row {
    display: flex;
    gap: 0.6rem;
    align-items: center;
    flex-wrap: wrap;
  }
  .caret::after {
    content: "";
    display: inline-block;
    width: 0.5em;
    height: 1em;
    margin-left: 0.1em;
    vertical-align: -0.12em;
    border-radius: 2px;
    background: var(--accent);
    animation: blink 1s steps(2, jump-none) infinite;
  }
  @keyframes blink {
    to {
      opacity: 0;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .caret::after {
      animation: none;
    }
  }
`;

export const markdownStyles = css`
  .markdown > :first-child {
    margin-top: 0;
  }
  .markdown > :last-child {
    margin-bottom: 0;
  }
  .markdown p,
  .markdown ul,
  .markdown ol {
    margin: 0.6em 0;
  }
  .markdown ul,
  .markdown ol {
    padding-inline-start: 1.5em;
  }
  .markdown li:has(> input, > p > input) {
    list-style: none;
  }
  .markdown li input {
    margin: 0 0.5em 0 -1.3em;
  }
  .markdown li:dir(rtl) input {
    margin: 0 -1.3em 0 0.5em;
  }
  .markdown :is(h1, h2, h3, h4) {
    margin: 1em 0 0.4em;
    font-size: 1.1em;
  }
  .markdown code {
    font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, monospace;
    font-size: 0.88em;
    background: var(--sunk);
    padding: 0.12em 0.35em;
    border-radius: 5px;
  }
  .markdown pre {
    margin: 0.6em 0;
    background: var(--sunk);
    border-radius: 10px;
    overflow: hidden;
    direction: ltr;
    text-align: left;
  }
  .markdown pre code {
    display: block;
    padding: 0.7em 1em;
    overflow-x: auto;
    background: none;
    outline-offset: -2px;
  }
  .markdown .bar {
    display: flex;
    align-items: center;
    justify-content: space-between;
    min-height: 2rem;
    padding: 0.2rem 0.5rem 0.2rem 1rem;
    border-bottom: 1px solid var(--line);
    color: var(--muted);
    font: 0.8rem system-ui, sans-serif;
    user-select: none;
  }
  .markdown table {
    border-collapse: collapse;
    display: block;
    overflow-x: auto;
  }
  .markdown :is(th, td) {
    border: 1px solid var(--line);
    padding: 0.3em 0.7em;
  }
  .markdown blockquote {
    margin: 0.6em 0;
    padding-inline-start: 1em;
    border-inline-start: 3px solid var(--line);
    color: var(--muted);
  }
`;
