/** Which conversations of a file are not in the list yet. */

import type { Conversation } from "./conversation";

/** Those of `read` that are not in `list` with the same id and messages, as in an export of one's own. One whose id belongs to another conversation gets a new one. */
export function newConversations(read: readonly Conversation[], list: readonly Conversation[]): Conversation[] {
  const ids = new Set(list.map(({ id }) => id));
  const known = new Set(list.map(keyOf));
  return read.filter((each) => !known.has(keyOf(each))).map((each) => {
    const id = ids.has(each.id) ? crypto.randomUUID() : each.id;
    ids.add(id);
    return { ...each, id };
  });
}

function keyOf({ id, messages }: Conversation): string {
  return JSON.stringify([id, messages], byName);
}

/** The same text of the same fields, in whatever order. */
function byName(_: string, value: unknown): unknown {
  const isFields = typeof value === "object" && value !== null && !Array.isArray(value);
  return isFields ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
}
