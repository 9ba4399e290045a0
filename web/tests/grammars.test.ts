import { Ajv2020 } from "ajv/dist/2020";
import { describe, expect, test } from "vitest";
import { type GrammarSpec, Grammars, type TokenMasks } from "../src/grammar/grammars";
import { integerRange, numberRange } from "../src/grammar/number_range";
import { schemaGrammar } from "../src/grammar/schema_grammar";
import { BOS, SPECIAL, STOP, VOCABULARY } from "./fixture";
import schemas from "./schemas.json?raw";
import { loadForNode } from "./xgrammar";

/** Of the kinds that people ask for; tests/browser/test_structured_output.py draws by them too. */
const SCHEMAS = JSON.parse(schemas) as Record<string, object>;
/** What an answer's text is made of: special tokens have none. */
const TEXTS = VOCABULARY.map((text, id) => (id < SPECIAL.length ? "" : text));
const grammars = new Grammars(() => ({ texts: TEXTS, count: VOCABULARY.length + 3, stop: STOP }), loadForNode);
const QUOTE = VOCABULARY.indexOf('"');
const ebnf = (text: string): GrammarSpec => ({ kind: "ebnf", text, field: "grammar" });
const regex = (text: string): GrammarSpec => ({ kind: "regex", text, field: "regex" });

const allowed = (mask: Int32Array): number[] => Array.from({ length: 32 * mask.length }, (_, id) => id).filter((id) => (mask[id >> 5]! >> (id & 31)) & 1);
const names = async (masks: TokenMasks, answer: number[] = []): Promise<string[]> => allowed(await masks.after(answer)).map((id) => VOCABULARY[id]!);
const ids = (...texts: string[]): number[] => texts.map((text) => VOCABULARY.indexOf(text));

/** Numbers from 0 to 1, the same for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 3266489917) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

/** The text of an answer in which all tokens that are allowed are equally likely, but a quotation mark is likelier, which ends strings; null where it does not end within `most` tokens. */
async function draw(spec: GrammarSpec, seed: number, most = 1000): Promise<string | null> {
  const masks = await grammars.begin(spec);
  const random = randomNumbers(seed);
  const answer: number[] = [];
  const bytes: number[] = [];
  try {
    while (answer.length < most) {
      const choices = allowed(await masks.after(answer));
      const token = choices.includes(QUOTE) && random() < 0.1 ? QUOTE : choices[Math.floor(random() * choices.length)]!;
      if (STOP.includes(token)) return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
      answer.push(token);
      const byte = /^<0x(..)>$/.exec(TEXTS[token]!);
      bytes.push(...(byte ? [parseInt(byte[1]!, 16)] : new TextEncoder().encode(TEXTS[token]!.replaceAll("▁", " "))));
    }
    return null;
  } finally {
    masks.dispose();
  }
}

