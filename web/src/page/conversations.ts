/** The conversations of a page: all that are kept, the one that is shown, and what can be done with them. */

import type { ReactiveController, ReactiveControllerHost } from "lit";
import type { ChatMessage } from "../engine/openai";
import type { Conversation } from "./conversation";
import { endOf, rememberEnd } from "./answer_ends";
import { newConversations } from "./new_conversations";
import { type ConversationStore, MemoryStore, openStore } from "./conversation_store";
import { recall, remember } from "./site_storage";

const LONGEST_TITLE = 60;

export class Conversations implements ReactiveController {
  /** All that are kept, newest first. */
  list: Conversation[] = [];
  /** The one that is shown; undefined in a new chat, which is kept from its first message on. */
  chosen: Conversation | undefined;
  /** What is shown. Another array only where the view is to show another conversation. */
  messages: ChatMessage[] = [];
  /** What new chats tell the model first; "" for nothing. */
  private system = "";
  /** Those that were deleted last, for `undo`. */
  deleted: Conversation[] = [];
  /** Why nothing is kept, or not the last change; "" where all is. */
  note = "";
  /** Why the browser keeps nothing at all. */
  private unkept = "";
  private opened!: Promise<ConversationStore>;
  /** Under way. */
  private writes = 0;

  constructor(
    private readonly host: ReactiveControllerHost,
    /** Whether the view is writing an answer, which another tab's change must not end. */
    private readonly isAnswering: () => boolean,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.opened = this.open();
    const last = recall("sessionStorage", "conversation");
    void this.refresh().then(() => {
      if (!this.chosen && last !== null) this.choose(last);
    });
  }

  hostDisconnected(): void {
    void this.opened.then((store) => store.close());
  }

  /** Shows that conversation, or a new chat. */
  choose(id?: string): void {
    const chosen = this.list.find((each) => each.id === id);
    const { system } = this;
    rememberEnd(chosen?.messages.at(-1), chosen?.finish_reason);
    this.show(chosen, chosen?.messages ?? (system === "" ? [] : [{ role: "system", content: system }]));
  }

  /** New chats begin with this system prompt, also the one that is shown. */
  begin(system: string): void {
    this.system = system.trim();
    if (!this.chosen) this.choose();
  }

  /** Keeps what the view shows now. A chat that nobody has written in is none to keep. */
  change(messages: ChatMessage[]): void {
    const before = this.chosen;
    if (messages.every(({ role }) => role === "system")) {
      this.show(undefined, messages);
      if (before) void this.write((store) => store.delete([before.id]));
      return;
    }
    const { id, title } = before ?? { id: crypto.randomUUID(), title: titleOf(messages) };
    const finish_reason = endOf(messages.at(-1));
    const chosen = { id, title, messages, changed: Date.now(), ...(finish_reason && { finish_reason }) };
    this.show(chosen, messages);
    void this.write((store) => store.put([chosen]));
  }

  rename(id: string, title: string): void {
    const named = { ...this.find(id), title };
    if (this.chosen?.id === id) this.chosen = named;
    void this.write((store) => store.put([named]));
  }

  /** Resolves when they are gone. */
  delete(ids: string[]): Promise<void> {
    this.deleted = ids.map((id) => this.find(id));
    if (this.chosen && ids.includes(this.chosen.id)) this.choose();
    return this.write((store) => store.delete(ids));
  }

  /** Brings back those that were deleted last; resolves when they are there. */
  undo(): Promise<void> {
    const { deleted } = this;
    this.deleted = [];
    return this.write((store) => store.put(deleted));
  }

  /** Adds those that are not here yet, or rejects and adds none; resolves with their number. One whose id belongs to another here gets another id. */
  async add(conversations: Conversation[]): Promise<number> {
    const added = newConversations(conversations, this.chosen ? [this.chosen, ...this.list] : this.list);
    await (await this.opened).put(added);
    await this.refresh();
    return added.length;
  }

  private find(id: string): Conversation {
    // What is shown may be newer than the list.
    return this.chosen?.id === id ? this.chosen : this.list.find((each) => each.id === id)!;
  }

  private show(chosen: Conversation | undefined, messages: ChatMessage[]): void {
    this.chosen = chosen;
    this.messages = messages;
    remember("sessionStorage", "conversation", chosen?.id);
    this.host.requestUpdate();
  }

  private async open(): Promise<ConversationStore> {
    try {
      return await openStore(() => void this.refresh());
    } catch (error) {
      this.note = this.unkept = `Conversations end with this page: ${(error as Error).message}`;
      return new MemoryStore();
    }
  }

  private async write(work: (store: ConversationStore) => Promise<void>): Promise<void> {
    this.writes += 1;
    try {
      await work(await this.opened);
      this.note = this.unkept;
    } catch (error) {
      this.note = `The last change is not kept: ${(error as Error).message}`;
    }
    this.writes -= 1;
    await this.refresh();
  }

  /** Reads what is kept, which other tabs may have changed. */
  private async refresh(): Promise<void> {
    try {
      const kept = await (await this.opened).all();
      // Each write is followed by a refresh of its own, which sees more.
      if (this.writes > 0) return;
      const before = this.list;
      this.list = kept.sort((a, b) => b.changed - a.changed);
      if (this.chosen) this.follow(this.chosen, before);
    } catch (error) {
      this.note = `Conversations cannot be read: ${(error as Error).message}`;
    }
    this.host.requestUpdate();
  }

  /** Shows what another tab has made of the conversation that is shown here. */
  private follow(chosen: Conversation, before: Conversation[]): void {
    const kept = this.list.find(({ id }) => id === chosen.id);
    const isChanged = kept ? kept.changed > chosen.changed : before.some(({ id }) => id === chosen.id);
    if (kept?.changed === chosen.changed) this.chosen = { ...kept, messages: chosen.messages };
    else if (isChanged && !this.isAnswering()) this.choose(chosen.id);
    // Both go on, each as a conversation of its own.
    else if (isChanged && kept) this.chosen = { ...chosen, id: crypto.randomUUID() };
  }
}

/** The beginning of the first message, cut between what a reader takes for letters. */
function titleOf(messages: ChatMessage[]): string {
  const content = messages.find(({ role }) => role === "user")?.content ?? "";
  const text = typeof content === "string" ? content : content.map((part) => part.text).join(" ");
  const beginning = text.slice(0, 50 * LONGEST_TITLE).replace(/\s+/g, " ").trim();
  const letters = [...new Intl.Segmenter().segment(beginning)].map(({ segment }) => segment);
  return letters.length > LONGEST_TITLE ? `${letters.slice(0, LONGEST_TITLE - 1).join("").trimEnd()}…` : letters.join("") || "Untitled";
}
