/** What is left of a sequence that fills the context, where its beginning may be forgotten. */

/** How a prompt or an answer that does not fit is taken: as an error, or an answer's end, or by forgetting the oldest tokens. */
export type Overflow = "error" | "shift";

/** The first token, which is the BOS where there is one, and the newest half of what the context holds. */
export function shifted(ids: readonly number[], context: number): number[] {
  const newest = Math.max(1, Math.floor(context / 2) - 1);
  return [ids[0]!, ...ids.slice(-newest)];
}
