/** `<gemlet-completion-view>`: for base models. A text, and what the model writes after it. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import type { Engine } from "../engine/engine";
import { StatusEvent } from "./events";
import { Generation } from "./generation";
import type { SamplingValues } from "./sampling_settings";
import { controls } from "./styles";

@customElement("gemlet-completion-view")
export class CompletionView extends LitElement {
  static override styles = [
    controls,
    css`
      .card {
        padding: 0;
        overflow: hidden;
      }
      .card:focus-within {
        border-color: var(--accent);
      }
      .card:has(textarea:focus-visible) {
        outline: 2px solid var(--accent);
        outline-offset: 1px;
      }
      .card textarea {
        display: block;
        field-sizing: content;
        min-height: 9rem;
        max-height: 45vh;
        padding: 1.1rem 1.3rem;
        border: 0;
        background: none;
        outline: none;
        font-size: 1.05rem;
      }
      .answer {
        margin: 0 1.3rem;
        padding: 0.9rem 0;
        border-top: 1px dashed var(--line);
        font-size: 1.05rem;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        min-height: 3rem;
        max-height: 45vh;
        overflow-y: auto;
        unicode-bidi: plaintext;
        outline-offset: -2px; /* within the card, which cuts off what is beside it */
      }
      .bar {
        padding: 0.7rem 0.8rem;
        border-top: 1px solid var(--line);
        background: var(--sunk);
      }
      .hint {
        margin-left: auto;
        font-size: 0.85rem;
      }
    `,
  ];

  @property({ attribute: false }) engine!: Engine;
  @property({ attribute: false }) sampling: () => SamplingValues = () => ({});
  @state() private prompt = "";
  @state() private text = "";
  @query("textarea") private box!: HTMLTextAreaElement;
  private readonly generation = new Generation(this, (...status) => this.dispatchEvent(new StatusEvent(...status)));

  override firstUpdated(): void {
    if (this.autofocus) this.box.focus();
  }

  override render() {
    const { prompt, text } = this;
    const { running } = this.generation;
    return html`
      <div class="card">
        <textarea
          dir="auto"
          aria-label="Prompt"
          placeholder="Begin a text; the model goes on from there."
          .value=${prompt}
          ?readonly=${running}
          @input=${() => (this.prompt = this.box.value)}
          @keydown=${this.onKey}
        ></textarea>
        ${running || text
          ? html`<div dir="auto" role="region" tabindex="0" aria-label="Answer" aria-busy=${running} class="answer ${running ? "caret" : ""}">${text}</div>`
          : nothing}
        <div class="row bar">
          ${running
            ? html`<button @click=${() => this.generation.stop()}>Stop</button>`
            : html`<button class="primary" ?disabled=${prompt === ""} @click=${this.generate}>Generate</button>`}
          ${!running && text ? html`<button @click=${this.keep}>Keep and go on</button>` : nothing}
          <span class="hint muted">${running ? "Esc stops" : "Ctrl + Enter generates"}</span>
        </div>
      </div>
    `;
  }

  private async generate(): Promise<void> {
    const { engine, prompt } = this;
    const settings = { ...this.sampling(), stream: true as const, return_token_ids: true, stream_options: { include_usage: true } };
    this.text = "";
    await this.generation.run(
      (signal) => engine.completions.create({ prompt, ...settings, signal }),
      ({ text }) => (this.text += text),
    );
  }

  /** Makes the answer part of the text, and goes on behind it. */
  private async keep(): Promise<void> {
    this.prompt += this.text;
    await this.generate();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this.generation.stop();
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!this.generation.running && this.prompt !== "") void this.generate();
  }
}
