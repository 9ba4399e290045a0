/** Where conversations are kept: the browser's IndexedDB, each whole under its id; or the page's memory, where the browser offers no more. */

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { GemletError } from "../errors";
import type { Conversation } from "./conversation";
import { SITE } from "./site_storage";

export interface ConversationStore {
  /** In no order. */
  all(): Promise<Conversation[]>;
  /** All or none, each in place of the one with its id. */
  put(conversations: Conversation[]): Promise<void>;
  delete(ids: string[]): Promise<void>;
  close(): void;
}

export class MemoryStore implements ConversationStore {
  private readonly conversations = new Map<string, Conversation>();

  async all(): Promise<Conversation[]> {
    return [...this.conversations.values()];
  }

  async put(conversations: Conversation[]): Promise<void> {
    for (const each of conversations) this.conversations.set(each.id, each);
  }

  async delete(ids: string[]): Promise<void> {
    for (const id of ids) this.conversations.delete(id);
  }

  close(): void {}
}

/** Milliseconds. */
const LONGEST_WAIT = 5000;
const NAME = `gemlet conversations ${SITE}`;

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
}

/** `onChange` is called when another tab has changed what is kept. Throws GemletError "storage" where the browser keeps nothing. */
export async function openStore(onChange: () => void): Promise<ConversationStore> {
  try {
    const opening = openDB<Schema>(NAME, 1, {
      upgrade: (made) => void made.createObjectStore("conversations", { keyPath: "id" }),
      // Who deletes the site's data, or opens a newer version of it, need not wait for this tab.
      blocking: (_, __, { target }) => (target as IDBDatabase).close(),
    });
    const database = await Promise.race([opening, patience()]);
    return new BrowserStore(database, onChange);
  } catch (error) {
    throw new GemletError("storage", `this browser gives the page no IndexedDB, as in some private windows and by some policies (${(error as Error).message})`);
  }
}

/** Some browsers never answer, as after another tab has crashed. */
function patience(): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error("it does not open")), LONGEST_WAIT));
}

class BrowserStore implements ConversationStore {
  private readonly tabs = new BroadcastChannel(NAME);

  constructor(
    private readonly database: IDBPDatabase<Schema>,
    onChange: () => void,
  ) {
    this.tabs.onmessage = onChange;
  }

  all(): Promise<Conversation[]> {
    return this.database.getAll("conversations");
  }

  async put(conversations: Conversation[]): Promise<void> {
    // What cannot be kept throws here: in the transaction it would throw in the midst, and leave those before it to be written.
    const copies = structuredClone(conversations);
    const { store, done } = this.database.transaction("conversations", "readwrite");
    await Promise.all([...copies.map((each) => store.put(each)), done]);
    this.tabs.postMessage("changed");
  }

  async delete(ids: string[]): Promise<void> {
    const { store, done } = this.database.transaction("conversations", "readwrite");
    await Promise.all([...ids.map((id) => store.delete(id)), done]);
    this.tabs.postMessage("changed");
  }

  close(): void {
    this.tabs.close();
    this.database.close();
  }
}
