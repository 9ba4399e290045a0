/** Numbers between two bounds, as expressions of a grammar. */

/** The most digits of a whole number, and of a fraction: what float64 holds exactly. */
const DIGITS = 15;
const LARGEST = 10 ** DIGITS - 1;
const FRACTION = `("." [0-9]{1,${DIGITS}})`;

export interface Bounds {
  minimum?: number | undefined;
  maximum?: number | undefined;
}

/** Whole numbers of at most 15 digits within the bounds; null where there is none. */
export function integerRange({ minimum = -LARGEST, maximum = LARGEST }: Bounds): string | null {
  return signed(Math.ceil(Math.max(minimum, -LARGEST)), Math.floor(Math.min(maximum, LARGEST)));
}

/** Numbers within the bounds: all whole ones, and those between two of them, with up to 15 digits; null where no whole number is within. */
export function numberRange({ minimum = -LARGEST, maximum = LARGEST }: Bounds): string | null {
  const [low, high] = [Math.ceil(Math.max(minimum, -LARGEST)), Math.floor(Math.min(maximum, LARGEST))];
  const whole = signed(low, high);
  if (whole === null) return null;
  // A fraction takes a number away from zero, at most to the next whole one.
  const above = unsigned(Math.max(low, 0), high - 1);
  const below = unsigned(Math.max(-high, 0), -low - 1);
  return union([whole, above && `${above} ${FRACTION}`, below && `"-" ${below} ${FRACTION}`]);
}

function signed(low: number, high: number): string | null {
  const below = unsigned(Math.max(-high, 1), -low);
  return union([unsigned(Math.max(low, 0), high), below && `"-" ${below}`]);
}

/** From 0 on, without leading zeros: of each number of digits those that are between. */
function unsigned(low: number, high: number): string | null {
  const found = [];
  for (let digits = 1; digits <= DIGITS; digits++) {
    const from = Math.max(low, digits === 1 ? 0 : 10 ** (digits - 1));
    const to = Math.min(high, 10 ** digits - 1);
    if (from <= to) found.push(equallyLong(String(from), String(to)));
  }
  return union(found);
}

function equallyLong(low: string, high: string): string {
  if (low === high) return `"${low}"`;
  const rest = low.length - 1;
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))) return `[${low[0]}-${high[0]}]${rest > 0 ? ` [0-9]{${rest}}` : ""}`;
  if (low[0] === high[0]) return `"${low[0]}" ${equallyLong(low.slice(1), high.slice(1))}`;
  const [first, last] = [Number(low[0]) + 1, Number(high[0]) - 1];
  return union([
    `"${low[0]}" ${equallyLong(low.slice(1), "9".repeat(rest))}`,
    first <= last ? equallyLong(first + "0".repeat(rest), last + "9".repeat(rest)) : null,
    `"${high[0]}" ${equallyLong("0".repeat(rest), high.slice(1))}`,
  ])!;
}

function union(parts: (string | null)[]): string | null {
  const some = parts.filter((part) => part !== null);
  return some.length > 1 ? `(${some.join(" | ")})` : (some[0] ?? null);
}
