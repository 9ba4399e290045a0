/** Conversations as a JSON file, to carry them to another browser: docs/page.md. */

import { check, fields, isInteger, isObject, isText, listOf } from "../engine/check_fields";
import { MESSAGES_CHECK } from "../engine/check_messages";
import type { FinishReason } from "../engine/openai";
import { GemletError } from "../errors";
import type { Conversation } from "./conversation";

const FORMAT = "gemlet-conversations";
const VERSION = 1;

const checkText = check("text that is not empty", isText);
const checkTime = check("milliseconds since 1970, an integer of at least 0", (value) => isInteger(value) && value >= 0);
const FINISHES: readonly unknown[] = ["stop", "length", "tool_calls"] satisfies FinishReason[];
const checkFinish = check('"stop", "length" or "tool_calls"', (value) => FINISHES.includes(value));
const checkFile = fields({
  format: check(`"${FORMAT}"`, (value) => value === FORMAT),
  version: check(`${VERSION}`, (value) => value === VERSION),
  conversations: listOf("conversations", fields({ id: checkText, title: checkText, changed: checkTime, messages: MESSAGES_CHECK }, { finish_reason: checkFinish })),
});

export function writeConversations(conversations: Conversation[]): string {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1)}\n`;
}

/** Throws GemletError "bad-request" that names the place where the text is not such a file. */
export function readConversations(text: string): Conversation[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new GemletError("bad-request", `expected a JSON file as "Export" writes it: ${(error as Error).message}`);
  }
  check("an object", isObject)(file, "the file");
  checkFile(file, "");
  return (file as { conversations: Conversation[] }).conversations;
}

/** Has the browser save the text under that name. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
