/** `<gemlet-sampling>`: how the next token is drawn, in a folded panel. */

import { css, html, LitElement } from "lit";
import { customElement } from "lit/decorators.js";
import { controls } from "./styles";

type Field = "temperature" | "top_k" | "top_p" | "min_p" | "seed" | "max_tokens";
export type SamplingValues = Partial<Record<Field, number>>;

interface Input {
  field: Field;
  label: string;
  hint: string;
  value: string;
  min: number;
  max?: number;
  step: number;
}

// Google's advice for Gemma: temperature 1, top-k 64, top-p 0.95.
const INPUTS: Input[] = [
  { field: "temperature", label: "Temperature", hint: "0: greedy", value: "1", min: 0, max: 4, step: 0.05 },
  { field: "top_k", label: "Top-k", hint: "0: off", value: "64", min: 0, step: 1 },
  { field: "top_p", label: "Top-p", hint: "1: off", value: "0.95", min: 0.01, max: 1, step: 0.01 },
  { field: "min_p", label: "Min-p", hint: "0: off", value: "0", min: 0, max: 1, step: 0.01 },
  { field: "seed", label: "Seed", hint: "empty: random", value: "", min: 0, max: 2 ** 32 - 1, step: 1 },
  { field: "max_tokens", label: "Max tokens", hint: "longest answer", value: "256", min: 1, step: 1 },
];

@customElement("gemlet-sampling")
export class SamplingSettings extends LitElement {
  static override styles = [
    controls,
    css`
      summary {
        cursor: pointer;
        font-weight: 650;
      }
      .grid {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr));
        gap: 0.8rem;
        margin-top: 0.9rem;
      }
      label {
        display: block;
        font-size: 0.88rem;
      }
      input {
        display: block;
        width: 100%;
        margin: 0.2rem 0;
      }
      input:invalid {
        border-color: var(--danger);
      }
      small {
        color: var(--muted);
      }
    `,
  ];

  private readonly texts = new Map(INPUTS.map(({ field, value }) => [field, value]));

  /** What is set; empty fields are left out. */
  get values(): SamplingValues {
    return Object.fromEntries([...this.texts].filter(([, text]) => text !== "").map(([field, text]) => [field, Number(text)]));
  }

  override render() {
    return html`
      <details class="card">
        <summary>Sampling</summary>
        <div class="grid">
          ${INPUTS.map(
            ({ field, label, hint, value, min, max, step }) => html`
              <div>
                <label
                  >${label}
                  <input
                    type="number"
                    inputmode="decimal"
                    min=${min}
                    max=${max ?? 2 ** 31 - 1}
                    step=${step}
                    .value=${value}
                    aria-describedby=${field}
                    @input=${({ target }: InputEvent) => this.texts.set(field, (target as HTMLInputElement).value)}
                  />
                </label>
                <small id=${field}>${hint}</small>
              </div>
            `,
          )}
        </div>
      </details>
    `;
  }
}
