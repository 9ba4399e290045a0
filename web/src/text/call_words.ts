/** JSON of what stands in a call without the model's own quotes: numbers, constants, strings in other quotes, and text. */

/** Templates render values as Python does, and models copy that. */
const CONSTANTS = new Map([
  ["true", "true"], ["True", "true"], ["false", "false"], ["False", "false"], ["null", "null"], ["None", "null"], ["none", "null"],
]);
/** Digits may be missing on one side of the dot. With zeros in front it is no number but a code of digits. */
const NUMBER = /^([+-]?)(0|[1-9]\d*)?(?:(\.)(\d*))?([eE][+-]?\d+)?$/;
/** As a number it would lose its sign. */
const TELEPHONE_NUMBER = /^\+\d{7,}$/;
const QUOTED = /^(["'])((?:\\.|(?!\1)[^\\])*)\1$/s;

/** Whether the word is a whole string in quotation marks. */
export function isQuoted(word: string): boolean {
  return QUOTED.test(word);
}

/** `isKey`: the name of a value, which is text, whatever it looks like. */
export function jsonOfWord(word: string, isKey: boolean): string {
  const quoted = QUOTED.exec(word);
  if (quoted) return isJson(word) ? word : jsonOfQuoted(quoted[2]!);
  const constant = isKey ? undefined : (CONSTANTS.get(word) ?? jsonNumber(word));
  return constant ?? JSON.stringify(word);
}

/** The number with all digits that the model wrote; undefined where it is none, or another thing as well. */
function jsonNumber(word: string): string | undefined {
  const found = NUMBER.exec(word);
  if (!found || TELEPHONE_NUMBER.test(word)) return undefined;
  const [, sign, whole = "", dot = "", fraction = "", exponent = ""] = found;
  if (whole === "" && fraction === "") return undefined;
  return `${sign === "-" ? "-" : ""}${whole || "0"}${dot && `.${fraction || "0"}`}${exponent}`;
}

/**
 * What stands between quotation marks, with JSON's escapes where it has no others, and else as it is: paths and patterns
 * have backslashes of their own.
 */
function jsonOfQuoted(text: string): string {
  const escaped = (character: string): string => JSON.stringify(character).slice(1, -1);
  const inner = text.replace(/\\.|["\x00-\x1f]/gs, (found) => {
    if (found === "\\'") return "'";
    return found.length === 1 ? escaped(found) : found;
  });
  const json = `"${inner}"`;
  return isJson(json) ? json : JSON.stringify(text);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
