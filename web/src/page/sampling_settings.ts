/** `<gemlet-sampling>`: how the next token is drawn, in a folded panel. The browser remembers what is set. */

import { css, html, LitElement } from "lit";
import { customElement, property } from "lit/decorators.js";
import { live } from "lit/directives/live.js";
import type { ChatParams } from "../engine/openai";
import { recall, remember } from "./site_storage";
import { controls } from "./styles";

/** Most tokens that a base model writes where nothing is set: it has no end of its own, as an answer in a chat has. */
export const TEXT_TOKENS = 256;

type Field = "temperature" | "top_k" | "top_p" | "min_p" | "seed" | "max_tokens";
type Values = Partial<Record<Field, number>>;
/** Fields of a request that a person sets. */
export type SamplingValues = Values & Pick<ChatParams, "reasoning_effort">;

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
  { field: "max_tokens", label: "Max tokens", hint: "", value: "", min: 1, step: 1 },
];

/** Of each field; "" where it is to be left out. */
type Texts = Record<Field, string>;
const DEFAULTS = Object.fromEntries(INPUTS.map(({ field, value }) => [field, value])) as Texts;

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
      button {
        margin-top: 0.9rem;
      }
    `,
  ];

  /** Whether what is set is for a chat. */
  @property({ type: Boolean }) chat = false;
  private texts = readTexts();

  /** What is set; empty fields are left out. */
  get values(): Values {
    return Object.fromEntries(Object.entries(this.texts).filter(([, text]) => text !== "").map(([field, text]) => [field, Number(text)]));
  }

  override render() {
    return html`
      <details class="card">
        <summary>Sampling</summary>
        <div class="grid">
          ${INPUTS.map(
            ({ field, label, hint, min, max, step }) => html`
              <div>
                <label
                  >${label}
                  <input
                    type="number"
                    inputmode="decimal"
                    min=${min}
                    max=${max ?? 2 ** 31 - 1}
                    step=${step}
                    .value=${live(this.texts[field])}
                    aria-describedby=${field}
                    @input=${({ target }: InputEvent) => this.set({ [field]: (target as HTMLInputElement).value })}
                  />
                </label>
                <small id=${field}>${hint || (this.chat ? "empty: no limit" : `empty: ${TEXT_TOKENS}`)}</small>
              </div>
            `,
          )}
        </div>
        <button @click=${this.reset}>Reset</button>
      </details>
    `;
  }

  private set(texts: Partial<Texts>): void {
    this.texts = { ...this.texts, ...texts };
    remember("localStorage", "sampling", JSON.stringify(this.texts));
  }

  private reset(): void {
    this.set(DEFAULTS);
    this.requestUpdate();
  }
}

/** What was set the last time; what is no text by now comes from the defaults. */
function readTexts(): Texts {
  try {
    const kept = JSON.parse(recall("localStorage", "sampling") ?? "{}") as Record<string, unknown>;
    return { ...DEFAULTS, ...Object.fromEntries(INPUTS.map(({ field }) => [field, kept[field]]).filter(([, text]) => typeof text === "string")) };
  } catch {
    return DEFAULTS;
  }
}
