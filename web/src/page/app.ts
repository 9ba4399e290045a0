/** `<gemlet-app>`: chooses a model, loads it, and shows the view that fits it. */

import { html, LitElement, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import type { BackendInfo } from "../backend/backend";
import { Engine } from "../engine/engine";
import type { Progress } from "../engine/load";
import { type ErrorCode, GemletError } from "../errors";
import { appStyles } from "./app_styles";
import icon from "./icon.svg";
import "./chat_view";
import "./completion_view";
import { StatusEvent } from "./events";
import { BACKENDS } from "./format";
import { formatProgress, phaseName } from "./load_progress"; // also defines the element
import "./model_card";
import { chosenModel, fetchModels, type ModelEntry, rememberModel } from "./models";
import type { SamplingSettings } from "./sampling_settings";
import "./sampling_settings";
import { controls } from "./styles";

/** After these the model is as good as before. */
const REQUEST_ERRORS = new Set<ErrorCode>(["bad-request", "context-overflow"]);

const PHASES: Progress["phase"][] = ["manifest", "weights", "tokenizer", "kernels"];
const WIDE = "(min-width: 60rem)";

@customElement("gemlet-app")
export class App extends LitElement {
  static override styles = [controls, appStyles];

  @state() private models: ModelEntry[] = [];
  @state() private chosen: ModelEntry | undefined;
  @state() private engine: Engine | undefined;
  @state() private phases: Progress[] = [];
  @state() private status = "";
  @state() private error: Error | undefined;
  /** That another backend has taken over. */
  @state() private change = "";
  @query("gemlet-sampling") private settings!: SamplingSettings;
  private loading = new AbortController();

  override connectedCallback(): void {
    super.connectedCallback();
    this.addEventListener(StatusEvent.type, (event) => {
      const { status, error } = event as StatusEvent;
      this.status = status;
      this.error = error;
    });
    void this.start();
  }

  override render() {
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
          ${this.error ? this.renderError(this.error) : nothing} ${this.change ? html`<p class="muted">${this.change}</p>` : nothing}
          ${this.renderMain()}
          <p role="status" class="muted">${this.status}</p>
        </main>
        <aside>
          ${this.engine
            ? html`<gemlet-model-card .info=${this.engine.info} ?open=${matchMedia(WIDE).matches}></gemlet-model-card>`
            : nothing}
          <gemlet-sampling></gemlet-sampling>
        </aside>
      </div>
    `;
  }

  private renderMain() {
    const { engine } = this;
    const sampling = () => this.settings.values;
    if (engine?.info.chat) return html`<gemlet-chat-view .engine=${engine} .sampling=${sampling}></gemlet-chat-view>`;
    if (engine) return html`<gemlet-completion-view .engine=${engine} .sampling=${sampling}></gemlet-completion-view>`;
    if (this.error || !this.chosen) return nothing;
    return html`<gemlet-load-progress .model=${this.chosen.title} .phases=${this.phases}></gemlet-load-progress>`;
  }

  private renderError(error: Error) {
    const missing = error instanceof GemletError && (error.code === "no-backend" || error.code === "device-limits");
    const usable = this.engine && error instanceof GemletError && REQUEST_ERRORS.has(error.code);
    return html`
      <section role="alert" class="card error">
        <h2>${missing ? "This model cannot run here" : "Something went wrong"}</h2>
        <p>${error.message}</p>
        ${usable ? nothing : html`<button @click=${() => this.retry()}>Load again</button>`}
      </section>
    `;
  }

  private async start(): Promise<void> {
    try {
      this.models = await fetchModels();
      this.chosen = chosenModel(this.models);
    } catch (error) {
      return this.fail(error as Error);
    }
    await this.load(this.chosen);
  }

  private async load(model: ModelEntry): Promise<void> {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const before = this.engine;
    this.engine = undefined;
    this.error = undefined;
    this.phases = [];
    this.change = "";
    try {
      await before?.unload();
      const onProgress = (progress: Progress): void => this.onProgress(progress);
      const onBackend = ({ name, reason }: BackendInfo): void => {
        this.change = `${BACKENDS[name]} has taken over. ${reason}.`;
      };
      const engine = await Engine.load(`models/${model.name}/`, { onProgress, onBackend, signal });
      if (signal.aborted) return await engine.unload();
      this.engine = engine;
      this.status = "Ready";
    } catch (error) {
      if (!signal.aborted) this.fail(error as Error);
    }
  }

  private fail(error: Error): void {
    this.error = error;
    this.status = "Not loaded";
  }

  private retry(): Promise<void> {
    return this.chosen ? this.load(this.chosen) : this.start();
  }

  private onProgress(progress: Progress): void {
    if (this.loading.signal.aborted) return;
    const others = this.phases.filter(({ phase }) => phase !== progress.phase);
    this.phases = [...others, progress].sort((a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase));
    const unfinished = this.phases.find(({ loaded, total }) => loaded < total) ?? progress;
    this.status = `Loading: ${phaseName(unfinished.phase)}, ${formatProgress(unfinished)}`;
  }

  private onChoose(event: Event): void {
    const name = (event.target as HTMLSelectElement).value;
    this.chosen = this.models.find((model) => model.name === name)!;
    rememberModel(name);
    void this.load(this.chosen);
  }
}
