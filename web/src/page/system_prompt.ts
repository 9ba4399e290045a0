/** `<gemlet-system-prompt>`: what a new chat tells the model first, in a folded panel. The browser remembers it. */

import { css, html, LitElement } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { SystemPromptEvent } from "./events";
import { recall, remember } from "./site_storage";
import { controls } from "./styles";

const NAME = "system prompt";

/** What was set the last time; "" for none. */
export function systemPrompt(): string {
  return recall("localStorage", NAME) ?? "";
}

@customElement("gemlet-system-prompt")
export class SystemPrompt extends LitElement {
  static override styles = [
    controls,
    css`
      summary {
        cursor: pointer;
        font-weight: 650;
      }
      p {
        margin: 0.6rem 0;
        font-size: 0.88rem;
      }
      textarea {
        display: block;
        field-sizing: content;
        min-height: 5rem;
        max-height: 40vh;
        margin-bottom: 0.6rem;
      }
    `,
  ];

  @state() private text = systemPrompt();
  @query("textarea") private box!: HTMLTextAreaElement;

  override render() {
    return html`
      <details class="card">
        <summary>System prompt</summary>
        <p class="muted" id="hint">Each new chat tells the model this first.</p>
        <textarea
          dir="auto"
          aria-label="System prompt"
          aria-describedby="hint"
          .value=${this.text}
          @input=${() => this.set(this.box.value)}
        ></textarea>
        <button ?disabled=${this.text === ""} @click=${this.clear}>Clear</button>
      </details>
    `;
  }

  private clear(): void {
    this.set("");
    this.box.focus(); // the button is disabled now
  }

  private set(text: string): void {
    this.text = text;
    remember("localStorage", NAME, text);
    this.dispatchEvent(new SystemPromptEvent(text));
  }
}
