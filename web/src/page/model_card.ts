/** `<gemlet-model-card>`: what the loaded model is, what runs it, and the licence of its weights. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { EngineInfo } from "../engine/core";
import { percentOff } from "../known_answer/check";
import { BACKENDS, formatBytes, formatCount, formatKey } from "./format";
import { renderLicenseName } from "./license_name";
import "./stored_models";
import { controls } from "./styles";

function embeddingsRow({ place, reason }: NonNullable<EngineInfo["backend"]["per_layer_embeddings"]>): [string, string] {
  return ["Per-layer embeddings", `${place === "gpu" ? "In GPU memory" : "In the browser's storage"}: ${reason}`];
}

function kernelsRow({ counts, tuning }: NonNullable<EngineInfo["backend"]["kernels"]>): [string, string] {
  const kinds: Record<string, string> = { main: "as on every device", shape: "in another launch shape" };
  const list = Object.entries(counts).map(([kind, count]) => `${count} ${kinds[kind] ?? `with ${kind}`}`);
  const how = {
    measured: `${tuning.kernels} tried out in ${Math.round(tuning.milliseconds)} ms`,
    remembered: "as measured before", none: "nothing to choose", off: "tuning is off", forced: "as asked for",
  };
  return ["Kernels", `${list.join(", ")} (${how[tuning.source]})`];
}

function backendRows({ name, adapter, reason, threads, module }: EngineInfo["backend"]): [string, string][] {
  const rows: [string, string][] = [
    ["Runs on", `${BACKENDS[name]}, ${adapter}`],
    ["Why there", reason],
  ];
  if (!module) return rows;
  const simd = module.simd === "relaxed" ? "relaxed SIMD" : "SIMD";
  const activations = module.activations === "float" ? "float activations" : "activations of 14 bits";
  return [
    ...rows,
    ["Threads", `${threads}: ${module.threads_reason}`],
    ["Module", `${formatBytes(module.bytes)} with ${simd}, ${activations}`],
    ["Why this one", module.module_reason],
    ["Memory", formatBytes(module.memory_bytes)],
  ];
}

function answerRow({ source, check, refused }: NonNullable<EngineInfo["backend"]["known_answer"]>): [string, string] {
  const when = source === "computed" ? "computed at this load" : "computed at an earlier load";
  const without = refused ? "; without variants of kernels, which were wrong" : "";
  return ["Known answer", `Right, at most ${percentOff(check)} % of the tolerance off (${when})${without}`];
}

function storageRow({ network_bytes, stored_bytes, note }: EngineInfo["storage"]): [string, string] {
  const parts = [stored_bytes > 0 && `${formatBytes(stored_bytes)} from this browser`, network_bytes > 0 && `${formatBytes(network_bytes)} downloaded`];
  return ["Loaded", `${parts.filter((part) => part !== false).join(", ")}${note === null ? "" : `. Not kept: ${note}`}`];
}

@customElement("gemlet-model-card")
export class ModelCard extends LitElement {
  static override styles = [
    controls,
    css`
      summary {
        cursor: pointer;
        font-weight: 650;
      }
      dl {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: 0.3rem 1rem;
        margin: 0.9rem 0 0;
        font-size: 0.88rem;
      }
      dt {
        color: var(--muted);
      }
      dd {
        margin: 0;
        text-align: right;
        overflow-wrap: anywhere;
      }
      .license {
        margin: 0.9rem 0 0;
        padding-top: 0.8rem;
        border-top: 1px solid var(--line);
        font-size: 0.88rem;
      }
    `,
  ];

  @property({ attribute: false }) info!: EngineInfo;
  @property({ type: Boolean }) open = false;

  override render() {
    const { title, chat, facts, context, quantization, weight_bytes, backend, storage } = this.info;
    const rows: [string, string][] = [
      ["Kind", chat ? "Chat model" : "Base model: it continues text"],
      ...Object.entries(facts).map(([key, value]): [string, string] => [
        formatKey(key),
        typeof value === "number" ? formatCount(value) : value,
      ]),
      ["Context here", formatCount(context)],
      ["Weights", `${formatBytes(weight_bytes)} · ${Object.keys(quantization.formats).sort().join(", ")}`],
      storageRow(storage),
      ...(backend.per_layer_embeddings ? [embeddingsRow(backend.per_layer_embeddings)] : []),
      ...(backend.kernels ? [kernelsRow(backend.kernels)] : []),
      ...backendRows(backend),
      ...(backend.known_answer ? [answerRow(backend.known_answer)] : []),
    ];
    return html`
      <details class="card" ?open=${this.open}>
        <summary>${title}</summary>
        <dl>${rows.map(([key, value]) => html`<dt>${key}</dt><dd>${value}</dd>`)}</dl>
        <gemlet-stored-models></gemlet-stored-models>
        ${this.renderLicense()}
      </details>
    `;
  }

  private renderLicense() {
    const { name, license } = this.info;
    return html`
      <p class="license">
        Licence of the weights: ${renderLicenseName(license)}
        ${license.file ? html` · <a href=${`models/${encodeURIComponent(name)}/${encodeURIComponent(license.file)}`} target="_blank" rel="noopener">read it</a>` : nothing}<br />
        <a href="THIRD_PARTY_NOTICES.txt" target="_blank">Licences of the software</a>
      </p>
    `;
  }
}
