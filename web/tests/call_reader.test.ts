import { describe, expect, test } from "vitest";
import { CallReader } from "../src/text/call_reader";

const QUOTE = '<|"|>';

/** Reads the call in pieces of `length` characters; quotes come whole. Null where it is none. */
function parse(call: string, length = Infinity) {
  const reader = new CallReader();
  const pieces = call.split(QUOTE).flatMap((part, index) => [
    ...(index === 0 ? [] : [reader.quote()]),
    ...(part.match(new RegExp(`.{1,${Math.min(length, 1000)}}`, "gsu")) ?? []).map((text) => reader.text(text)),
  ]);
  const name = reader.takeName();
  const last = reader.end();
  return last === null ? null : { name, arguments: pieces.join("") + last, pieces };
}

describe("CallReader", () => {
  test.each([
    ["call:now{}", "now", {}],
    [`call:weather{city:${QUOTE}Zürich${QUOTE},days:3}`, "weather", { city: "Zürich", days: 3 }],
    [`call:f{a:[1,-2.5e3,true,False,None],b:{c:${QUOTE}x${QUOTE},${QUOTE}d e${QUOTE}:[]}}`, "f", { a: [1, -2500, true, false, null], b: { c: "x", "d e": [] } }],
    [`call:f{code:${QUOTE}if (a) { b = [1, 2]; } // call:g{}${QUOTE}}`, "f", { code: "if (a) { b = [1, 2]; } // call:g{}" }],
    [`call:f{text:${QUOTE}"quoted", \\ and\nlines${QUOTE}}`, "f", { text: '"quoted", \\ and\nlines' }],
    [`call:f{city:Paris, ${QUOTE}${QUOTE}:1}`, "f", { city: "Paris", "": 1 }],
    ['call:f{"a": {"b": [1, "x, y: {z}"]}, "c\\"": "\\\\"}', "f", { a: { b: [1, "x, y: {z}"] }, 'c"': "\\" }],
    [`call:f{a:say "hi",b:${QUOTE}☕ tea${QUOTE}}`, "f", { a: 'say "hi"', b: "☕ tea" }],
  ])("reads %s", (text, name, value) => {
    const call = parse(text)!;
    expect([call.name, JSON.parse(call.arguments)]).toEqual([name, value]);
    for (const length of [1, 2, 3]) expect(parse(text, length)).toMatchObject({ name, arguments: call.arguments });
  });

  test("gives the arguments as they come", () => {
    expect(parse(`call:f{text:${QUOTE}one "two"${QUOTE},n:12,${QUOTE}k${QUOTE}:[]}`, 4)!.pieces.filter(Boolean)).toEqual(
      ["{", '"text":', '"', "one ", '\\"two', '\\"', '"', ',"n":', "12,", '"', "k", '"', ":[]"]);
  });

  test("is whole JSON at its end alone, wherever it breaks off", () => {
    const text = `call:f{a:{b:${QUOTE}}${QUOTE}},c:1}`;
    for (let cut = 1; cut < text.length; cut++) expect(parse(text.slice(0, cut))?.arguments ?? null).toBe(null);
    const reader = new CallReader();
    expect(() => JSON.parse(reader.text("call:f{a:{b:1}}"))).toThrow();
    expect(reader.end()).toBe("}");
  });

  test("keeps numbers as the model wrote them", () => {
    expect(parse("call:f{id:12345678901234567890}")!.arguments).toBe('{"id":12345678901234567890}');
  });

  test.each(["", "weather{}", "call:weather", "call:{}", "call:f{a:1", "call:f{a}", "call:f{a:1 b:2}x", "call:f{a:1}}", "call:f{a:,}", "call:f{a:1,}", "call:f[1]", "call:f{[a]:1}", "call: {}", 'call:f{a:"x}', `call:f{a:[${"[".repeat(200)}`])(
    "refuses %s", (text) => expect(parse(text)).toBeNull());
});
