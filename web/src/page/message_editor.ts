/** `<gemlet-message-editor>`: changes a message of the user's. Fires "gemlet-save", with the text, or "gemlet-cancel". */

import { css, html, LitElement } from "lit";
import { customElement, property, query } from "lit/decorators.js";
import { controls } from "./styles";

export class SaveEvent extends Event {
  constructor(readonly text: string) {
    super("gemlet-save");
  }
}

@customElement("gemlet-message-editor")
export class MessageEditor extends LitElement {
  static override styles = [
    controls,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 0.4rem;
      }
      textarea {
        field-sizing: content;
        min-height: 3.5rem;
        max-height: 40vh;
      }
      .row {
        justify-content: flex-end;
      }
    `,
  ];

  @property() text = "";
  @query("textarea") private box!: HTMLTextAreaElement;

  override firstUpdated(): void {
    this.box.focus();
    this.box.setSelectionRange(this.text.length, this.text.length);
  }

  override render() {
    return html`
      <textarea dir="auto" aria-label="Changed message" .value=${this.text} @input=${() => (this.text = this.box.value)} @keydown=${this.onKey}></textarea>
      <div class="row">
        <small class="muted">What follows this message is dropped.</small>
        <button class="small" @click=${this.cancel}>Cancel</button>
        <button class="small primary" ?disabled=${this.text.trim() === ""} @click=${this.save}>Save and answer again</button>
      </div>
    `;
  }

  private save(): void {
    this.dispatchEvent(new SaveEvent(this.text));
  }

  private cancel(): void {
    this.dispatchEvent(new Event("gemlet-cancel"));
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this.cancel();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (this.text.trim() !== "") this.save();
  }
}
