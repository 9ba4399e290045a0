/** `<gemlet-conversation-list>`: the conversations that are kept, to choose, rename, delete, export and import. */

import { css, html, LitElement, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Conversation } from "./conversation";
import { download, readConversations, writeConversations } from "./conversation_file";
import type { Conversations } from "./conversations";
import { ChosenEvent } from "./events";
import { moreIcon, newIcon } from "./icons";
import { controls } from "./styles";

@customElement("gemlet-conversation-list")
export class ConversationList extends LitElement {
  static override styles = [
    controls,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 0.6rem;
        min-height: 0;
        font-size: 0.92rem;
      }
      .new {
        display: flex;
        gap: 0.5rem;
        align-items: center;
      }
      p {
        margin: 0;
        overflow-wrap: anywhere;
      }
      ul {
        flex: 1;
        min-height: 0;
        margin: 0;
        padding: 3px;
        overflow-y: auto;
        list-style: none;
      }
      .item {
        display: flex;
        border-radius: 10px;
      }
      .item:hover {
        background: var(--sunk);
      }
      .item:has([aria-current]) {
        background: var(--accent-soft);
      }
      .item button {
        border-color: transparent;
        background: none;
        padding: 0.45rem 0.6rem;
      }
      .item .open {
        flex: 1;
        min-width: 0;
        overflow: hidden;
        text-align: start;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .actions {
        padding: 0.3rem 0 0.6rem 0.6rem;
      }
      .row {
        gap: 0.4rem;
      }
      .row button {
        padding: 0.25rem 0.55rem;
        font-size: 0.85rem;
      }
      .row input {
        flex: 1;
        min-width: 0;
        width: 100%;
      }
      svg {
        display: block;
      }
    `,
  ];

  @property({ attribute: false, hasChanged: () => true }) conversations!: Conversations;
  /** The one whose actions are shown. */
  @state() private opened: string | undefined;
  /** The one whose title is a field now. */
  @state() private renamed: string | undefined;
  /** What came of the last import. */
  @state() private report = "";
  @query("input[type=file]") private files!: HTMLInputElement;
  @query("input[name=title]") private titleField!: HTMLInputElement;

  override render() {
    const { list, note, deleted } = this.conversations;
    return html`
      <button class="new" @click=${() => this.choose()}>${newIcon} New chat</button>
      ${note ? html`<p class="muted">${note}</p>` : nothing} ${deleted.length > 0 ? this.renderDeleted(deleted) : nothing}
      <p aria-live="polite">${this.report}</p>
      <ul aria-label="Conversations">
        ${repeat(list, ({ id }) => id, (each) => html`<li>${this.renderItem(each)}</li>`)}
      </ul>
      <div class="row">
        <button @click=${() => this.files.click()}>Import…</button>
        <button ?disabled=${list.length === 0} @click=${() => download("gemlet-conversations.json", writeConversations(list))}>Export all</button>
        <button ?disabled=${list.length === 0} @click=${() => this.delete(list)}>Delete all</button>
        <input type="file" hidden accept=".json,application/json" @change=${this.import} />
      </div>
    `;
  }

  private renderDeleted(deleted: Conversation[]) {
    const what = deleted.length === 1 ? html`“<bdi>${deleted[0]!.title}</bdi>” is deleted` : `${deleted.length} conversations are deleted`;
    return html`<p id="deleted">${what}. <button class="undo" aria-describedby="deleted" @click=${() => this.undo(deleted)}>Undo</button></p>`;
  }

  private renderItem(conversation: Conversation) {
    const { id, title } = conversation;
    const opened = id === this.opened;
    const current = id === this.conversations.chosen?.id ? "true" : nothing;
    return html`
      <div class="item" data-id=${id}>
        <button class="open" dir="auto" title=${title} aria-current=${current} @click=${() => this.choose(id)}>${title}</button>
        <button class="more" aria-label=${`Actions for ${title}`} aria-expanded=${opened} @click=${() => (this.opened = opened ? undefined : id)}>
          ${moreIcon}
        </button>
      </div>
      ${opened ? (id === this.renamed ? this.renderTitle(conversation) : this.renderActions(conversation)) : nothing}
    `;
  }

  private renderActions(conversation: Conversation) {
    const { id, title } = conversation;
    return html`
      <div class="row actions" role="group" aria-label=${`Actions for ${title}`}>
        <button @click=${() => this.startRename(id)}>Rename</button>
        <button @click=${() => download(`${title.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`, writeConversations([conversation]))}>Export</button>
        <button @click=${() => this.delete([conversation])}>Delete</button>
      </div>
    `;
  }

  private renderTitle({ id, title }: Conversation) {
    const end = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it would close the drawer, too
      void this.endRename(id);
    };
    return html`
      <form class="row actions" @keydown=${end} @submit=${(event: SubmitEvent) => this.rename(id, event)}>
        <input name="title" dir="auto" aria-label="Title" required maxlength="200" autocomplete="off" .value=${title} />
        <button class="primary">Save</button>
        <button type="button" @click=${() => this.endRename(id)}>Cancel</button>
      </form>
    `;
  }

  private choose(id?: string): void {
    this.report = "";
    this.conversations.deleted = [];
    this.conversations.choose(id);
    this.dispatchEvent(new ChosenEvent());
  }

  private async startRename(id: string): Promise<void> {
    this.renamed = id;
    await this.updateComplete;
    this.titleField.select();
  }

  private rename(id: string, event: SubmitEvent): void {
    event.preventDefault();
    const title = this.titleField.value.trim();
    if (title !== "") this.conversations.rename(id, title);
    void this.endRename(id);
  }

  private async endRename(id: string): Promise<void> {
    this.opened = this.renamed = undefined;
    await this.focusOn(`${item(id)} .more`);
  }

  private async delete(conversations: Conversation[]): Promise<void> {
    this.opened = undefined;
    this.report = "";
    await this.conversations.delete(conversations.map(({ id }) => id));
    await this.focusOn(".undo");
  }

  private async undo([first]: Conversation[]): Promise<void> {
    await this.conversations.undo();
    await this.focusOn(`${item(first!.id)} .open`);
  }

  private async import(): Promise<void> {
    const file = this.files.files![0]!;
    try {
      const read = readConversations(await file.text());
      const added = await this.conversations.add(read);
      this.report = `${importedOf(added)} imported from ${file.name}.${added < read.length ? ` ${hereOf(read.length - added)} here already.` : ""}`;
    } catch (error) {
      this.report = `Nothing is imported from ${file.name}: ${(error as Error).message}`;
    }
    this.files.value = ""; // so that the same file can be chosen again
  }

  /** Moves the focus when what has changed is shown. */
  private async focusOn(selector: string): Promise<void> {
    this.requestUpdate();
    await this.updateComplete;
    this.renderRoot.querySelector<HTMLElement>(selector)?.focus();
  }
}

function importedOf(count: number): string {
  return count === 0 ? "Nothing is" : count === 1 ? "One conversation is" : `${count} conversations are`;
}

function hereOf(count: number): string {
  return count === 1 ? "One was" : `${count} were`;
}

/** A selector. Ids may come from a file. */
function item(id: string): string {
  return `[data-id="${CSS.escape(id)}"]`;
}