describe("Grammars", () => {
  test("allow what may come next, and a stop token only where the grammar may end", async () => {
    const masks = await grammars.begin(regex("ab?"));
    expect(await names(masks)).toEqual(["<0x61>", "a"]);
    expect(new Set(await names(masks, ids("a")))).toEqual(new Set(["<eos>", "<turn|>", "<0x62>", "b"]));
    expect(await names(masks, ids("a", "b"))).toEqual(["<eos>", "<turn|>"]);
  });

  test("know tokens of several characters, spaces and bytes, and never allow a special one", async () => {
    const masks = await grammars.begin(ebnf('root ::= " the" [^x]'));
    expect(await names(masks)).toEqual(["<0x20>", "▁", "▁t", "▁the"]);
    const any = await masks.after(ids("▁the"));
    expect(allowed(any).filter((id) => id < SPECIAL.length || id >= VOCABULARY.length)).toEqual([]);
    expect(allowed(any)).toContain(VOCABULARY.indexOf("▁"));
    expect(allowed(any)).not.toContain(BOS);
  });

  test("say what is wrong with a grammar, and take the next one", async () => {
    const refused = (spec: GrammarSpec) => expect(grammars.begin(spec)).rejects;
    await refused(ebnf("root ::= ")).toMatchObject({ code: "bad-request", message: expect.stringMatching(/^grammar: the grammar is not valid: parser error at line 1, column 10/) });
    await refused(regex("[a")).toMatchObject({ code: "bad-request", message: expect.stringMatching(/^regex: the regular expression is not valid: parsing error at position 3: Unclosed/) });
    expect(await draw(regex("[ab]{3}"), 1)).toMatch(/^[ab]{3}$/);
  });

  test("take a dot for all but a line's end, and refuse classes that the library would read as bytes", async () => {
    for (let seed = 0; seed < 40; seed++) expect(await draw(regex("a.[^x]\\.{2}"), seed)).toMatch(/^a.[^x]\.{2}$/su);
    for (const spec of [regex("[à-ÿ]"), regex("[a\\u00e9]"), regex("\\[[\\W]"), ebnf('root ::= "[é" [a-é]')]) {
      await expect(grammars.begin(spec)).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(/^(regex|grammar): \[.*a class holds ASCII's characters alone/) });
    }
    expect(await draw(ebnf('root ::= "[é-ü]" # [é]\n'), 1)).toBe("[é-ü]");
  });

  /** All texts of a's and b's in "<" and ">" that the grammar takes, up to a length. */
  async function language(spec: GrammarSpec, most: number): Promise<string[]> {
    const found: string[] = [];
    const follow = async (text: string): Promise<void> => {
      const masks = await grammars.begin(spec);
      const choices = allowed(await masks.after(ids(...text)));
      masks.dispose();
      if (choices.includes(STOP[0]!)) found.push(text);
      if (text.length < most) for (const character of "<ab>") if (choices.includes(VOCABULARY.indexOf(character))) await follow(text + character);
    };
    await follow("");
    return found.sort();
  }

  test("take all that regular expressions take, and nothing else", async () => {
    const random = randomNumbers(3);
    const integer = (below: number) => Math.floor(random() * below);
    const word = () => Array.from({ length: 1 + integer(4) }, () => ["a", "b", "a", "b", "[ab]"][integer(5)]).join("");
    const part = (depth: number): string => {
      const inner = () => (depth === 0 ? word() : part(depth - 1));
      return [() => word(), () => inner() + inner(), () => `(${inner()})?`, () => `(${inner()}){1,2}`, () => `(${inner()})*`, () => `(${[inner(), word(), word()].join("|")})`][integer(6)]!();
    };
    const texts = [""];
    for (const text of texts) if (text.length < 5) texts.push(`${text}a`, `${text}b`);
    for (const pattern of ["<(b>|baab>|ba>)", "<([ab]{3}|[ab]{2})>", ...Array.from({ length: 60 }, () => `<${part(2)}>`)]) {
      const expected = texts.map((text) => `<${text}>`).filter((text) => new RegExp(`^(?:${pattern})$`).test(text)).sort();
      expect([pattern, await language(regex(pattern), 7)]).toEqual([pattern, expected]);
    }
  });

  test("say so where no token can follow, and where the library cannot be loaded", async () => {
    const few = new Grammars(() => ({ texts: ["", "a"], count: 2, stop: [0] }), loadForNode);
    const masks = await few.begin(regex("ab"));
    await masks.after([]);
    await expect(masks.after([1])).rejects.toMatchObject({ code: "bad-request", message: "regex: behind token 1 of the answer, no token of this model's vocabulary can follow" });
    let online = false;
    const flaky = new Grammars(() => ({ texts: ["", "a"], count: 2, stop: [0] }), () => (online ? loadForNode() : Promise.reject(new Error("offline"))));
    await expect(flaky.begin(regex("a"))).rejects.toMatchObject({ code: "network", message: expect.stringContaining("offline") });
    online = true;
    expect(allowed(await (await flaky.begin(regex("a"))).after([]))).toEqual([1]);
  });
});

describe("schemaGrammar", () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });

  test.each(Object.entries(SCHEMAS))("lets through what the schema allows alone: %s", async (_, schema) => {
    const spec = ebnf(schemaGrammar(schema, "schema"));
    const validate = ajv.compile(schema);
    let ended = 0;
    for (let seed = 0; seed < 40; seed++) {
      const text = await draw(spec, seed);
      if (text === null) continue;
      ended += 1;
      expect(validate(JSON.parse(text)), `${text}: ${JSON.stringify(validate.errors)}`).toBe(true);
    }
    expect(ended).toBeGreaterThan(30);
  });

  const accepts = async (schema: unknown, value: string): Promise<boolean> => {
    const masks = await grammars.begin(ebnf(schemaGrammar(schema, "schema")));
    const answer: number[] = [];
    for (const byte of new TextEncoder().encode(value)) {
      const token = VOCABULARY.indexOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      if (!allowed(await masks.after(answer)).includes(token)) return false;
      answer.push(token);
    }
    return allowed(await masks.after(answer)).includes(STOP[0]!);
  };

  test.each<[object | boolean, unknown[], unknown[]]>([
    [SCHEMAS["person"]!, [{ name: "Ann B ☕", age: 130, member: false }], [{ name: "", age: 1, member: true }, { name: "Ann", age: 131, member: true }, { age: 1 }]],
    [SCHEMAS["optional"]!, [{ b: null }, { a: -1, b: null }, { b: null, c: true }, { a: 0, b: null, c: true }], [{}, { a: 1 }, { a: 1, c: true }]],
    [SCHEMAS["allOptional"]!, [{}, { b: true }, { a: true, c: true }], [{ d: true }]],
    [SCHEMAS["tree"]!, [{ v: 1, next: { v: 2, next: null } }], [{ v: 1 }]],
    [SCHEMAS["list"]!, [[-20], [1999, 0, 7]], [[], [-21], [2000], [1, 1, 1, 1, 1, 1, 1]]],
    [SCHEMAS["tupleAndMore"]!, [[true, null, null]], [[true, null], [null, null, null]]],
    [{ type: "string" }, ["", "Ann \"B\" ☕\u0001\n\\"], [3]],
    [{ type: "string", minLength: 3 }, ["abc", "☕☕☕\n"], ["", "ab"]],
    [{ type: "string", maxLength: 60 }, ["", "☕".repeat(60)], ["a".repeat(61)]],
    [true, [{ a: [1.5e3, "x", { b: null }] }, [], "a", 0, -0.25], []],
    [{ type: "object" }, [{}, { a: { b: [] } }], [[], 1]],
    [{ type: "string", format: "date" }, ["2024-02-28", "1999-12-31"], ["2024-02-30", "2024-13-01", "2024-04-31"]],
  ])("for %j takes %j and not %j", async (schema, good, bad) => {
    for (const value of good) expect([value, await accepts(schema, JSON.stringify(value))]).toEqual([value, true]);
    for (const value of bad) expect([value, await accepts(schema, JSON.stringify(value))]).toEqual([value, false]);
    for (const value of good) if (typeof value === "object") expect(await accepts(schema, JSON.stringify(value, null, 2)), "indented").toBe(true);
  });

  test.each<[string, unknown]>([
    ["s.pattern: this keyword is not enforced here; ask for the whole answer by `regex`", { type: "string", pattern: "a" }],
    ["s.oneOf: this keyword is not enforced here; use anyOf", { oneOf: [{ type: "string" }] }],
    ["s.not: this keyword is not enforced", { not: {} }],
    ["s.properties.a.multipleOf: this keyword is not enforced", { type: "object", properties: { a: { type: "integer", multipleOf: 2 } } }],
    ["s.items.uniqueItems: this keyword is not enforced", { type: "array", items: { type: "array", uniqueItems: true } }],
    ["s.minLength: this keyword is not enforced", { type: "integer", minLength: 2 }],
    ["s.minLength: this keyword is not enforced", { enum: ["a"], minLength: 2 }],
    ["s.type: expected string, integer", { type: "text" }],
    ["s.type: expected a list, not empty", { type: [] }],
    ["s.required: \"b\" is not among the properties", { type: "object", properties: { a: {} }, required: ["b"] }],
    ["s.minProperties: more than 1 is not enforced", { type: "object", minProperties: 2 }],
    ["s.maxProperties: a number of listed properties is not enforced", { type: "object", properties: { a: {} }, maxProperties: 1 }],
    ["s.minItems: 3 is more than maxItems, 2", { type: "array", minItems: 3, maxItems: 2 }],
    ["s.minItems: so many items are not allowed", { type: "array", prefixItems: [{}], items: false, minItems: 2 }],
    ["s.minItems: expected an integer of at least 0", { type: "array", minItems: -1 }],
    ["s.format: expected date, time, date-time, uuid, found \"email\"", { type: "string", format: "email" }],
    ["s.$ref: there is no #/$defs/x", { $ref: "#/$defs/x" }],
    ["s.$ref: expected a pointer", { $ref: "https://example.org/schema" }],
    ["s.allOf: more than one schema", { allOf: [{}, {}] }],
    ["s.enum: no value is of the schema's type", { enum: ["a"], type: "integer" }],
    ["s: no whole number of 15 digits is within", { type: "number", minimum: 0.2, maximum: 0.8 }],
    ["s.exclusiveMinimum: this keyword is not enforced", { type: "number", exclusiveMinimum: 0 }],
    ["s: expected a schema", false],
    ["s.anyOf[1].items: expected a schema", { anyOf: [{}, { type: "array", items: [] }] }],
  ])("refuses by name: %s", (message, schema) => {
    expect(() => schemaGrammar(schema, "s")).toThrow(expect.objectContaining({ code: "bad-request", message: expect.stringContaining(message) }));
  });
});

