/** What schemas may say beside what is enforced, what they may not, and how much of the library they ask for. */

import { describe, expect, test } from "vitest";
import { checkText, MOST_CHARACTERS, MOST_RULES } from "../src/grammar/grammar_limits";
import { Grammars } from "../src/grammar/grammars";
import { schemaGrammar } from "../src/grammar/schema_grammar";
import { SPECIAL, STOP, VOCABULARY } from "./fixture";
import { loadForNode } from "./xgrammar";

const TEXTS = VOCABULARY.map((text, id) => (id < SPECIAL.length ? "" : text));
const grammars = new Grammars(() => ({ texts: TEXTS, count: VOCABULARY.length, stop: STOP }), loadForNode);

/** Which bytes, as characters, may follow `text`, and whether it may end there; null where it is not allowed. */
async function follow(schema: unknown, text: string): Promise<{ next: string[]; ends: boolean } | null> {
  const masks = await grammars.begin({ kind: "ebnf", text: schemaGrammar(schema, "s"), field: "schema" });
  const answer: number[] = [];
  try {
    for (const byte of [...new TextEncoder().encode(text), -1]) {
      const mask = await masks.after(answer);
      const isAllowed = (id: number): boolean => ((mask[id >> 5]! >> (id & 31)) & 1) === 1;
      if (byte < 0) return { next: [..." \n\t"].filter((each) => isAllowed(SPECIAL.length + each.charCodeAt(0))), ends: isAllowed(STOP[0]!) };
      if (!isAllowed(SPECIAL.length + byte)) return null;
      answer.push(SPECIAL.length + byte);
    }
    return null;
  } finally {
    masks.dispose();
  }
}
const accepts = async (schema: unknown, text: string): Promise<boolean> => (await follow(schema, text))?.ends ?? false;

describe("white space", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "array", items: { type: "integer", maximum: 9 } }, b: { type: "object", properties: { c: { type: "boolean" } } }, d: { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], items: false, minItems: 2 } },
    required: ["a", "d"],
  };
  const value = { a: [1, 2], b: {}, d: [1, 2] };

  test.each<[string, unknown]>([["of a schema", schema], ["of any object", { type: "object" }]])("is never longer than a new line and its indentation: %s", async (_, each) => {
    const longest = async (text: string): Promise<number> => {
      const next = (await follow(each, text))?.next ?? [];
      return Math.max(0, ...(await Promise.all(next.map(async (character) => 1 + (await longest(text + character))))));
    };
    const text = JSON.stringify(value);
    const places = [..."{[,:]}1"].map((sign) => text.indexOf(sign)).concat(text.length - 1);
    for (const place of places) expect([text.slice(0, place + 1), await longest(text.slice(0, place + 1))]).toEqual([text.slice(0, place + 1), expect.toSatisfy((run: number) => run <= 21)]);
  });

  test("is what JSON has that is written without, on one line, and indented", async () => {
    const lines = [undefined, 1, 2, 4, "\t"].map((indent) => JSON.stringify(value, null, indent));
    const texts = [...lines, '{"a": [1, 2], "b": {}, "d": [1, 2]}', '{ "a" : [ 1, 2 ], "b": { }, "d": [1,2] }'];
    for (const each of [schema, { type: "object" }]) for (const text of texts) expect([text, await accepts(each, text)]).toEqual([text, true]);
    for (const each of [schema, { type: "object" }]) {
      for (const text of ['{  "a": [1], "d": [1, 2]}', '{\n\n"a": [1], "d": [1, 2]}', '{"a":\n[1], "d": [1, 2]}', '{"a": [1] , "d": [1, 2]}', '{"a":  [1], "d": [1, 2]}', '{ \n"a": [1], "d": [1, 2]}']) {
        expect([text, await accepts(each, text)]).toEqual([text, false]);
      }
    }
  });
});

