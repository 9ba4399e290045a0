/** As much of a text as it takes to know that it is too long: what does not fit is not worth its tokens. */

/** Characters that are looked at together. */
const PIECE = 16384;

/** Whether the exact number of ids is not wanted any more. A cut between two pieces may add some tokens, hence twice as many. */
export function isFarOver(count: number, most: number): boolean {
  return count > 2 * most;
}

/** The beginning of `text`, or with `fromEnd` its end, that has far more than `most` tokens; all of it where there are not so many. */
export function longEnough(text: string, most: number, count: (piece: string) => number, fromEnd = false): string {
  // A token has a character or, of bytes, a part of one.
  if (text.length <= 2 * most) return text;
  let found = 0;
  for (let length = 0; length < text.length; ) {
    const next = Math.min(length + PIECE, text.length);
    found += count(fromEnd ? text.slice(text.length - next, text.length - length) : text.slice(length, next));
    length = next;
    if (isFarOver(found, most)) return fromEnd ? text.slice(-length) : text.slice(0, length);
  }
  return text;
}

/** All ids of the pieces, in order, until they are far more than `most`. */
export function joined(pieces: readonly (() => number[])[], most: number): number[] {
  const ids: number[] = [];
  for (const piece of pieces) {
    for (const id of piece()) ids.push(id);
    if (isFarOver(ids.length, most)) break;
  }
  return ids;
}
