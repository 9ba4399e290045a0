/** `<gemlet-chat-view>`: a conversation with a chat model. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { unsafeHTML } from "lit/directives/unsafe-html.js";
import type { Engine } from "../engine/engine";
import { StatusEvent } from "./events";
import { Generation } from "./generation";
import { renderMarkdown } from "./markdown";
import type { SamplingValues } from "./sampling_settings";
import { controls, markdownStyles } from "./styles";

interface Message {
  role: "user" | "assistant";
  content: string;
}

@customElement("gemlet-chat-view")
export class ChatView extends LitElement {
  static override styles = [
    controls,
    markdownStyles,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
        flex: 1;
        gap: 1rem;
      }
      .messages {
        flex: 1;
        min-height: 12rem;
        overflow-y: auto;
        display: flex;
        flex-direction: column;
        gap: 1.1rem;
        padding: 0.2rem;
      }
      .user {
        align-self: flex-end;
        max-width: 85%;
        padding: 0.6rem 1rem;
        border-radius: var(--radius) var(--radius) 4px var(--radius);
        background: var(--accent-soft);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
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
      textarea {
        field-sizing: content;
        max-height: 30vh;
        border: 0;
        background: none;
        outline: none;
      }
    `,
  ];

  @property({ attribute: false }) engine!: Engine;
  @property({ attribute: false }) sampling: () => SamplingValues = () => ({});
  @state() private messages: Message[] = [];
  @state() private draft = "";
  @query("textarea") private box!: HTMLTextAreaElement;
  @query(".messages") private list!: HTMLElement;
  private readonly generation = new Generation(this, (status, error) => this.dispatchEvent(new StatusEvent(status, error)));

  override firstUpdated(): void {
    if (this.autofocus) this.box.focus();
  }

  override updated(): void {
    if (this.generation.running) this.list.scrollTop = this.list.scrollHeight;
  }

  override render() {
    const { running, text } = this.generation;
    return html`
      <div class="messages">
        ${this.messages.length === 0 ? html`<p class="empty muted">Ask something. What you write stays on this machine.</p>` : nothing}
        ${this.messages.map((message, index) => this.renderMessage(message, index === this.messages.length - 1))}
        ${running ? renderAnswer(text, "Answer", true) : nothing}
      </div>
      <div class="card composer">
        <textarea
          rows="1"
          aria-label="Prompt"
          placeholder="Message"
          .value=${this.draft}
          @input=${() => (this.draft = this.box.value)}
          @keydown=${this.onKey}
        ></textarea>
        <button ?disabled=${running || this.messages.length === 0} @click=${this.clear}>New&nbsp;chat</button>
        ${running
          ? html`<button @click=${() => this.generation.stop()}>Stop</button>`
          : html`<button class="primary" ?disabled=${this.draft.trim() === ""} @click=${this.send}>Send</button>`}
      </div>
    `;
  }

  private renderMessage({ role, content }: Message, newest: boolean) {
    if (role === "user") return html`<div class="user">${content}</div>`;
    return renderAnswer(content, newest ? "Answer" : "Earlier reply", false);
  }

  private async send(): Promise<void> {
    const { engine } = this;
    const messages: Message[] = [...this.messages, { role: "user", content: this.draft }];
    this.messages = messages;
    this.draft = "";
    const settings = { ...this.sampling(), stream: true as const, return_token_ids: true, stream_options: { include_usage: true } };
    const content = await this.generation.run((signal) => engine.chat.completions.create({ messages, ...settings, signal }));
    if (content !== "") {
      this.messages = [...messages, { role: "assistant", content }];
    } else {
      // Nothing came: the question goes back to where it can be changed and sent again.
      this.draft = messages.at(-1)!.content;
      this.messages = messages.slice(0, -1);
    }
  }

  private clear(): void {
    this.messages = [];
    this.box.focus();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this.generation.stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.generation.running && this.draft.trim() !== "") void this.send();
  }
}

function renderAnswer(text: string, label: string, running: boolean) {
  return html`
    <div role="region" aria-label=${label} aria-busy=${running} class="answer markdown ${running && text === "" ? "caret" : ""}">
      ${unsafeHTML(renderMarkdown(text))}
    </div>
  `;
}
