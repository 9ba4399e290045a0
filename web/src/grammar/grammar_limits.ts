/** What a grammar may need of the library: its stack overflows on deep nesting, and its time grows with rules, and with classes times the vocabulary. */

import { fail } from "../engine/check_fields";
import type { GrammarSpec } from "./grammars";

/** The library traps at some 150. */
export const MOST_DEPTH = 64;
/** Of a caller's grammar or expression, and of what its repetitions stand for. */
export const MOST_CHARACTERS = 200_000;
/** The library writes longer repetitions in another way. */
const MOST_COPIES = 128;
/** Of a grammar in the library's own form. */
export const MOST_RULES = 10_000;
export const MOST_CLASSES = 1_000;

// What does not end goes to the text's end, so that the search for its end is not tried again behind each beginning.
const ESCAPE = String.raw`\\[^]?`;
export const STRING = String.raw`"(?:${ESCAPE}|[^"\\])*(?:"|$)`;
export const CLASS = String.raw`\[(?:${ESCAPE}|[^\]\\])*(?:\]|$)`;
export const COMMENT = "#.*";
const TEXT = `${STRING}|${COMMENT}|${CLASS}`;
const REPEATED = String.raw`\{(\d+)(,?)(\d*)\}`;
// What is no parenthesis and no repetition: strings and comments of EBNF, classes, escapes.
const PARTS = { ebnf: new RegExp(`${TEXT}|[()]|${REPEATED}`, "g"), regex: new RegExp(`${ESCAPE}|${CLASS}|[()]|${REPEATED}`, "g") };

/** Before the library reads it. Throws GemletError "bad-request" that says which limit is exceeded, and by what. */
export function checkText({ kind, text, field }: GrammarSpec): void {
  if (text.length > MOST_CHARACTERS) refuse(field, `it has ${text.length} characters`, `${MOST_CHARACTERS}`);
  /** Characters of each group that is open, repetitions written out; `last`: of what a repetition would repeat. */
  const open = [0];
  let last = 0;
  let end = 0;
  const add = (size: number): void => {
    open[open.length - 1]! += size;
    last = size;
  };
  for (const match of text.matchAll(PARTS[kind])) {
    if (match.index > end) add(match.index - end);
    end = match.index + match[0].length;
    const [part, least, , most] = match;
    if (part === "(") {
      if (open.push(0) > MOST_DEPTH) refuse(field, `parentheses nest deeper than that`, `${MOST_DEPTH} levels`);
    } else if (part === ")") {
      add(open.length > 1 ? open.pop()! + 1 : 1);
    } else if (least !== undefined) {
      const copies = Math.min(MOST_COPIES, Math.max(1, Number(least), Number(most)));
      add(last * (copies - 1));
    } else add(part.length);
    if (open.at(-1)! > MOST_CHARACTERS) refuse(field, `with its repetitions written out it has more characters`, `${MOST_CHARACTERS}`);
  }
}

/** Before the library compiles what it has read. */
export function checkRules(grammar: string, field: string): void {
  const rules = grammar.split("\n").length;
  if (rules > MOST_RULES) refuse(field, `its grammar has ${rules} rules and alternatives`, `${MOST_RULES}`);
  const classes = [...grammar.matchAll(new RegExp(TEXT, "g"))].filter(([part]) => part.startsWith("[")).length;
  if (classes > MOST_CLASSES) refuse(field, `its grammar has ${classes} classes of characters`, `${MOST_CLASSES}; lengths up to 48 count a class for each character`);
}

function refuse(field: string, found: string, limit: string): never {
  fail(field, `${found}, and at most ${limit} can be compiled here`);
}
