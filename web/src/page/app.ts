/** `<gemlet-app>`: chooses a model, loads it, and shows the view that fits it. */

import { html, LitElement, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { type ErrorCode, GemletError } from "../errors";
import { keepPage } from "../offline/keep_page";
import { appStyles } from "./app_styles";
import icon from "./icon.svg";
import "./chat_view";
import "./completion_view";
import { StatusEvent } from "./events";
import "./load_progress";
import "./model_card";
import { ModelLoad } from "./model_load";
import { chosenModel, fetchModels, type ModelEntry, rememberModel } from "./models";
import type { SamplingSettings } from "./sampling_settings";
import "./sampling_settings";
import { controls } from "./styles";

/** After these the model is as good as before. */
const REQUEST_ERRORS = new Set<ErrorCode>(["bad-request", "context-overflow"]);

const WIDE = "(min-width: 60rem)";

@customElement("gemlet-app")
export class App extends LitElement {
  static override styles = [controls, appStyles];

  @state() private models: ModelEntry[] = [];
  @state() private chosen: ModelEntry | undefined;
  @state() private status = "";
  @state() private error: Error | undefined;
  @query("gemlet-sampling") private settings!: SamplingSettings;
  private readonly load = new ModelLoad(this, (status, error) => this.show(status, error));

  override connectedCallback(): void {
    super.connectedCallback();
    this.addEventListener(StatusEvent.type, (event) => {
      const { status, error } = event as StatusEvent;
      this.show(status, error);
    });
    void this.start();
  }

  override render() {
    const { engine, change } = this.load;
    return html`
      <header>
        <h1><img src=${icon} alt="" width="26" height="26" />gemlet</h1>
        <label class="chooser">
          <span class="muted">Model</span>
          <select @change=${this.onChoose} ?disabled=${this.models.length === 0}>
            ${this.chosen ? nothing : html`<option selected disabled>Choose…</option>`}
            ${this.models.map(
              (model) => html`<option value=${model.name} ?selected=${model === this.chosen}>${model.title}</option>`,
            )}
          </select>
        </label>
      </header>
      <div class="columns">
        <main>
          ${this.error ? this.renderError(this.error) : nothing} ${change ? html`<p class="muted">${change}</p>` : nothing}
          ${this.renderMain()}
          <p role="status" class="muted">${this.status}</p>
        </main>
        <aside>
          ${engine
            ? html`<gemlet-model-card .info=${engine.info} ?open=${matchMedia(WIDE).matches}></gemlet-model-card>`
            : nothing}
          <gemlet-sampling></gemlet-sampling>
        </aside>
      </div>
    `;
  }

  private renderMain() {
    const { engine, phases } = this.load;
    const sampling = () => this.settings.values;
    if (engine?.info.chat) return html`<gemlet-chat-view autofocus .engine=${engine} .sampling=${sampling}></gemlet-chat-view>`;
    if (engine) return html`<gemlet-completion-view autofocus .engine=${engine} .sampling=${sampling}></gemlet-completion-view>`;
    if (this.error || !this.chosen) return nothing;
    return html`<gemlet-load-progress .model=${this.chosen.title} .phases=${phases}></gemlet-load-progress>`;
  }

  private renderError(error: Error) {
    const missing = error instanceof GemletError && (error.code === "no-backend" || error.code === "device-limits");
    const usable = this.load.engine && error instanceof GemletError && REQUEST_ERRORS.has(error.code);
    return html`
      <section role="alert" class="card error">
        <h2>${missing ? "This model cannot run here" : "Something went wrong"}</h2>
        <p>${error.message}</p>
        ${usable ? nothing : html`<button @click=${() => this.retry()}>Load again</button>`}
      </section>
    `;
  }

  private async start(): Promise<void> {
    await keepPage();
    try {
      this.models = await fetchModels();
      this.chosen = chosenModel(this.models);
    } catch (error) {
      return this.show("Not loaded", error as Error);
    }
    await this.loadChosen(this.chosen);
  }

  private loadChosen({ name }: ModelEntry): Promise<void> {
    this.error = undefined;
    return this.load.load(`models/${name}/`);
  }

  private retry(): Promise<void> {
    return this.chosen ? this.loadChosen(this.chosen) : this.start();
  }

  private show(status: string, error?: Error): void {
    this.status = status;
    this.error = error;
  }

  private onChoose(event: Event): void {
    const name = (event.target as HTMLSelectElement).value;
    this.chosen = this.models.find((model) => model.name === name)!;
    rememberModel(name);
    void this.loadChosen(this.chosen);
  }
}
