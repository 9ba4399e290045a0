import { describe, expect, test } from "vitest";
import { type AnswerFormat, PLAIN } from "../src/text/answer_format";
import { AnswerReader, type Delta } from "../src/text/answer_reader";
import { addCall, type CallDelta } from "../src/text/call_delta";

/** Ids of markers; every other id is the code of a character. */
const [THOUGHT, END_THOUGHT, CALL, END_CALL, QUOTE] = [-1, -2, -3, -4, -5] as const;
const MARKERS = { thoughtBegin: THOUGHT, thoughtEnd: END_THOUGHT, callBegin: CALL, callEnd: END_CALL, quote: QUOTE };
const FORMAT: AnswerFormat = { ...PLAIN, markers: MARKERS };
const decode = (ids: readonly number[]): string => ids.map((id) => (id < 0 ? "" : String.fromCharCode(id))).join("");
const ids = (...parts: (string | number)[]): number[] => parts.flatMap((part) => (typeof part === "number" ? [part] : [...part].map((letter) => letter.charCodeAt(0))));

function read(tokens: readonly number[], format = FORMAT, stopStrings: string[] = [], isTurn = false) {
  const reader = new AnswerReader(decode, stopStrings, format);
  const deltas: Delta[] = [];
  let next: readonly number[] = [];
  let stopped = false;
  for (const token of tokens) {
    const found = reader.push(token);
    deltas.push(found.delta);
    if (found.next.length > 0) next = found.next;
    stopped = found.stopped;
    if (stopped) break;
  }
  if (!stopped) deltas.push(reader.end(isTurn).delta);
  const begun: CallDelta[] = [];
  for (const piece of deltas.flatMap(({ calls }) => calls)) addCall(begun, piece);
  return {
    text: deltas.map(({ text }) => text).join(""),
    thought: deltas.map(({ thought }) => thought).join(""),
    begun,
    calls: begun.filter(({ whole }) => whole).map(({ name, arguments: text }) => ({ name, arguments: text })),
    reader, deltas, next,
  };
}

