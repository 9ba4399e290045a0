/** `<gemlet-chat src="models/NAME/">`: a model and the view that fits it, in any page. */

import { css, html, LitElement, nothing, type PropertyValues, unsafeCSS } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { Engine, LoadOptions } from "../engine/engine";
import "../page/chat_view";
import "../page/completion_view";
import { StatusEvent } from "../page/events";
import { sentence } from "../page/format";
import { renderLicenseName } from "../page/license_name";
import "../page/load_progress";
import { ModelLoad } from "../page/model_load";
import type { SamplingValues } from "../page/sampling_settings";
import { controls } from "../page/styles";
import theme from "../page/theme.css?inline";

@customElement("gemlet-chat")
export class GemletChat extends LitElement {
  static override styles = [
    unsafeCSS(theme),
    controls,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 0.6rem;
        height: 32rem;
        color: var(--text);
      }
      :host([hidden]) {
        display: none;
      }
      .error {
        border-color: var(--danger);
        background: var(--danger-soft);
        overflow-wrap: anywhere;
      }
      footer {
        display: flex;
        flex-wrap: wrap;
        gap: 0.2rem 1rem;
        justify-content: space-between;
        font-size: 0.85rem;
      }
    `,
  ];

  /** The folder of the artifact, an address relative to the page. Another one loads another model. */
  @property() src = "";
  /** For `Engine.load`; read when a model is loaded. `onProgress`, `onBackend` and `signal` are the element's own. */
  @property({ attribute: false }) options: Omit<LoadOptions, "onProgress" | "onBackend" | "signal"> = {};
  /** Fields of each request: temperature, top_k, max_tokens and the like. */
  @property({ attribute: false }) sampling: SamplingValues = {};
  @state() private status = "";
  @state() private isPassing = false;
  @state() private error: Error | undefined;
  private readonly load = new ModelLoad(this, (...status) => this.dispatchEvent(new StatusEvent(...status)));

  constructor() {
    super();
    this.addEventListener(StatusEvent.type, (event) => {
      const { status, error, isPassing } = event as StatusEvent;
      this.status = status;
      this.isPassing = isPassing;
      this.error = error;
    });
  }

  /** What the element loaded, for requests of the page's own; undefined until it is there. */
  get engine(): Engine | undefined {
    return this.load.engine;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) void this.reload(); // it was taken out of the page, which unloaded the model
  }

  override updated(changed: PropertyValues<this>): void {
    // Taken out before it was drawn, it loads when it is back.
    if (changed.has("src") && this.isConnected) void this.reload();
  }

  override render() {
    const { engine, phases, change } = this.load;
    return html`
      ${this.error ? this.renderError(this.error) : nothing} ${change ? html`<p class="muted">${change}</p>` : nothing}
      ${engine ? this.renderView(engine) : nothing}
      ${engine || this.error ? nothing : html`<gemlet-load-progress .model=${"the model"} .phases=${phases}></gemlet-load-progress>`}
      <footer class="muted">
        <span role="status" aria-live=${this.isPassing ? "off" : "polite"}>${this.status}</span>
        ${engine ? this.renderLicense(engine) : nothing}
      </footer>
    `;
  }

  private renderView(engine: Engine) {
    const sampling = () => this.sampling;
    return engine.info.chat
      ? html`<gemlet-chat-view .engine=${engine} .sampling=${sampling}></gemlet-chat-view>`
      : html`<gemlet-completion-view .engine=${engine} .sampling=${sampling}></gemlet-completion-view>`;
  }

  private renderError(error: Error) {
    return html`
      <section role="alert" class="card error">
        <p>${sentence(error.message)}</p>
        ${this.load.engine ? nothing : html`<button @click=${() => this.reload()}>Load again</button>`}
      </section>
    `;
  }

  private renderLicense({ info: { title, license } }: Engine) {
    return html`<span>${title} · weights: ${renderLicenseName(license)}</span>`;
  }

  private async reload(): Promise<void> {
    this.error = undefined;
    await this.load.load(this.src, this.options);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "gemlet-chat": GemletChat;
  }
}