describe("ranges", () => {
  /** A range's expression as JavaScript's own. */
  const pattern = (range: string): RegExp => new RegExp(`^(?:${range.replace(/"([^"]*)"/g, (_, text: string) => text.replace(".", "\\.")).replaceAll(" ", "")})$`);

  test.each([[0, 0], [0, 9], [3, 40], [-5, 12], [-130, -17], [99, 101], [0, 1999], [1000, 9999], [-1, 1], [7, 7], [198, 1203]])("hold the whole numbers from %i to %i alone", (minimum, maximum) => {
    const range = pattern(integerRange({ minimum, maximum })!);
    for (let value = minimum - 1200; value <= maximum + 1200; value++) expect([value, range.test(String(value))]).toEqual([value, value >= minimum && value <= maximum]);
    expect(range.test("-0") || range.test("01")).toBe(false);
  });

  test("have no end where there is no bound, but for 15 digits", () => {
    const above = pattern(integerRange({ minimum: 3 })!);
    expect(["2", "3", "12", "999999999999999", "1000000000000000", "-4"].map((text) => above.test(text))).toEqual([false, true, true, true, false, false]);
    expect(integerRange({ minimum: 2, maximum: 1 })).toBeNull();
    expect(integerRange({ minimum: 1.5, maximum: 1.75 })).toBeNull();
  });

  test.each([[-2.5, 7.25], [0, 1], [-3, -1], [0.5, 2], [5, 5]])("of numbers hold none below %d or above %d", (minimum, maximum) => {
    const range = pattern(numberRange({ minimum, maximum })!);
    for (let value = -4; value <= 9; value += 0.125) {
      const inside = value >= minimum && value <= maximum;
      // All whole ones, and all that lie between two whole ones.
      const wanted = inside && (Number.isInteger(value) || (Math.floor(value) >= minimum && Math.ceil(value) <= maximum));
      expect([value, range.test(String(value))]).toEqual([value, wanted]);
    }
  });
});
