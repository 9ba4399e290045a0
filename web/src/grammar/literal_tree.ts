/** One of many texts, as a tree of what they begin with: the library's time grows with the square of the alternatives in a rule. */

/** More alternatives than this go into a tree. */
const MOST_ALTERNATIVES = 64;

/** An expression for one of `texts`; `rule` makes a rule of an expression and gives its name. */
export function oneOf(texts: readonly string[], rule: (expression: string) => string): string {
  const different = [...new Set(texts)];
  if (different.length <= MOST_ALTERNATIVES) return alternatives(different.map(quoted));
  return branches(different.map((text) => [...text]).sort(compare), 0, rule);
}

/** Of `texts`, sorted and by character, what follows their first `from` characters, which they share. */
function branches(texts: readonly string[][], from: number, rule: (expression: string) => string): string {
  const parts: string[] = [];
  for (let start = 0; start < texts.length; ) {
    const first = texts[start]!;
    let end = start + 1;
    while (end < texts.length && first.length > from && texts[end]![from] === first[from]) end += 1;
    const last = texts[end - 1]!;
    let shared = from;
    while (shared < first.length && first[shared] === last[shared]) shared += 1;
    const beginning = quoted(first.slice(from, shared).join(""));
    parts.push(end - start === 1 ? beginning : `${beginning} ${rule(branches(texts.slice(start, end), shared, rule))}`);
    start = end;
  }
  return alternatives(parts);
}

function compare(a: readonly string[], b: readonly string[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  return a.length - b.length;
}

/** As a string of the grammar, whose escapes are JSON's. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

export function alternatives(expressions: readonly string[]): string {
  return expressions.length === 1 ? expressions[0]! : `(${expressions.map((each) => `(${each})`).join(" | ")})`;
}
