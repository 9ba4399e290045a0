/** `<gemlet-message>`: one message of a conversation. What can be done with it comes into the slot `actions`. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { AssistantMessage, ChatMessage, ToolCall, ToolMessage } from "../engine/openai";
import { textOf } from "./answer_message";
import { addCodeBars } from "./code_bars";
import { renderCode, renderMarkdown } from "./markdown";
import { MarkdownBlocks } from "./markdown_blocks";
import { prettyJson } from "./pretty_json";
import { controls, markdownStyles } from "./styles";

@customElement("gemlet-message")
export class MessageView extends LitElement {
  static override styles = [
    controls,
    markdownStyles,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 0.3rem;
        min-width: 0;
      }
      article {
        min-width: 0;
        max-width: 100%;
        overflow-wrap: anywhere;
      }
      .user {
        align-self: flex-end;
        max-width: 85%;
        padding: 0.6rem 1rem;
        border-radius: var(--radius) var(--radius) 4px var(--radius);
        background: var(--accent-soft);
        white-space: pre-wrap;
        unicode-bidi: plaintext;
      }
      details {
        margin-bottom: 0.6em;
        color: var(--muted);
      }
      summary {
        width: fit-content;
        border-radius: 6px;
        cursor: pointer;
        font-size: 0.9rem;
      }
      .thought {
        margin-top: 0.4em;
        padding-inline-start: 1em;
        border-inline-start: 3px solid var(--line);
        font-size: 0.94rem;
      }
      .call {
        margin: 0.6em 0;
        padding: 0.6rem 0.8rem;
        border: 1px solid var(--line);
        border-radius: 10px;
      }
      .call p {
        margin: 0 0 0.4em;
      }
      .call p:not(:first-child) {
        margin-top: 0.6em;
      }
      .actions {
        display: flex;
        flex-wrap: wrap;
        gap: 0.3rem;
        min-height: 1.9rem;
      }
      .user + .actions {
        justify-content: flex-end;
      }
      @media (hover: hover) {
        .actions {
          opacity: 0;
        }
        :host([newest]) .actions,
        :host(:hover) .actions,
        :host(:focus-within) .actions {
          opacity: 1;
        }
      }
    `,
  ];

  @property({ attribute: false }) message!: ChatMessage;
  /** What tools answered to the message's calls. */
  @property({ attribute: false }) answers: ToolMessage[] = [];
  /** For screen readers. */
  @property() label = "";
  /** Whether the message is still being written. */
  @property({ type: Boolean }) running = false;
  /** Its actions are shown without being pointed at. */
  @property({ type: Boolean, reflect: true }) newest = false;
  private readonly thoughtBlocks = new MarkdownBlocks();
  private readonly textBlocks = new MarkdownBlocks();

  override updated(): void {
    addCodeBars(this.renderRoot);
  }

  override render() {
    const { message, label, running } = this;
    return html`
      <article dir="auto" aria-label=${label} aria-busy=${running} class=${message.role}>${this.renderParts(message)}</article>
      <div class="actions"><slot name="actions"></slot></div>
    `;
  }

  private renderParts(message: ChatMessage) {
    if (message.role === "user") return textOf(message.content);
    if (message.role === "assistant") return this.renderAnswer(message);
    if (message.role === "tool") return renderToolAnswer(message);
    return html`<details><summary>Instructions</summary><div class="thought markdown">${renderMarkdown(textOf(message.content), this.textBlocks)}</div></details>`;
  }

  private renderAnswer({ content, reasoning_content: thought, tool_calls: calls = [] }: AssistantMessage) {
    const { running, answers } = this;
    const text = textOf(content);
    const thinks = running && text === "" && calls.length === 0;
    const own = (call: ToolCall): ToolMessage[] => answers.filter(({ tool_call_id }) => tool_call_id === call.id);
    const others = answers.filter(({ tool_call_id }) => !calls.some(({ id }) => id === tool_call_id));
    return html`
      ${thought
        ? html`
            <details ?open=${thinks}>
              <summary>${thinks ? "Thinking…" : "Thought"}</summary>
              <div class="thought markdown">${renderMarkdown(thought, this.thoughtBlocks)}</div>
            </details>
          `
        : nothing}
      <div class="markdown ${running && text === "" && !thought ? "caret" : ""}">${this.renderText(text)}</div>
      ${calls.map((call) => renderCall(call, own(call)))} ${others.map(renderToolAnswer)}
    `;
  }

  /** An answer that is JSON is shown as that; whether it is turns out at its end, and until then its first character tells. */
  private renderText(text: string) {
    const json = this.running && /^\s*\{/.test(text) ? text : prettyJson(text);
    return json === undefined ? renderMarkdown(text, this.textBlocks) : renderCode(json, "json");
  }
}

function renderCall({ function: { name, arguments: values } }: ToolCall, answers: ToolMessage[]) {
  return html`
    <section class="call markdown" aria-label="Call of ${name}">
      <p>Calls <code>${name}</code></p>
      ${renderCode(prettyJson(values) ?? values, "json")} ${answers.map(renderToolAnswer)}
    </section>
  `;
}

function renderToolAnswer({ content, name }: ToolMessage) {
  const text = textOf(content);
  const json = prettyJson(text);
  return html`<p class="muted">${name ? html`<code>${name}</code> answered` : "The tool answered"}</p>${renderCode(json ?? text, json === undefined ? "text" : "json")}`;
}

declare global {
  interface HTMLElementTagNameMap {
    "gemlet-message": MessageView;
  }
}
