import "fake-indexeddb/auto";
import type { ReactiveControllerHost } from "lit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChatMessage } from "../src/engine/openai";
import type { Conversations } from "../src/page/conversations";

const QUESTION: ChatMessage = { role: "user", content: "Why is\nthe sea salt?" };
const ANSWER: ChatMessage = { role: "assistant", content: "Rivers bring it." };
const tabs: Tab[] = [];

/** A page's conversations; its view shows `conversations.messages`. */
class Tab {
  answering = false;
  private constructor(readonly conversations: Conversations) {}

  static async open(): Promise<Tab> {
    const host = { addController: () => {}, requestUpdate: () => {} } as unknown as ReactiveControllerHost;
    const { Conversations } = await import("../src/page/conversations");
    const tab: Tab = new Tab(new Conversations(host, () => tab.answering));
    tab.conversations.hostConnected();
    tabs.push(tab);
    return tab;
  }

  get titles(): string[] {
    return this.conversations.list.map(({ title }) => title);
  }
}

const inTabs = (check: () => void): Promise<void> => vi.waitFor(check, { interval: 1 });

beforeEach(() => {
  vi.stubGlobal("document", { baseURI: `https://example.org/${crypto.randomUUID()}/` }); // each test has a site of its own
  vi.resetModules();
});
afterEach(() => {
  for (const { conversations } of tabs.splice(0)) conversations.hostDisconnected();
  vi.unstubAllGlobals();
});

describe("conversations", () => {
  it("are kept from the first message on, with its beginning as their title", async () => {
    const { conversations } = await Tab.open();
    conversations.change([]);
    conversations.change([QUESTION]);
    conversations.change([QUESTION, ANSWER]);
    const later = await Tab.open();
    await inTabs(() => expect(later.titles).toEqual(["Why is the sea salt?"]));
    expect(later.conversations.list[0]!.messages).toEqual([QUESTION, ANSWER]);
    conversations.choose();
    conversations.change([{ role: "user", content: "🐟".repeat(61) }]);
    await inTabs(() => expect(later.titles[0]).toBe(`${"🐟".repeat(59)}…`));
    conversations.change([]);
    await inTabs(() => expect(later.titles).toEqual(["Why is the sea salt?"]));
  });

  it("begin with the system prompt, which is none to keep without a question", async () => {
    const { conversations } = await Tab.open();
    conversations.begin(" Be brief. ");
    expect(conversations.messages).toEqual([{ role: "system", content: "Be brief." }]);
    conversations.change([...conversations.messages, QUESTION]);
    conversations.begin("Be long.");
    expect(conversations.messages).toEqual([{ role: "system", content: "Be brief." }, QUESTION]);
    conversations.change([conversations.messages[0]!]);
    await inTabs(() => expect(conversations.list).toEqual([]));
    expect(conversations.chosen).toBeUndefined();
  });

  it("follow what another tab does, and leave the view alone where nothing of its messages has changed", async () => {
    const [here, there] = [await Tab.open(), await Tab.open()];
    const messages = [QUESTION];
    here.conversations.change(messages);
    await inTabs(() => expect(there.titles).toHaveLength(1));
    const { id } = there.conversations.list[0]!;
    there.conversations.rename(id, "salt");
    await inTabs(() => expect(here.conversations.chosen!.title).toBe("salt"));
    expect(here.conversations.messages).toBe(messages);
    there.conversations.choose(id);
    there.conversations.change([QUESTION, ANSWER]);
    await inTabs(() => expect(here.conversations.messages).toEqual([QUESTION, ANSWER]));
    await there.conversations.delete([id]);
    await inTabs(() => expect(here.conversations.chosen).toBeUndefined());
    await there.conversations.undo();
    await inTabs(() => expect(here.titles).toEqual(["salt"]));
  });

  it("become two where another tab goes on with one that is being answered", async () => {
    const [here, there] = [await Tab.open(), await Tab.open()];
    here.conversations.change([QUESTION]);
    here.answering = true;
    await inTabs(() => expect(there.titles).toHaveLength(1));
    there.conversations.choose(there.conversations.list[0]!.id);
    there.conversations.change([QUESTION, { role: "assistant", content: "From there" }]);
    await inTabs(() => expect(here.conversations.list[0]!.messages).toHaveLength(2));
    expect(here.conversations.messages).toEqual([QUESTION]);
    here.conversations.change([QUESTION, ANSWER]);
    await inTabs(() => expect(there.titles).toHaveLength(2));
    expect(there.conversations.list.map(({ messages }) => messages[1]!.content)).toEqual(["Rivers bring it.", "From there"]);
    expect(there.conversations.messages[1]!.content).toBe("From there");
  });

  it("of a file get other ids where theirs are taken, and come all or not at all", async () => {
    const { conversations } = await Tab.open();
    const file = { id: "a", title: "from a file", changed: 1, messages: [QUESTION] };
    await conversations.add([file, file]);
    expect(conversations.list).toHaveLength(2);
    expect(new Set(conversations.list.map(({ id }) => id)).size).toBe(2);
    const broken = { ...file, id: "b", title: (() => {}) as unknown as string }; // no browser keeps a function
    await expect(conversations.add([{ ...file, id: "c" }, broken])).rejects.toThrow();
    const later = await Tab.open();
    await inTabs(() => expect(later.titles).toEqual(["from a file", "from a file"]));
  });

  it("stay in the view where a change cannot be written, and say so", async () => {
    const { conversations } = await Tab.open();
    conversations.change([QUESTION]);
    await inTabs(() => expect(conversations.list).toHaveLength(1));
    const unkept = [QUESTION, { ...ANSWER, extra: () => {} } as ChatMessage];
    conversations.change(unkept);
    await inTabs(() => expect(conversations.note).toMatch("The last change is not kept"));
    await inTabs(() => expect(conversations.list[0]!.messages).toEqual([QUESTION]));
    expect(conversations.messages).toBe(unkept);
    conversations.change([QUESTION, ANSWER]);
    await inTabs(() => expect(conversations.list[0]!.messages).toEqual([QUESTION, ANSWER]));
    expect(conversations.note).toBe("");
  });
});
