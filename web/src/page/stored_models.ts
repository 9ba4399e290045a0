/** `<gemlet-stored-models>`: the models that the browser keeps for this site, each with a button to delete it. Shows nothing where it keeps none. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import type { StoredModel } from "../artifact/stored_models";
import { Engine } from "../engine/engine";
import { formatBytes } from "./format";
import { controls } from "./styles";

@customElement("gemlet-stored-models")
export class StoredModels extends LitElement {
  static override styles = [
    controls,
    css`
      section {
        margin: 0.9rem 0 0;
        padding-top: 0.8rem;
        border-top: 1px solid var(--line);
        font-size: 0.88rem;
      }
      ul {
        margin: 0.3rem 0 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: flex;
        gap: 0.6rem;
        align-items: center;
        justify-content: space-between;
      }
      button {
        padding: 0.15rem 0.6rem;
      }
    `,
  ];

  @state() private models: StoredModel[] = [];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.refresh();
  }

  override render() {
    if (this.models.length === 0) return nothing;
    return html`
      <section>
        Kept in this browser:
        <ul>${this.models.map((model) => this.renderModel(model))}</ul>
      </section>
    `;
  }

  private renderModel({ folder, title, bytes }: StoredModel) {
    return html`
      <li>
        <span>${title}, ${formatBytes(bytes)}</span>
        <button aria-label=${`Delete ${title} from this browser`} @click=${() => this.delete(folder)}>Delete</button>
      </li>
    `;
  }

  private async refresh(): Promise<void> {
    this.models = await Engine.models.list();
  }

  private async delete(folder: string): Promise<void> {
    await Engine.models.delete(folder);
    await this.refresh();
  }
}
