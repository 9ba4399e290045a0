/** A piece of a call, as an answer gives it out. */
export interface CallDelta {
  /** The call's place among those of the answer that have begun. */
  index: number;
  /** In the first piece alone. */
  name?: string;
  /** A piece of the arguments' JSON text, in which numbers are as the model wrote them. */
  arguments: string;
  /** Whether it is the last: all of them together are a call. */
  whole: boolean;
}

/** Joins a piece to those before it: `calls` has one piece of each call. */
export function addCall(calls: CallDelta[], piece: CallDelta): void {
  const open = calls.at(-1);
  if (open?.index !== piece.index) calls.push({ ...piece });
  else Object.assign(open, { arguments: open.arguments + piece.arguments, whole: piece.whole });
}
