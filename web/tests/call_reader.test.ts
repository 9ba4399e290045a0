import { describe, expect, test } from "vitest";
import { CallReader } from "../src/text/call_reader";

const QUOTE = '<|"|>';

/** Reads the call in pieces of `length` characters; quotes come whole. Null where it is none. */
function parse(call: string, length = Infinity, marked = false) {
  const reader = new CallReader();
  const pieces = call.split(QUOTE).flatMap((part, index) => [
    ...(index === 0 ? [] : [reader.quote()]),
    ...(part.match(new RegExp(`.{1,${Math.min(length, 1000)}}`, "gsu")) ?? []).map((text) => reader.text(text)),
  ]);
  let name = reader.takeName();
  const last = reader.end(marked);
  name ??= reader.takeName();
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
      ["{", '"text":', '"', "one ", '\\"two', '\\"', '"', ',"n":', "12", ',"', "k", '"', ":[]"]);
  });

  test("is whole JSON at its end alone, wherever it breaks off", () => {
    const text = `call:f{a:{b:${QUOTE}}${QUOTE}},c:1}`;
    for (let cut = 1; cut < text.length; cut++) expect(parse(text.slice(0, cut))?.arguments ?? null).toBe(null);
    const reader = new CallReader();
    expect(() => JSON.parse(reader.text("call:f{a:{b:1}}"))).toThrow();
    expect(reader.end()).toBe("}");
  });

  // What servers have learned to read, since models write it.
  test.each([
    [":call:f{a:1}", { a: 1 }],
    [": call : f {a:1}", { a: 1 }],
    ["call::f{a:1}", { a: 1 }],
    [":f{a:1}", { a: 1 }],
    ["\n call:f\n{\n  a : 1 ,\n  b : 2\n}\n", { a: 1, b: 2 }],
    ["call:f{a:,b:}", { a: "", b: "" }],
    ["call:f{a:{b:},c:[]}", { a: { b: "" }, c: [] }],
    ["call:f{a:1,}", { a: 1 }],
    ["call:f{a:[1,2,],b:{c:1,},}", { a: [1, 2], b: { c: 1 } }],
    ["call:f{a:1,,b:2}", { a: 1, b: 2 }],
    ["call:f(a:1)", { a: 1 }],
    [`call:f(a=${QUOTE}ls -a${QUOTE}, b=2, c=[1,{d:e}])`, { a: "ls -a", b: 2, c: [1, { d: "e" }] }],
    [`call:f(${QUOTE}a${QUOTE}:1)`, { a: 1 }],
    ["call:f(a=say (hi), b='x')", { a: "say (hi)", b: "x" }],
    ['call:f({"a": 1})', { a: 1 }],
    ["call:f( {a:1} )", { a: 1 }],
    ["call:f()", {}],
    ["call:f({})", {}],
    ['call:f{"a": "b, {c}", "d": [true, null]}', { a: "b, {c}", d: [true, null] }],
    ["call:f{'a': 'it\\'s, {\"x\"}', b:'C:\\temp'}", { a: "it's, {\"x\"}", b: "C:\temp" }],
    ["call:f{pattern:':\\s*\\w+'}", { pattern: ":\\s*\\w+" }],
    ['call:f{path:"C:\\users\\bob"}', { path: "C:\\users\\bob" }],
    [`call:f{a:'b'${QUOTE},c:"d"${QUOTE} }`, { a: "b", c: "d" }],
    [`call:f{a:${QUOTE}}]${QUOTE},b:${QUOTE}} } x${QUOTE}}`, { a: "}]", b: "} } x" }],
    ['call:f{a:"two\nlines"}', { a: "two\nlines" }],
    [`call:f{${QUOTE}a${QUOTE}:${QUOTE}1${QUOTE},b:${QUOTE}true${QUOTE}}`, { a: "1", b: "true" }],
    ["call:f{true:True,null:None,1:1}", { true: true, null: null, 1: 1 }],
    ["call:f{url:https://x.org/a?b=c,time:12:30, model : gemma3:4b }", { url: "https://x.org/a?b=c", time: "12:30", model: "gemma3:4b" }],
    ["call:f(url=https://x.org/a?b=c)", { url: "https://x.org/a?b=c" }],
    ["call:f{Basic LLM Chain:{main:[]}}", { "Basic LLM Chain": { main: [] } }],
  ])("reads %j, which is not quite the syntax", (text, value) => {
    const call = parse(text)!;
    expect([call.name, JSON.parse(call.arguments)]).toEqual(["f", value]);
    for (const length of [1, 2, 3, 5]) expect(parse(text, length)).toMatchObject({ name: "f", arguments: call.arguments });
  });

  test.each(["get-weather", "module.func", "google:search", "a now", "größe"])("reads the name %s", (name) => expect(parse(`call:${name}{}`)!.name).toBe(name));

  test.each([
    ["call:f{a:1", { a: 1 }],
    [`call:f{a:[{b:${QUOTE}x${QUOTE}`, { a: [{ b: "x" }] }],
    ["call:f{a:", { a: "" }],
    ["call:f{a:1,", { a: 1 }],
    ["call:f{", {}],
    ["call:f", {}],
    [":call:f", {}],
    ["call:f(", {}],
    ["call:f(a=1", { a: 1 }],
    [`call:f{command:${QUOTE}ls -a`, { command: "ls -a" }],
    [`call:f{command:${QUOTE}ls}`, { command: "ls" }],
    [`call:f{a:1,b:[${QUOTE}x${QUOTE},${QUOTE}Hello, (you) }y]}`, { a: 1, b: ["x", "Hello, (you) }y"] }],
    [`call:f(a=${QUOTE}x)`, { a: "x" }],
    ["call:f({a:1}", { a: 1 }],
  ])("reads %j where the token came that ends a call, and not without it", (text, value) => {
    const call = parse(text, Infinity, true)!;
    expect([call.name, JSON.parse(call.arguments)]).toEqual(["f", value]);
    expect(parse(text)).toBeNull();
  });

  test.each([
    ["12345678901234567890", "12345678901234567890"], ["108.", "108.0"], ["-3.", "-3.0"], [".5", "0.5"], ["-.5", "-0.5"], ["1.e5", "1.0e5"], ["+5", "5"], ["+1.50", "1.50"],
    ["1E400", "1E400"], ["-0", "-0"], ["0.10000000000000000555", "0.10000000000000000555"], ["1.0", "1.0"], ["0", "0"],
    // Codes and words.
    ["007", '"007"'], ["+4712345678", '"+4712345678"'], ["1_000", '"1_000"'], ["0x1F", '"0x1F"'], [".", '"."'], ["-", '"-"'], ["1.2.3", '"1.2.3"'], ["1 2", '"1 2"'],
    ["NaN", '"NaN"'], ["Infinity", '"Infinity"'], ["e5", '"e5"'],
  ])("reads %s as %s, with the digits that the model wrote", (word, json) => {
    expect(parse(`call:f{n:${word}}`)!.arguments).toBe(`{"n":${json}}`);
    expect(parse(`call:f{n:[${word},${word}]}`)!.arguments).toBe(`{"n":[${json},${json}]}`);
    JSON.parse(parse(`call:f{n:${word}}`)!.arguments);
  });

  test.each(["call:f{a:1 b:2}", "call:f{a:b: c}", 'call:f{a:b:"c"}', "call:f{a:b:{c:1}}", "call:f{a::1}", "call:f{a:[b:1]}", `call:f{a:'b'${QUOTE}c${QUOTE}}`, "call:f prose here", "call:f{a}", "call:f{a:[1}", `call:f{a:${QUOTE}x,b:1}`, `call:f{a:${QUOTE}x, {b:1}}`, `call:f{${QUOTE}a}`, 'call:f{a:"x', "call:f{a:'x", "call:f{a:1}} and", "call:f(1)", "call:f{a:1} b", "call:f({a:1}) b"])(
    "does not guess at %j, even with its last token", (text) => expect(parse(text, Infinity, true)).toBeNull());

  test.each(["call:f{a:1}call:g{}", "call:f{a:1}\n:call:g{}", "call:f{a:1}, call:g{}", "call:f({a:1}) call:g{}"])("finds a second call in %j", (text) => {
    const reader = new CallReader();
    const json = reader.text(text) + reader.end(true);
    expect([reader.takeName(), json, reader.takeNext()]).toEqual(["f", '{"a":1}', "call:g{}"]);
  });

  test.each(["", "weather{}", "call:weather", "call:{}", "call:f{a:1", "call:f{a}", "call:f{a:1 b:2}x", "call:f{a:1}}", "call:f[1]", "call:f{[a]:1}", "call: {}", 'call:f{a:"x}', `call:f{a:[${"[".repeat(200)}`])(
    "refuses %s", (text) => expect(parse(text)).toBeNull());

  test("gives JSON of an object or nothing, whatever it reads, the same in pieces of any length", () => {
    const parts = ["call:", "f", "{", "}", "[", "]", "(", ")", ":", ",", "=", QUOTE, '"', "'", "\\", " ", "\n", "a", "1", ".", "-", "true", "☕", "\u0001", "{a:1}", "a:", `${QUOTE}x${QUOTE}`];
    let state = 7;
    const draw = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    let read = 0;
    for (let round = 0; round < 10000; round++) {
      const text = `call:f${draw(2) ? "{" : "("}${Array.from({ length: draw(10) }, () => parts[draw(parts.length)]).join("")}${["", "}", ")"][draw(3)]}`;
      for (const marked of [false, true]) {
        const found = parse(text, Infinity, marked);
        expect(parse(text, 1 + draw(3), marked)?.arguments).toBe(found?.arguments);
        if (found === null) continue;
        read += 1;
        const value: unknown = JSON.parse(found.arguments);
        expect(typeof value === "object" && value !== null && !Array.isArray(value), text).toBe(true);
        // What is read without the last token is read the same with it.
        if (!marked) expect(parse(text, Infinity, true)!.arguments).toBe(found.arguments);
      }
    }
    expect(read).toBeGreaterThan(500);
  });
});
