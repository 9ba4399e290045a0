/** `<gemlet-load-progress>`: a bar for each phase of the loading. */

import { css, html, LitElement } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Progress } from "../engine/load";
import { formatBytes, sentence } from "./format";
import { controls } from "./styles";

const NAMES: Record<Progress["phase"], string> = {
  manifest: "description",
  tokenizer: "tokenizer",
  kernels: "kernels",
  weights: "weights",
};

/** "12.0 MB of 285 MB", or "3 of 50". */
export function formatProgress({ loaded, total, unit }: Progress): string {
  return unit === "bytes" ? `${formatBytes(loaded)} of ${formatBytes(total)}` : `${loaded} of ${total}`;
}

export function phaseName(phase: Progress["phase"]): string {
  return NAMES[phase];
}

@customElement("gemlet-load-progress")
export class LoadProgress extends LitElement {
  static override styles = [
    controls,
    css`
      .phase {
        margin-top: 0.9rem;
        font-size: 0.92rem;
      }
      .row {
        justify-content: space-between;
      }
      .row span {
        display: inline-block;
      }
      progress {
        appearance: none;
        display: block;
        width: 100%;
        height: 8px;
        margin-top: 0.3rem;
        border: 0;
        border-radius: 4px;
        overflow: hidden;
        background: var(--sunk);
      }
      progress::-webkit-progress-bar {
        background: var(--sunk);
      }
      progress::-webkit-progress-value {
        background: var(--accent);
        border-radius: 4px;
      }
      progress::-moz-progress-bar {
        background: var(--accent);
        border-radius: 4px;
      }
    `,
  ];

  @property() model = "";
  /** The newest of each phase. */
  @property({ attribute: false }) phases: Progress[] = [];

  override render() {
    return html`
      <section class="card" aria-label="Loading">
        <h2>Loading ${this.model}</h2>
        ${this.phases.map(
          (phase) => html`
            <div class="phase">
              <div class="row">
                <span>${sentence(NAMES[phase.phase])}</span>
                <span class="muted">${formatProgress(phase)}</span>
              </div>
              <progress aria-label=${NAMES[phase.phase]} max=${Math.max(1, phase.total)} value=${phase.loaded}></progress>
            </div>
          `,
        )}
      </section>
    `;
  }
}
