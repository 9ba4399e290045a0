/** JSON set out in lines. Its tokens stay as they were written, which `JSON.parse` would not keep of large numbers and double keys. */

const TOKEN = /"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const INDENT = "  ";
/** Deeper lines stand no further in: white space would grow with the square of the depth. */
const MOST_INDENTS = 32;

/** Undefined where the text is not an object or an array, whole and alone. */
export function prettyJson(text: string): string | undefined {
  if (!isStructure(text)) return undefined;
  let out = "";
  let depth = 0;
  let before = "";
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    const opened = before === "{" || before === "[";
    if (before === ":") out += " ";
    else if (before === "," || opened !== closes) out += `\n${INDENT.repeat(Math.min(depth, MOST_INDENTS))}`;
    out += token;
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return out;
}

function isStructure(text: string): boolean {
  if (!/^\s*[{[]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
