/** What of a caller's grammar the library would take for something else: it reads classes such as [à-ÿ] as classes of single bytes. */

import { fail } from "../engine/check_fields";
import { CLASS, COMMENT, STRING } from "./grammar_limits";
import type { GrammarSpec } from "./grammars";

// What is no class is passed over: strings and comments of EBNF, and escapes.
const EBNF = new RegExp(`${STRING}|${COMMENT}|${CLASS}`, "g");
const REGEX = new RegExp(String.raw`\\[^]|${CLASS}|\.`, "g");
/** In JavaScript, too, a dot takes no line's end. */
const DOT = "[^\\n\\r]";

/** The text as the library is to read it. Throws GemletError "bad-request" where it has a class of other characters than ASCII's that is no "all but". */
export function withSafeClasses({ kind, text, field }: GrammarSpec): string {
  return text.replace(kind === "ebnf" ? EBNF : REGEX, (part) => {
    if (part === ".") return DOT;
    if (part.startsWith("[") && !part.startsWith("[^") && reachesBeyondAscii(part)) {
      fail(field, `${part}: a class holds ASCII's characters alone; write others as alternatives, or as all but some, [^…]`);
    }
    return part;
  });
}

function reachesBeyondAscii(part: string): boolean {
  const escapes = [...part.matchAll(/\\(?:u\{?|U|x)([0-9a-fA-F]+)/g)].map(([, digits]) => parseInt(digits!, 16));
  return /[^\0-\x7f]/.test(part) || escapes.some((code) => code > 0x7f) || /\\[DSW]/.test(part);
}
