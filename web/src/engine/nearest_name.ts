/** Which name was meant by one that is not known. */

/** The nearest of `names`, whatever its capitals and underscores; undefined where none is near. */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  const asked = letters(name);
  const most = Math.max(1, Math.floor(asked.length / 3));
  const near = [...names].map((each) => ({ each, changes: changesBetween(asked, letters(each), most) })).filter(({ changes }) => changes <= most);
  return near.sort((a, b) => a.changes - b.changes)[0]?.each;
}

function letters(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** Letters to insert, drop or change; more than `most` where there are more. */
function changesBetween(from: string, to: string, most: number): number {
  if (Math.abs(from.length - to.length) > most) return most + 1;
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1));
    row = next;
  }
  return row.at(-1)!;
}
