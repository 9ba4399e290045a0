import { expect, test } from "vitest";
import { fitMessages } from "../src/text/fit_messages";
import type { ChatMessage, Conversation } from "../src/text/messages";

const message = (role: string, content: string): ChatMessage => ({ role, content }) as ChatMessage;
/** A token a letter. */
const encode = ({ messages }: Conversation): number[] => messages.flatMap(({ content }) => [...(content as string)].map((letter) => letter.charCodeAt(0) - 96));
const text = (ids: readonly number[]): string => String.fromCharCode(...ids.map((id) => id + 96));
const MESSAGES = [
  message("system", "s"), message("user", "aa"), message("assistant", "bb"), message("tool", "t"), message("assistant", "cc"), message("user", "dd"),
  message("assistant", "ee"), message("user", "ff"),
];

test.each([
  [99, "saabbtccddeeff"],
  [13, "sddeeff"],
  [6, "sff"],
])("with room for %i tokens leaves %s", (room, left) => {
  expect(text(fitMessages({ messages: MESSAGES }, encode, (count) => count <= room))).toBe(left);
});

test("keeps the system's message and the last of the user's, even where they do not fit", () => {
  expect(text(fitMessages({ messages: MESSAGES }, encode, () => false))).toBe("sff");
});

test("keeps everything else of the conversation", () => {
  const tools = [{ type: "function" as const, function: { name: "f" } }];
  fitMessages({ messages: MESSAGES, tools }, (each) => {
    expect(each.tools).toBe(tools);
    return encode(each);
  }, (count) => count < 9);
});
