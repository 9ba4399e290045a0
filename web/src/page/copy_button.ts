/** `<gemlet-copy>`: a button that puts a text on the clipboard, and says so for a moment. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { controls } from "./styles";

/** Milliseconds for which the button says how it went. */
const SAID_FOR = 2000;

@customElement("gemlet-copy")
export class CopyButton extends LitElement {
  static override styles = [controls, css`
    :host {
      display: inline-flex;
    }
  `];

  @property({ attribute: false }) text = "";
  /** The button's whole name, which begins with "Copy". */
  @property() label = "Copy";
  @state() private outcome = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
    this.outcome = "";
  }

  override render() {
    // Browsers have no clipboard for pages of plain http.
    if (!navigator.clipboard) return nothing;
    const { outcome, label } = this;
    return html`
      <button class="small" aria-label=${outcome || label} @click=${this.copy}>${outcome || "Copy"}</button>
      <span class="unseen" aria-live="polite">${outcome}</span>
    `;
  }

  private async copy(): Promise<void> {
    this.outcome = await navigator.clipboard.writeText(this.text).then(
      () => "Copied",
      () => "Not copied: the browser refused",
    );
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.outcome = ""), SAID_FOR);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "gemlet-copy": CopyButton;
  }
}
