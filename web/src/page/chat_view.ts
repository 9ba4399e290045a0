/** `<gemlet-chat-view>`: a conversation with a chat model. */

import { html, LitElement, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { keyed } from "lit/directives/keyed.js";
import type { Engine } from "../engine/engine";
import type { AssistantMessage, ChatMessage } from "../engine/openai";
import { isWhole, rememberEnd } from "./answer_ends";
import { NO_ANSWER, textOf, withDelta, withoutHalfCalls } from "./answer_message";
import { chatStyles } from "./chat_styles";
import { renderContext } from "./context_meter";
import { MessagesEvent, StatusEvent } from "./events";
import { Generation } from "./generation";
import { KeepAtEnd } from "./keep_at_end";
import { type SaveEvent } from "./message_editor"; // also defines the element
import "./message_view";
import type { SamplingValues } from "./sampling_settings";
import { type Shown, shownMessages } from "./shown_messages";
import { controls } from "./styles";

/** Milliseconds. */
const TELL_EVERY = 1000;

const LABELS = { system: "Instructions", developer: "Instructions", user: "Your message", assistant: "Earlier reply", tool: "Tool answer" };

@customElement("gemlet-chat-view")
export class ChatView extends LitElement {
  static override styles = [controls, chatStyles];

  @property({ attribute: false }) engine!: Engine;
  @property({ attribute: false }) sampling: () => SamplingValues = () => ({});
  /** Whether conversations are chosen, and begun, elsewhere in the page. */
  @property({ type: Boolean }) listed = false;
  @state() private draft = "";
  @state() private shown: Shown[] = [];
  /** What is being written; undefined while nothing is. */
  @state() private answer: AssistantMessage | undefined;
  /** The place of the message that is being changed. */
  @state() private edited: number | undefined;
  /** Tokens of the last request and its answer. */
  @state() private tokens: number | undefined;
  @query(".composer textarea") private box!: HTMLTextAreaElement;
  @query(".messages") private list!: HTMLElement;
  private kept: ChatMessage[] = [];
  /** What the page was told last, or told itself: `kept`, perhaps with the beginning of an answer. */
  private told = this.kept;
  private toldAt = 0;
  /** Counts the conversations. */
  private opened = 0;
  private readonly generation = new Generation(this, (...status) => this.dispatchEvent(new StatusEvent(...status)));
  private readonly end = new KeepAtEnd(this, () => this.list);

  /** The conversation. Another list than the one of the last "gemlet-messages" is another conversation: it ends the answer that is under way in this one. */
  @property({ attribute: false })
  get messages(): ChatMessage[] {
    return this.kept;
  }

  set messages(messages: ChatMessage[]) {
    if (messages === this.told) return;
    this.generation.abandon();
    this.told = messages;
    this.keep(messages);
    this.answer = undefined;
    this.edited = undefined;
    this.tokens = undefined;
    this.opened += 1;
    this.end.go();
    // What was said of the conversation before does not hold for this one.
    if (this.hasUpdated) this.dispatchEvent(new StatusEvent(""));
  }

  /** Whether an answer is being written, which another list of messages would end. */
  get answering(): boolean {
    return this.generation.running;
  }

  /** Goes to the text box. */
  override focus(): void {
    this.box.focus();
  }

  override firstUpdated(): void {
    if (this.autofocus) this.box.focus();
  }

  override render() {
    const { draft, shown, listed } = this;
    const { running } = this.generation;
    const empty = !running && shown.every(({ message }) => isInstruction(message));
    return html`
      <div class="messages" role="region" aria-label="Conversation" tabindex="0" @scroll=${this.end.onScroll}>
        <div class="content">
          ${keyed(this.opened, html`<div class="log" role="log" aria-label="Messages">${shown.map((each, place) => this.renderShown(each, place))}</div>`)}
          ${this.answer ? html`<gemlet-message running label="Answer" .message=${this.answer}></gemlet-message>` : nothing}
          ${empty ? html`<p class="empty muted">Ask something. What you write stays on this machine.</p>` : nothing}
        </div>
      </div>
      ${this.tokens === undefined ? nothing : renderContext(this.tokens, this.engine.info.context)}
      <div class="card composer">
        <textarea
          rows="1"
          dir="auto"
          aria-label="Prompt"
          placeholder="Message"
          .value=${draft}
          @input=${() => (this.draft = this.box.value)}
          @keydown=${this.onKey}
        ></textarea>
        ${listed ? nothing : html`<button ?disabled=${running || empty} @click=${this.clear}>New&nbsp;chat</button>`}
        <button class=${running ? "" : "primary"} ?disabled=${!running && draft.trim() === ""} @click=${running ? this.stop : this.send}>
          ${running ? "Stop" : "Send"}
        </button>
      </div>
    `;
  }

  private renderShown({ message, index, answers }: Shown, place: number) {
    if (this.edited === index) {
      const save = ({ text }: SaveEvent): void => void this.saveEdited(index, text);
      return html`<gemlet-message-editor .text=${textOf(message.content)} @gemlet-save=${save} @gemlet-cancel=${this.cancelEdit}></gemlet-message-editor>`;
    }
    const newest = place === this.shown.length - 1 && !this.generation.running;
    return html`
      <gemlet-message
        label=${newest && message.role === "assistant" ? "Answer" : LABELS[message.role]}
        ?newest=${newest}
        .message=${message}
        .answers=${answers}
      >
        ${this.renderActions(message, index, newest)}
      </gemlet-message>
    `;
  }

  private renderActions(message: ChatMessage, index: number, newest: boolean) {
    const { kept } = this;
    const idle = !this.generation.running;
    const isAnswer = message.role === "assistant";
    const text = textOf(message.content);
    const last = newest && kept.at(-1);
    const hasBegun = isAnswer && (text !== "" || Boolean(message.reasoning_content)) && !message.tool_calls;
    const continues = last === message && hasBegun && !isWhole(message);
    return html`
      ${isAnswer && text !== "" ? html`<gemlet-copy slot="actions" label="Copy answer" .text=${text}></gemlet-copy>` : nothing}
      ${idle && message.role === "user" ? action("Edit", "Edit message", () => (this.edited = index), `edit-${index}`) : nothing}
      ${last && last.role === "assistant" ? action("Regenerate", "Regenerate answer", () => this.again(kept.slice(0, -1))) : nothing}
      ${last && last.role !== "assistant" && !isInstruction(last) ? action("Get an answer", "Get an answer", () => this.again(kept)) : nothing}
      ${continues ? action("Continue", "Continue answer", () => this.again(kept.slice(0, -1), message as AssistantMessage)) : nothing}
    `;
  }

  private async send(): Promise<void> {
    const text = this.draft;
    this.draft = "";
    const came = await this.write([...this.kept, { role: "user", content: text }]);
    // Nothing came: the question goes back to where it can be changed and sent again.
    if (!came && this.draft === "") this.draft = text;
  }

  private again(messages: ChatMessage[], begun?: AssistantMessage): void {
    this.list.focus({ preventScroll: true }); // the button goes
    void this.write(messages, begun);
  }

  private async saveEdited(index: number, text: string): Promise<void> {
    this.list.focus({ preventScroll: true });
    const came = await this.write([...this.kept.slice(0, index), { role: "user", content: text }]);
    if (!came && this.draft === "") this.draft = text;
  }

  private async cancelEdit(): Promise<void> {
    const { edited } = this;
    this.edited = undefined;
    await this.updateComplete;
    this.renderRoot.querySelector<HTMLElement>(`#edit-${edited}`)!.focus();
  }

  /**
   * Lets the model answer these messages, or go on with an answer that it has begun. Resolves with whether anything came; if not, the conversation is
   * what it was before.
   */
  private async write(messages: ChatMessage[], begun?: AssistantMessage): Promise<boolean> {
    const { engine, kept: before } = this;
    const continued = begun && { ...begun, content: textOf(begun.content) };
    const start = continued ?? NO_ANSWER;
    const request = {
      ...this.sampling(),
      ...(continued ? { messages: [...messages, continued], continue_final_message: true } : { messages }),
      stream: true as const,
      return_token_ids: true,
      stream_options: { include_usage: true },
    };
    this.keep(messages);
    this.tell(begun ? [...messages, begun] : messages);
    this.answer = start;
    this.edited = undefined;
    this.end.go();
    const ending = await this.generation.run(
      (signal) => engine.chat.completions.create({ ...request, signal }),
      ({ delta }) => {
        this.answer = withDelta(this.answer!, delta);
        // The page keeps it now and then, so that leaving the conversation, or the page, loses little of it.
        if (this.answer !== start && performance.now() - this.toldAt > TELL_EVERY) this.tell([...messages, withoutHalfCalls(this.answer)]);
      },
    );
    if (!ending) return true; // it belongs to a conversation that is not shown any more
    const came = this.answer !== start;
    const answer = withoutHalfCalls(this.answer!);
    const last = came ? answer : begun;
    rememberEnd(last, ending.finish);
    this.answer = undefined;
    this.tokens = ending.usage?.total_tokens ?? this.tokens;
    this.change(came ? [...messages, answer] : before);
    return came;
  }

  private stop(): void {
    this.generation.stop();
  }

  private clear(): void {
    this.messages = this.kept.filter(isInstruction);
    this.change(this.kept);
    this.box.focus();
  }

  private change(messages: ChatMessage[]): void {
    this.keep(messages);
    this.tell(messages);
  }

  private tell(messages: ChatMessage[]): void {
    this.told = messages;
    this.toldAt = performance.now();
    this.dispatchEvent(new MessagesEvent(messages));
  }

  private keep(messages: ChatMessage[]): void {
    this.kept = messages;
    this.shown = shownMessages(messages);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this.stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.generation.running && this.draft.trim() !== "") void this.send();
  }
}

function isInstruction({ role }: ChatMessage): boolean {
  return role === "system" || role === "developer";
}

function action(text: string, label: string, act: () => void, id?: string) {
  return html`<button slot="actions" class="small" id=${id ?? nothing} aria-label=${label} @click=${act}>${text}</button>`;
}
