/** `<gemlet-app>`: chooses a model, loads it, and shows the view that fits it, with the list of conversations beside a chat. */

import { html, LitElement, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { type ErrorCode, GemletError } from "../errors";
import { keepPage } from "../offline/keep_page";
import { appStyles } from "./app_styles";
import icon from "./icon.svg";
import type { ChatView } from "./chat_view";
import "./chat_view";
import "./completion_view";
import "./conversation_list";
import { Conversations } from "./conversations";
import { ChosenEvent, MessagesEvent, StatusEvent, SystemPromptEvent } from "./events";
import { sentence } from "./format";
import { listIcon, newIcon } from "./icons";
import "./load_progress";
import "./model_card";
import { ModelLoad } from "./model_load";
import { chosenModel, fetchModels, type ModelEntry, rememberModel } from "./models";
import { type SamplingSettings, TEXT_TOKENS } from "./sampling_settings";
import { controls } from "./styles";
import { systemPrompt } from "./system_prompt";
import type { ThinkingSetting } from "./thinking_setting";
import "./thinking_setting";

/** After these the model is as good as before. */
const REQUEST_ERRORS = new Set<ErrorCode>(["bad-request", "context-overflow"]);

/** The settings stand beside the text. */
const WIDE = matchMedia("(min-width: 60rem)");
/** So does the list of conversations, which is a drawer elsewhere. */
const ROOMY = matchMedia("(min-width: 80rem)");

@customElement("gemlet-app")
export class App extends LitElement {
  static override styles = [controls, appStyles];

  @state() private models: ModelEntry[] = [];
  @state() private chosen: ModelEntry | undefined;
  @state() private status = "";
  @state() private isPassing = false;
  @state() private error: Error | undefined;
  @query("gemlet-sampling") private settings!: SamplingSettings;
  @query("gemlet-thinking") private thinking!: ThinkingSetting | null;
  @query("gemlet-chat-view") private chat!: ChatView | null;
  @query("dialog") private drawer!: HTMLDialogElement | null;
  @query("main") private main!: HTMLElement;
  private readonly load = new ModelLoad(this, (...status) => this.show(...status));
  private readonly conversations = new Conversations(this, () => this.chat?.answering ?? false);

  override connectedCallback(): void {
    super.connectedCallback();
    this.addEventListener(StatusEvent.type, (event) => {
      const { status, error, isPassing } = event as StatusEvent;
      this.show(status, error, isPassing);
    });
    this.addEventListener(MessagesEvent.type, (event) => this.conversations.change((event as MessagesEvent).messages));
    this.addEventListener(ChosenEvent.type, () => this.showChosen());
    this.addEventListener(SystemPromptEvent.type, (event) => this.conversations.begin((event as SystemPromptEvent).text));
    this.conversations.begin(systemPrompt());
    ROOMY.addEventListener("change", () => this.requestUpdate());
    void this.start();
  }

  override render() {
    const { engine, change } = this.load;
    const listed = engine?.info.chat ?? false;
    return html`
      <button class="skip" @click=${() => this.main.focus()}>Skip to the text</button>
      <header>
        ${listed && !ROOMY.matches ? this.renderDrawerButtons() : nothing}
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
        ${listed ? this.renderList() : nothing}
        <main tabindex="-1">
          ${this.error ? this.renderError(this.error) : nothing} ${change ? html`<p class="muted">${change}</p>` : nothing}
          ${this.renderMain()}
          <p role="status" aria-live=${this.isPassing ? "off" : "polite"} class="muted">${this.status}</p>
        </main>
        <aside aria-label="Settings">
          ${engine ? html`<gemlet-model-card .info=${engine.info} ?open=${WIDE.matches}></gemlet-model-card>` : nothing}
          ${listed ? html`<gemlet-system-prompt></gemlet-system-prompt>` : nothing}
          ${engine?.info.thinking ? html`<gemlet-thinking></gemlet-thinking>` : nothing}
          <gemlet-sampling ?chat=${listed}></gemlet-sampling>
        </aside>
      </div>
    `;
  }

  private renderDrawerButtons() {
    return html`
      <button class="icon" aria-label="Conversations" aria-haspopup="dialog" @click=${() => this.drawer!.showModal()}>${listIcon}</button>
      <button class="icon" aria-label="New chat" @click=${this.beginChat}>${newIcon}</button>
    `;
  }

  private renderList() {
    const list = html`<gemlet-conversation-list .conversations=${this.conversations}></gemlet-conversation-list>`;
    if (ROOMY.matches) return html`<nav aria-label="Conversations">${list}</nav>`;
    // A click beside what is in the drawer is one on the drawer itself.
    const close = (event: Event) => event.target === this.drawer && this.drawer?.close();
    return html`
      <dialog aria-label="Conversations" @click=${close}>
        <nav aria-label="Conversations">
          <button @click=${() => this.drawer!.close()}>Close</button>
          ${list}
        </nav>
      </dialog>
    `;
  }

  private renderMain() {
    const { engine, phases } = this.load;
    const sampling = () => ({ ...this.settings.values, ...this.thinking?.value });
    const textSampling = () => ({ max_tokens: TEXT_TOKENS, ...sampling() });
    if (engine?.info.chat) {
      const { messages } = this.conversations;
      return html`<gemlet-chat-view autofocus listed .engine=${engine} .sampling=${sampling} .messages=${messages}></gemlet-chat-view>`;
    }
    if (engine) return html`<gemlet-completion-view autofocus .engine=${engine} .sampling=${textSampling}></gemlet-completion-view>`;
    if (this.error || !this.chosen) return nothing;
    return html`<gemlet-load-progress .model=${this.chosen.title} .phases=${phases}></gemlet-load-progress>`;
  }

  private renderError(error: Error) {
    const missing = error instanceof GemletError && (error.code === "no-backend" || error.code === "device-limits");
    const usable = this.load.engine && error instanceof GemletError && REQUEST_ERRORS.has(error.code);
    return html`
      <section role="alert" class="card error">
        <h2>${missing ? "This model cannot run here" : "Something went wrong"}</h2>
        <p>${sentence(error.message)}</p>
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

  private beginChat(): void {
    this.conversations.choose();
    this.chat!.focus();
  }

  /** After a choice in the list. */
  private showChosen(): void {
    const inDrawer = this.drawer?.open;
    this.drawer?.close();
    // On a phone the text box would bring up the keyboard, over what a person wants to read.
    if (inDrawer && this.conversations.chosen) this.main.focus();
    else this.chat!.focus();
  }

  private show(status: string, error?: Error, isPassing = false): void {
    this.status = status;
    this.isPassing = isPassing;
    this.error = error;
  }

  private onChoose(event: Event): void {
    const name = (event.target as HTMLSelectElement).value;
    this.chosen = this.models.find((model) => model.name === name)!;
    rememberModel(name);
    void this.loadChosen(this.chosen);
  }
}
