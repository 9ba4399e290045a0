/**
 * Alternatives as rules of their own. xgrammar 0.1.27 merges states of alternatives that begin or end alike, in one rule, and takes more than they say then:
 * of "b!" | "baab!" | "ba!" also "baabab!". It merges nothing across rules that it cannot put into one another, such as those that end with another rule.
 */

const EMPTY = "empty__";
const PART = /"(?:\\[^]|[^"\\])*"|\[(?:\\[^]|[^\]\\])*\]|[()]/g;

/** `grammar`: EBNF as xgrammar itself writes it: a rule a line, ((one) | (another) | ""), and what may have to follow behind it. */
export function separateAlternatives(grammar: string): string {
  const rules = grammar.split("\n").filter((line) => line !== "").map((line) => {
    const [, name, body] = /^(\S+) ::= (.*)$/.exec(line)!;
    const { alternatives, end } = split(body!);
    // One and nothing have nothing in common; and the masks of what stays in one rule are found ahead, those of what goes across rules token by token.
    if (alternatives.filter((each) => each !== '""').length < 2) return line;
    const names = alternatives.map((_, i) => `${name}__${i}`);
    return [`${name} ::= (${names.join(" | ")})${body!.slice(end)}`, ...alternatives.map((each, i) => `${names[i]} ::= ${each} ${EMPTY}`)].join("\n");
  });
  return [...rules, `${EMPTY} ::= ""`].join("\n");
}

/** The alternatives of the parentheses that a rule's body begins with, and where these end. */
function split(body: string): { alternatives: string[]; end: number } {
  const alternatives: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { 0: part, index } of body.matchAll(PART)) {
    if (part === "(" && ++depth === 2) start = index + 1;
    else if (part === '""' && depth === 1) alternatives.push(part);
    else if (part === ")") {
      if (depth === 2) alternatives.push(body.slice(start, index));
      if (--depth === 0) return { alternatives, end: index + 1 };
    }
  }
  return { alternatives: [], end: 0 };
}
