/** What a template, a conversation or a prompt may cost: counted, and refused where it is more. */

import { describe, expect, test, vi } from "vitest";
import gemma4 from "../../tests/fixtures/templates/gemma4.jinja?raw";
import { ChatTemplate } from "../src/text/chat";
import { fitMessages } from "../src/text/fit_messages";
import { compileTemplate } from "../src/text/jinja";
import { longEnough } from "../src/text/long_text";
import { strip, stripEnd } from "../src/text/python";
import { strftime } from "../src/text/strftime";
import { workFor } from "../src/text/template_work";
import type { ChatMessage, Conversation } from "../src/text/messages";
import { Tokenizer } from "../src/text/tokenizer";
import { CONTEXT, TOKENIZER_FACTS, tokenizerFile } from "./fixture";
import { start, TEXT } from "./recital_engine";

const TOKENS = { bos_token: "<bos>", eos_token: "<eos>" };
const talk = (count: number, content = "the tea"): ChatMessage[] => Array.from({ length: count }, (_, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));

describe("a template", () => {
  const doubled = "[x, x]";
  test.each<[string, string, RegExp]>([
    ["two nested loops", "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}", /more than 20000 steps/],
    ["two nested loops that write", "{% for a in range(999) %}{% for b in range(999) %}x{% endfor %}{% endfor %}", /steps/],
    ["loops over one list", "{% set l = range(300) %}{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}", /steps/],
    ["loops with a test alone", "{% set l = range(300) %}{% for a in l %}{% for b in l if b < 0 %}{% endfor %}{% endfor %}", /steps/],
    ["an endless range", "{% for a in range(1000000000000) %}{% endfor %}", /range\(\) has 1000000000000 numbers/],
    ["a range without end", "{% for a in range(0, 1, 0) %}{% endfor %}", /range\(\)/],
    ["a text that doubles", "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | upper }}", /more than \d+ (characters|steps)|[Ii]nvalid string length/],
    ["a text that joins itself", "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}", /more than \d+ (characters|steps)|[Ii]nvalid string length/],
    ["a list that doubles", `{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set x = ns.x %}{% set ns.x = ${doubled} %}{% endfor %}{{ ns.x }}`, /characters or parts/],
    ["a list that grows", "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", /more than \d+/],
    ["an object that doubles", "{% set ns = namespace(x={}) %}{% for a in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson }}", /characters or parts/],
    ["a namespace in itself", "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns.x }}", /namespace inside/],
    ["a namespace in another", "{% set ns = namespace(a=namespace()) %}", /namespace inside/],
    ["a namespace in a list", "{% set ns = namespace() %}{% set l = [ns] %}", /namespace inside/],
    ["a macro without end", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /./],
    ["macros that double", "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}", /steps/],
  ])("of %s comes to an end", (_, source, message) => {
    expect(() => compileTemplate(source)({}, 20_000)).toThrow(message);
  });

  test("that does not come to an end is an error of the engine's, and a namespace may hold what is none", () => {
    const chat = (source: string) => new ChatTemplate(source, new Tokenizer(tokenizerFile(), TOKENIZER_FACTS), TOKENS);
    const refused = { name: "GemletError", code: "bad-request", message: expect.stringMatching(/the model's chat template refuses them: range\(\) has 1000000000 numbers/) };
    expect(() => chat("{% for a in range(1000000000) %}{% endfor %}").encode({ messages: talk(1) })).toThrow(expect.objectContaining(refused));
    expect(compileTemplate("{% set ns = namespace(a=[1], b={'c': 2}) %}{% set ns.a = ns.a + [3] %}{{ ns.a }}{{ ns.b }}")({})).toBe("[1, 3]{'c': 2}");
  });

  test("of Gemma takes no more than a tenth of what is allowed, for a long conversation a third", () => {
    const variables = (count: number) => ({ messages: talk(count), tools: null, documents: null, add_generation_prompt: true, ...TOKENS });
    for (const [count, share] of [[50, 10], [400, 3]] as const) {
      const written = JSON.stringify(variables(count)).length;
      expect(compileTemplate(gemma4)(variables(count), workFor(written) / share)).toContain("the tea");
    }
    expect(workFor(10 ** 9)).toBe(workFor(10 ** 8));
  });

  test("has the date in English", () => {
    const date = new Date(2024, 1, 9, 15, 4, 5);
    expect(strftime(date, "%Y-%m-%d %d %b %B %a %A %H:%M:%S %I %p %y %% %Q")).toBe("2024-02-09 09 Feb February Fri Friday 15:04:05 03 PM 24 % %Q");
    expect(compileTemplate("{{ strftime_now('%Y') }}")({})).toMatch(/^2\d{3}$/);
    expect(compileTemplate("{{ range(2, 9, 3) }}{{ range(3, 0, -1) }}{{ range(2) }}")({})).toBe("[2, 5, 8][3, 2, 1][0, 1]");
  });
});

describe("overflow: shift", () => {
  test.each([10, 100, 1600, 20000])("encodes a conversation of %i messages some log n times", (count) => {
    const encode = vi.fn(({ messages }: Conversation) => new Array<number>(messages.length).fill(1));
    const ids = fitMessages({ messages: talk(count) }, encode, (length) => length <= 8);
    expect([ids.length, encode.mock.calls.length <= 3 + 2 * Math.log2(count)]).toEqual([8, true]);
  });

  test("encodes little that is longer than what fits, where not all of it can", () => {
    const encode = vi.fn(({ messages }: Conversation) => new Array<number>(messages.length).fill(1));
    fitMessages({ messages: talk(100_000) }, encode, (length) => length <= 100, { messages: 2000, characters: Infinity });
    expect(Math.max(...encode.mock.calls.map(([{ messages: { length } }]) => length))).toBeLessThanOrEqual(260);
  });

  test("does not encode what cannot fit in any case, and gives the same", () => {
    const messages = [{ role: "system" as const, content: "s" }, ...talk(5000)];
    const encode = vi.fn((conversation: Conversation) => conversation.messages.flatMap(({ content }) => [...(content as string)].map(() => 1)));
    const room = (length: number): boolean => length <= 100;
    const ids = fitMessages({ messages }, encode, room, { messages: 100, characters: 700 });
    expect(Math.max(...encode.mock.calls.map(([{ messages: { length } }]) => length))).toBeLessThanOrEqual(101);
    expect(ids.length).toBe(fitMessages({ messages }, encode, room).length);
  });

  test("answers a conversation of 100,000 messages", async () => {
    const { chats, backend } = await start();
    expect((await chats.create({ messages: talk(99_999), overflow: "shift" })).choices[0]!.message.content).toBe(TEXT);
    expect(backend.prompts[0]!.length).toBeGreaterThan(CONTEXT - 60);
  });

  test("is not begun where it is aborted before", async () => {
    const { chats, backend } = await start();
    const aborter = new AbortController();
    const answer = chats.create({ messages: talk(99_999), overflow: "shift", signal: aborter.signal });
    aborter.abort();
    expect((await answer).choices[0]).toMatchObject({ aborted: true, message: { content: "" } });
    const streamed = await chats.create({ messages: talk(99_999), stream: true, signal: aborter.signal });
    for await (const { choices } of streamed) expect(choices[0]!.delta.content ?? "").toBe("");
    expect(backend.calls).toEqual([]);
  });
});

describe("a prompt that does not fit by far", () => {
  const overflow = (message: RegExp) => ({ code: "context-overflow", message: expect.stringMatching(message) });

  test("is refused with numbers: many messages, a long one, one character a million times", async () => {
    const { chats, completions } = await start();
    await expect(chats.create({ messages: talk(100_000) })).rejects.toMatchObject(overflow(/100000 messages, but the context holds 4096 tokens/));
    await expect(chats.create({ messages: talk(CONTEXT / 4 + 1) })).rejects.toMatchObject(overflow(/1025 messages/));
    await expect(chats.create({ messages: talk(1001) })).rejects.toMatchObject(overflow(/the prompt has more than \d+ tokens, but the context holds 4096/));
    await expect(chats.create({ messages: talk(1, "a".repeat(900_000)) })).rejects.toMatchObject(overflow(/more than \d+ tokens/));
    await expect(chats.create({ messages: talk(1, "the tea ".repeat(6_000_000)) })).rejects.toMatchObject(overflow(/\d+ characters, and at most 1000000 are looked at/));
    await expect(completions.create({ prompt: "a".repeat(50_000_000) })).rejects.toMatchObject(overflow(/more than \d+ tokens/));
    await expect(completions.create({ prompt: "😀 <|turn>".repeat(1_000_000) })).rejects.toMatchObject(overflow(/more than \d+ tokens/));
    expect((await completions.create({ prompt: "a" })).choices[0]!.text).toBe(TEXT);
  });

  test("has its end read where its beginning may be forgotten, as if it had been read whole", async () => {
    const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
    const { completions, backend } = await start();
    const prompt = Array.from({ length: 20_000 }, (_, i) => `tin ${i} the`).join(" ");
    await completions.create({ prompt, overflow: "shift", max_tokens: 1 });
    const half = CONTEXT / 2 - 1;
    expect(backend.prompts[0]).toEqual([TOKENIZER_FACTS.bos, ...tokenizer.encode(prompt).slice(-half)]);
  });

  test("is looked at for no longer than it takes to know it", () => {
    const count = vi.fn((piece: string) => piece.length);
    const text = "a".repeat(10_000_000);
    expect(longEnough(text, 30_000, count).length).toBeLessThan(100_000);
    expect(longEnough(text, 30_000, count, true).length).toBeLessThan(100_000);
    expect(count.mock.calls.length).toBeLessThan(10);
    expect(longEnough(text, Infinity, count)).toBe(text);
  });
});

test("white space inside of a text is passed over once", () => {
  const inner = `a${" ".repeat(300_000)}b`;
  expect([strip(`\t ${inner}\n`), stripEnd(` ${inner} \x1c`)]).toEqual([inner, ` ${inner}`]);
  expect([strip(" \n"), strip(""), stripEnd("\ufeff ")]).toEqual(["", "", "\ufeff"]);
});