describe("references", () => {
  const defs = (schemas: Record<string, unknown>) => ({ $ref: "#/$defs/a", $defs: schemas });
  const ring = /the references .*#\/\$defs\/a.* form a ring/;

  test.each<[string, unknown, RegExp]>([
    ["of two", defs({ a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }), /the references #\/\$defs\/a -> #\/\$defs\/b -> #\/\$defs\/a form a ring/],
    ["to itself", defs({ a: { $ref: "#/$defs/a" } }), ring],
    ["of the whole", { $ref: "#" }, /the references # -> # form a ring/],
    ["of three, one by allOf", defs({ a: { allOf: [{ $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/c" }, c: { $ref: "#/$defs/a" } }), ring],
    ["through anyOf, which has another way out", defs({ a: { anyOf: [{ type: "null" }, { $ref: "#/$defs/a" }] } }), ring],
    ["that begins inside of an object", { type: "object", properties: { x: { $ref: "#/$defs/a" } }, $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } }, ring],
    ["behind what has been seen", defs({ a: { anyOf: [{ type: "object", properties: { x: { $ref: "#/$defs/b" } } }, { $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } }), ring],
    ["in two spellings", defs({ a: { $ref: "#/%24defs/a" } }), ring],
    ["of a thousand", defs({ a: { $ref: "#/$defs/0" }, ...Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`${i}`, { $ref: i === 999 ? "#/$defs/a" : `#/$defs/${i + 1}` }])) }), ring],
    ["that is badly spelt", { $ref: "#/%E0%A4%A" }, /s\.\$ref: "%" begins no character/],
  ])("that form a ring are named: %s", (_, schema, message) => {
    expect(() => schemaGrammar(schema, "s")).toThrow(expect.objectContaining({ code: "bad-request", message: expect.stringMatching(message) }));
  });

  test("that go through properties, items or entries of maps are recursion", async () => {
    const tree = { $ref: "#/$defs/t", $defs: { t: { type: "object", properties: { left: { $ref: "#/$defs/t" }, all: { type: "array", items: { $ref: "#/$defs/t" } } } } } };
    expect(await accepts(tree, '{"left": {"left": {}}, "all": [{}, {"all": []}]}')).toBe(true);
    const map = { type: "object", additionalProperties: { $ref: "#" } };
    expect(await accepts(map, '{"a": {"b": {}}}')).toBe(true);
    const pair = { type: "array", prefixItems: [{ anyOf: [{ $ref: "#" }, { type: "null" }] }], items: false };
    expect(await accepts(pair, "[[[null]]]")).toBe(true);
    expect(await accepts({ $ref: "#/$defs/0", $defs: Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`${i}`, i === 1999 ? { type: "null" } : { $ref: `#/$defs/${i + 1}` }])) }, "null")).toBe(true);
  });
});

describe("what says nothing about values", () => {
  test.each<Record<string, unknown>>([
    { "x-order": 3 }, { "x-enumNames": ["a"] }, { $anchor: "name" }, { $id: "https://example.org/s" }, { $schema: "https://json-schema.org/draft/2020-12/schema" }, { title: "T" }, { description: "D" },
    { examples: [1] }, { example: 1 }, { default: null }, { deprecated: true }, { readOnly: true }, { writeOnly: true }, { $comment: "c" }, { externalDocs: {} }, { xml: {} }, { nullable: false },
    { contentEncoding: "base64" }, { contentMediaType: "text/plain" }, { format: "int64" }, { format: "double" },
  ])("is passed over: %j", async (note) => {
    expect(await accepts({ type: "number", ...note }, "-1.5")).toBe(true);
    const { format: _, ...others } = note;
    for (const schema of [{ enum: [7] }, { anyOf: [{ const: 7 }] }, { $ref: "#/$defs/seven", $defs: { seven: { const: 7 } } }, {}]) expect(await accepts({ ...schema, ...others }, "7")).toBe(true);
    expect(await accepts({ type: "object", properties: { a: { type: "string", ...others } }, ...others }, '{"a": "b"}')).toBe(true);
  });

  test.each<[object, string[], string[]]>([
    [{ type: "string", nullable: true }, ['"a"', "null"], ["1"]],
    [{ type: ["integer", "null"], nullable: true }, ["1", "null"], ['"a"']],
    [{ type: "string", nullable: true, enum: ["a", null] }, ['"a"', "null"], ['"b"']],
    [{ type: "string", nullable: true, enum: ["a"] }, ['"a"'], ["null"]],
    [{ enum: ["a", null], type: "string" }, ['"a"'], ["null"]],
    [{ type: "integer", format: "int32" }, ["2147483647", "-2147483648"], ["2147483648"]],
    [{ type: "integer", format: "uint8", minimum: 3 }, ["3", "255"], ["2", "256"]],
    [{ type: ["string", "integer"], format: "date" }, ["12", '"2024-01-31"'], ['"a"']],
  ])("or is honoured: %j takes %j and not %j", async (schema, good, bad) => {
    for (const text of good) expect([text, await accepts(schema, text)]).toEqual([text, true]);
    for (const text of bad) expect([text, await accepts(schema, text)]).toEqual([text, false]);
  });

  test.each<[string, unknown]>([["s.nullable: expected true or false, found 1", { type: "string", nullable: 1 }], ["s.format: expected int8", { type: "number", format: "roman" }], ["s.y-order: this keyword", { "y-order": 1 }]])(
    "but not: %s", (message, schema) => expect(() => schemaGrammar(schema, "s")).toThrow(message));
});

describe("the size of a grammar", () => {
  const many = (count: number, schema: unknown, required: string[] = []) => ({ type: "object", properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, schema])), required });
  const size = (schema: unknown): number => schemaGrammar(schema, "s").length;

  test.each<[string, unknown]>([["texts", { type: "string", maxLength: 20 }], ["integers", { type: "integer", minimum: 0, maximum: 150 }], ["objects", { type: "object", properties: { a: { enum: ["x", "y"] } } }], ["what may be null", { anyOf: [{ type: "number" }, { type: "null" }] }]])(
    "grows with the number of optional properties, and not with what they share: %s", (_, schema) => {
      const [few, more, most] = [size(many(50, schema)), size(many(100, schema)), size(many(1000, schema))];
      expect(more / few).toBeLessThan(2.2);
      expect(most).toBeLessThan(120 * 1000);
    });

  test("of 300 optional properties that are alike is compiled with the classes of one", async () => {
    const text = schemaGrammar(many(300, { type: "string", maxLength: 20 }), "s");
    expect(text.split("{0,20} ").length - 1).toBe(1 + 1); // and that of white space
    expect(await accepts(many(300, { type: "string", maxLength: 20 }), '{"p7": "a", "p299": ""}')).toBe(true);
    expect(await accepts(many(300, { type: "string", maxLength: 20 }), '{"p7": "a", "p6": ""}')).toBe(false);
  });

  test("of many values grows with what their texts do not share", async () => {
    const values = Array.from({ length: 20000 }, (_, i) => `value ${i}`);
    expect(size({ enum: values })).toBeLessThan(5000);
    for (const text of ['"value 0"', '"value 19999"']) expect(await accepts({ enum: values }, text)).toBe(true);
    for (const text of ['"value 20000"', '"value 00"', '"value "', '"value 199990"']) expect(await accepts({ enum: values }, text)).toBe(false);
    const odd = ["", "a", "aa", "ab", "aab", 'a"b', "☕", "☕a", "😀", "😁", 1, 12, 122, -1, null, true, [1], [1, 2], { a: 1 }, ...Array.from({ length: 60 }, (_, i) => "a".repeat(i + 3))];
    for (const value of odd) expect([value, await accepts({ enum: odd }, JSON.stringify(value))]).toEqual([value, true]);
    for (const text of ['"b"', '"aaba"', `"${"a".repeat(63)}"`, "2", "[1,3]", '"☕☕"']) expect([text, await accepts({ enum: odd }, text)]).toEqual([text, false]);
  });

  test.each<[string, unknown]>([
    ["values", { enum: Array.from({ length: 50000 }, (_, i) => `${Math.imul(i, 2654435761)} ${Math.imul(i, 40503)}`) }],
    ["properties", many(20000, { type: "integer" })],
    ["a long value", { const: "x".repeat(10 ** 6) }],
  ])("has a limit: %s", (_, schema) => {
    const check = (): void => checkText({ kind: "ebnf", text: schemaGrammar(schema, "s"), field: "schema" });
    expect(check).toThrow(expect.objectContaining({ code: "bad-request", message: expect.stringMatching(new RegExp(`${MOST_RULES}|${MOST_CHARACTERS}`)) }));
  });

  test("of alternatives within alternatives does not nest", async () => {
    const nested = (levels: number): unknown => (levels === 0 ? { type: "null" } : { anyOf: [{ type: "array", prefixItems: [nested(levels - 1)], items: false }, { type: "boolean" }] });
    expect(await accepts(nested(40), "[[true]]")).toBe(true);
  });
});
