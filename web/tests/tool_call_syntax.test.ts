import { describe, expect, test } from "vitest";
import { parseCall } from "../src/text/tool_call_syntax";

const QUOTE = '<|"|>';
const parse = (text: string) => parseCall(text.split(QUOTE));

describe("parseCall", () => {
  test.each([
    ["call:now{}", "now", {}],
    [`call:weather{city:${QUOTE}Zürich${QUOTE},days:3}`, "weather", { city: "Zürich", days: 3 }],
    [`call:f{a:[1,-2.5e3,true,False,None],b:{c:${QUOTE}x${QUOTE},${QUOTE}d e${QUOTE}:[]}}`, "f", { a: [1, -2500, true, false, null], b: { c: "x", "d e": [] } }],
    [`call:f{code:${QUOTE}if (a) { b = [1, 2]; } // call:g{}${QUOTE}}`, "f", { code: "if (a) { b = [1, 2]; } // call:g{}" }],
    [`call:f{text:${QUOTE}"quoted", \\ and\nlines${QUOTE}}`, "f", { text: '"quoted", \\ and\nlines' }],
    [`call:f{city:Paris, ${QUOTE}${QUOTE}:1}`, "f", { city: "Paris", "": 1 }],
    ['call:f{"a": {"b": [1, "x"]}}', "f", { a: { b: [1, "x"] } }],
  ])("reads %s", (text, name, value) => {
    const call = parse(text)!;
    expect([call.name, JSON.parse(call.arguments)]).toEqual([name, value]);
  });

  test("keeps numbers as the model wrote them", () => {
    expect(parse("call:f{id:12345678901234567890}")!.arguments).toBe('{"id":12345678901234567890}');
  });

  test.each(["", "weather{}", "call:weather", "call:{}", "call:f{a:1", "call:f{a}", "call:f{a:1 b:2}x", "call:f{a:1}}", "call:f{a:,}", `call:f{a:[${"[".repeat(200)}`])(
    "refuses %s", (text) => expect(parse(text)).toBeNull());
});