describe("AnswerReader", () => {
  test("keeps thoughts out of the text, without their label and last newline", () => {
    const { text, thought } = read(ids(THOUGHT, "thought\nFirst.\nThen.\n", END_THOUGHT, "Hello"));
    expect([text, thought]).toEqual(["Hello", "First.\nThen."]);
  });

  test("gives every piece as soon as it is certain, and never a marker", () => {
    const { deltas } = read(ids(THOUGHT, "thought\nab", END_THOUGHT, "c"));
    expect(deltas.map(({ thought }) => thought).filter(Boolean)).toEqual(["a", "b"]);
    expect(deltas.map(({ text }) => text).filter(Boolean)).toEqual(["c"]);
  });

  test("an empty thought is none", () => {
    expect(read(ids(THOUGHT, "thought\n", END_THOUGHT, "x"))).toMatchObject({ text: "x", thought: "" });
  });

  test("reads calls with text around them, in order", () => {
    const { text, calls, reader } = read(ids("Let me see.", CALL, "call:f{a:", QUOTE, "x{y", QUOTE, "}", END_CALL, CALL, "call:g{}", END_CALL));
    expect([text, calls, reader.callCount]).toEqual(["Let me see.", [{ name: "f", arguments: '{"a":"x{y"}' }, { name: "g", arguments: "{}" }], 2]);
  });

  test("gives a call as it comes: its name where the arguments begin, then piece by piece", () => {
    const { deltas } = read(ids(CALL, "call:f{a:", QUOTE, "xy", QUOTE, "}", END_CALL));
    const pieces = deltas.flatMap(({ calls }) => calls);
    expect(pieces[0]).toEqual({ index: 0, name: "f", arguments: "{", whole: false });
    expect(pieces.slice(1).map(({ arguments: text }) => text)).toEqual(['"a":', '"', "x", "y", '"', "}"]);
    expect(pieces.map(({ name, whole }) => [name, whole]).slice(1)).toEqual([...Array(5).fill([undefined, false]), [undefined, true]]);
  });

  test("a call that breaks off keeps its place, is never whole, and is text as well", () => {
    const { text, calls, begun, reader } = read(ids(CALL, "call:f{a:{b:1}", CALL, "call:g{}", END_CALL));
    expect([text, calls, reader.callCount]).toEqual(["call:f{a:{b:1}", [{ name: "g", arguments: "{}" }], 1]);
    expect(begun).toEqual([{ index: 0, name: "f", arguments: '{"a":{"b":1}', whole: false }, { index: 1, name: "g", arguments: "{}", whole: true }]);
  });

  test("a call out of a thought ends it", () => {
    expect(read(ids(THOUGHT, "thought\nhm", CALL, "call:f{}", END_CALL))).toMatchObject({ text: "", thought: "hm", calls: [{ name: "f", arguments: "{}" }] });
  });

  test.each([
    [ids(CALL, "call:f{a:1"), "call:f{a:1"],
    [ids(CALL, "nonsense", END_CALL, "!"), "nonsense!"],
    [ids(CALL, "call:f{a:", QUOTE, "x"), 'call:f{a:"x'],
    [ids(CALL, "call:f{", CALL, "call:g{}", END_CALL), "call:f{"],
  ])("what is no call becomes text, %#", (tokens, text) => {
    expect(read(tokens).text).toBe(text);
  });

  test.each([
    [ids(CALL, "call:f{a:1}"), [{ name: "f", arguments: '{"a":1}' }], ""],
    [ids("Hm.", CALL, "call:f{a:", QUOTE, "x", QUOTE, "}\n"), [{ name: "f", arguments: '{"a":"x"}' }], "Hm."],
    [ids(CALL, "call:f({a:1})"), [{ name: "f", arguments: '{"a":1}' }], ""],
    [ids(CALL, "call:f{}", END_CALL, CALL, "call:g{}"), [{ name: "f", arguments: "{}" }, { name: "g", arguments: "{}" }], ""],
    // Half a call.
    [ids(CALL, "call:f{a:1"), [], "call:f{a:1"],
    [ids(CALL, "call:f{a:", QUOTE, "x}"), [], 'call:f{a:"x}'],
    [ids(CALL, "call:f"), [], "call:f"],
    [ids(CALL, "call:f({a:1}"), [], "call:f({a:1}"],
    [ids(CALL, "call:f{a:1}}"), [], "call:f{a:1}}"],
  ])("the end of the model's turn ends a call that has all but its last token, %#", (tokens, calls, text) => {
    const found = read(tokens, FORMAT, [], true);
    expect(found).toMatchObject({ calls, text });
    expect(found.reader.callCount).toBe(calls.length);
    // Where the answer is cut off, more may have come.
    expect(read(tokens).calls.length).toBe(tokens.at(-1) === END_CALL ? calls.length : tokens.includes(END_CALL) ? 1 : 0);
  });

  test("what comes next ends a call that has all but its last token", () => {
    expect(read(ids(CALL, "call:f{}", CALL, "call:g{}", END_CALL))).toMatchObject({ text: "", calls: [{ name: "f" }, { name: "g" }] });
    expect(read(ids(CALL, "call:f{}", THOUGHT, "thought\nhm", END_THOUGHT, "x"))).toMatchObject({ text: "x", thought: "hm", calls: [{ name: "f" }] });
  });

  test.each([
    [ids(CALL, "call:f{a:1}call:g{b:", QUOTE, "}", QUOTE, "}", END_CALL, "!"), ["f", '{"a":1}', "g", '{"b":"}"}'], "!"],
    [ids(CALL, "call:f{}\ncall:g{},call:h(x=1)", END_CALL), ["f", "{}", "g", "{}", "h", '{"x":1}'], ""],
    [ids(CALL, "call:f{}call:g{b}", END_CALL), ["f", "{}"], "call:g{b}"],
  ])("reads several calls between one pair of markers, %#", (tokens, calls, text) => {
    const found = read(tokens);
    expect([found.calls.flatMap((call) => [call.name, call.arguments]), found.text]).toEqual([calls, text]);
  });

  const TOOLS: AnswerFormat = { ...FORMAT, tools: ["f", "find"] };
  test.each([
    [ids("call:f{a:", QUOTE, "x", QUOTE, "}"), [["f", '{"a":"x"}']], ""],
    [ids("\n call:find(a=1)", END_CALL), [["find", '{"a":1}']], ""],
    [ids(THOUGHT, "thought\nhm", END_THOUGHT, "call:f{}"), [["f", "{}"]], ""],
    [ids(CALL, "call:f{}", END_CALL, "call:find{}"), [["f", "{}"], ["find", "{}"]], ""],
    [ids("call:f{}call:find{}"), [["f", "{}"], ["find", "{}"]], ""],
    [ids("call:f{}", CALL, "call:find{}", END_CALL), [["f", "{}"], ["find", "{}"]], ""],
    // Text.
    [ids("call:g{}"), [], "call:g{}"],
    [ids("call:f is a tool"), [], "call:f is a tool"],
    [ids("call:f{} is how you call it"), [], "call:f{} is how you call it"],
    [ids("Write call:f{}"), [], "Write call:f{}"],
    [ids("call"), [], "call"],
    [ids("call", THOUGHT, "thought\na", END_THOUGHT, "call me"), [], "callcall me"],
  ])("finds a call of a tool that there is at the beginning of text, and no other, %#", (tokens, calls, text) => {
    const found = read(tokens, TOOLS, [], true);
    expect([found.calls.map((call) => [call.name, call.arguments]), found.text]).toEqual([calls, text]);
    if (!tokens.includes(CALL)) expect(read(tokens).calls).toEqual([]);
  });

  test("text that is no call after all ends at a stop string", () => {
    expect(read(ids("call:fun"), TOOLS, ["fu"]).text).toBe("call:");
    expect(read(ids("call"), TOOLS, ["ca"], true).text).toBe("");
  });

  test("a second end of a thought or a call is none of the text, even where the tokenizer has a text for it", () => {
    const written = (each: readonly number[]): string => each.map((id) => (id < 0 ? "<mark>" : String.fromCharCode(id))).join("");
    const reader = new AnswerReader(written, [], FORMAT);
    const texts = ids(THOUGHT, "thought\na", END_CALL, END_THOUGHT, END_THOUGHT, "b", END_CALL, "c").map((id) => reader.push(id).delta.text);
    expect(texts.join("") + reader.end().delta.text).toBe("bc");
    expect(reader.thoughtTokens).toBe(1);
  });

  test.each([
    [ids("a", THOUGHT, "thought\nb", END_THOUGHT, "c", THOUGHT, "thought\nd\n", END_THOUGHT, "e"), "bd", "ace"],
    [ids(THOUGHT, " thought\na", END_THOUGHT, "b"), "a", "b"],
    [ids(THOUGHT, "\nthought\na", END_THOUGHT, "b"), "a", "b"],
    [ids(THOUGHT, "plan\na", END_THOUGHT, "b"), "plan\na", "b"],
    [ids(THOUGHT, "thought", END_THOUGHT, "b"), "", "b"],
    [ids(THOUGHT, END_THOUGHT, "b"), "", "b"],
    [ids(THOUGHT, "thou"), "", ""],
  ])("reads thoughts as models mark them, %#", (tokens, thought, text) => {
    expect(read(tokens)).toMatchObject({ thought, text });
  });

  test("stops behind as many calls as there may be", () => {
    const tokens = ids(CALL, "call:f{}", END_CALL, CALL, "call:g{}", END_CALL);
    expect(read(tokens, { ...FORMAT, mostCalls: 1 })).toMatchObject({ calls: [{ name: "f" }] });
    expect(read(ids(CALL, "call:f{}call:g{}", END_CALL), { ...FORMAT, mostCalls: 1 }).calls).toEqual([{ name: "f", arguments: "{}" }]);
    expect(read(tokens, { ...FORMAT, mostCalls: 2 }).calls.length).toBe(2);
  });

  test("what is streamed of a call adds up to what it is as a whole, and that is JSON", () => {
    for (const text of [":call:f{a:,b:108.,}", "call:f(a='x, y', b=[1,],)", 'call:f({"a": {"b": null}})', "call:f", "call:f{a:{b:[1"]) {
      const { calls, deltas } = read(ids(CALL, text, END_CALL));
      expect(calls.length).toBe(1);
      JSON.parse(calls[0]!.arguments);
      const pieces = deltas.flatMap((delta) => delta.calls);
      // Half of it must not be run.
      for (let count = 1; count < pieces.length; count++) {
        expect(() => JSON.parse(pieces.slice(0, count).map((piece) => piece.arguments).join(""))).toThrow();
      }
    }
  });

  test("text that only looks like a marker stays text", () => {
    expect(read(ids("<|tool_call>call:f{}<tool_call|>"))).toMatchObject({ text: "<|tool_call>call:f{}<tool_call|>", calls: [] });
  });

  test("a model without markers gives text alone", () => {
    expect(read(ids(THOUGHT, "thought\nab", END_THOUGHT), PLAIN)).toMatchObject({ text: "thought\nab", thought: "" });
  });

  test("stop strings end the text, and are not looked for in thoughts and calls", () => {
    const { text, thought, calls } = read(ids(THOUGHT, "thought\nstop", END_THOUGHT, CALL, "call:stop{}", END_CALL, "and stop here"), FORMAT, ["stop"]);
    expect([text, thought, calls.length]).toEqual(["and ", "stop", 1]);
  });

  test("every cut of an answer gives the same", () => {
    const whole = ids(THOUGHT, "thought\nab\n", END_THOUGHT, "Hi ", CALL, "call:f{a:", QUOTE, "é", QUOTE, ",b:[1,2]}", END_CALL);
    const { calls, thought, text } = read(whole);
    for (let cut = 0; cut <= whole.length; cut++) {
      const part = read(whole.slice(0, cut));
      expect(thought.startsWith(part.thought)).toBe(true);
      // What breaks off in the midst of a call is shown as text; before it, nothing but the answer's own.
      expect(part.text === text || text.startsWith(part.text) || part.text.startsWith(`${text}call:`.slice(0, part.text.length))).toBe(true);
      expect(part.calls.length).toBe(cut === whole.length ? calls.length : 0);
    }
    expect([calls[0]!.name, JSON.parse(calls[0]!.arguments)]).toEqual(["f", { a: "é", b: [1, 2] }]);
  });

  test("asks to close a thought that has had its tokens", () => {
    const closing = ids("\n", END_THOUGHT);
    const { next, reader } = read(ids(THOUGHT, "thought\nabc"), { ...FORMAT, thinkingBudget: 2, closing });
    expect([next, reader.thoughtTokens]).toEqual([closing, 2]);
    expect(read(ids(THOUGHT, "thought\na"), { ...FORMAT, thinkingBudget: 2, closing }).next).toEqual([]);
  });
});
