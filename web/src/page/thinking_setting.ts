/** `<gemlet-thinking>`: whether the model thinks before it answers. The browser remembers it. */

import { css, html, LitElement } from "lit";
import { customElement, query } from "lit/decorators.js";
import { recall, remember } from "./site_storage";
import { controls } from "./styles";

const NAME = "thinking";

@customElement("gemlet-thinking")
export class ThinkingSetting extends LitElement {
  static override styles = [
    controls,
    css`
      label {
        display: flex;
        gap: 0.6rem;
        align-items: center;
        font-weight: 650;
      }
    `,
  ];

  @query("input") private box!: HTMLInputElement;

  /** The field of a request that says so. */
  get value(): { reasoning_effort: "none" | "medium" } {
    return { reasoning_effort: this.box.checked ? "medium" : "none" };
  }

  override render() {
    return html`
      <div class="card">
        <label>
          <input type="checkbox" .checked=${recall("localStorage", NAME) === "on"} @change=${() => remember("localStorage", NAME, this.box.checked ? "on" : "off")} />
          Think before answering
        </label>
      </div>
    `;
  }
}
