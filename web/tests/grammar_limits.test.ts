/** Grammars that are too much for the library: refused before it sees them, or survived. */

import { describe, expect, test, vi } from "vitest";
import { type GrammarSpec, Grammars } from "../src/grammar/grammars";
import { MOST_CHARACTERS, MOST_DEPTH } from "../src/grammar/grammar_limits";
import { startLibrary } from "../src/grammar/start_library";
import { SPECIAL, STOP, VOCABULARY } from "./fixture";
import { newLibrary } from "./xgrammar";

const TEXTS = VOCABULARY.map((text, id) => (id < SPECIAL.length ? "" : text));
const tokens = () => ({ texts: TEXTS, count: VOCABULARY.length, stop: STOP });
const ebnf = (text: string): GrammarSpec => ({ kind: "ebnf", text, field: "grammar" });
const regex = (text: string): GrammarSpec => ({ kind: "regex", text, field: "regex" });
const nested = (depth: number, inner: string): string => "(".repeat(depth) + inner + ")".repeat(depth);
const library = newLibrary();
const grammars = new Grammars(tokens, () => startLibrary(library));

/** The texts of the tokens that may come first. */
async function first(spec: GrammarSpec, of = grammars): Promise<string[]> {
  const masks = await of.begin(spec);
  const mask = await masks.after([]);
  masks.dispose();
  return VOCABULARY.filter((_, id) => (mask[id >> 5]! >> (id & 31)) & 1);
}

describe("Grammars", () => {
  test.each<[string, GrammarSpec, RegExp]>([
    ["a deep expression", regex(nested(300, "a")), /^regex: parentheses nest deeper.* 64 levels/],
    ["an expression that is one level too deep", regex(nested(MOST_DEPTH, "a")), /64 levels/],
    ["a deep grammar", ebnf(`root ::= ${nested(300, '"a"')}`), /^grammar: parentheses nest deeper/],
    ["a long expression", regex("a".repeat(MOST_CHARACTERS + 1)), /it has 200001 characters, and at most 200000/],
    ["repetitions of repetitions", regex("(((a{100}){100}){100})"), /with its repetitions written out/],
    ["repetitions of alternatives", ebnf(`root ::= (("ab" | [c-d]{9}){1,120}){99}{99}`), /with its repetitions written out/],
    ["more classes than can be compiled", regex("([^x]{40}){40}"), /its grammar has \d+ classes of characters, and at most 1000/],
    ["more rules than can be compiled", ebnf(`root ::= r0\n${Array.from({ length: 12000 }, (_, i) => `r${i}::=r${i + 1}`).join("\n")}\nr12000 ::= "a"`), /(rules and alternatives|characters)/],
    ["classes of which none ends", regex("[".repeat(MOST_CHARACTERS)), /./],
    ["classes of which none ends, behind a backslash", ebnf(`root ::= ${"[".repeat(MOST_CHARACTERS - 20)}\\`), /./],
    ["a string that does not end", ebnf(`root ::= ${'"a'.repeat(MOST_CHARACTERS / 2 - 5)}`), /./],
    ["an expression that does not end", regex(`${"(".repeat(40)}a`), /not valid/],
  ])("refuse %s, and take the next", async (_, spec, message) => {
    await expect(grammars.begin(spec)).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(message) });
    expect(await first(regex("b"))).toEqual(["<0x62>", "b"]);
  });

  test("do not count what is no parenthesis", async () => {
    const text = "[(]\\(".repeat(200);
    expect(await first(regex(text))).toContain("(");
    expect(await first(ebnf(`# ${"(".repeat(200)}\nroot ::= "${"(".repeat(200)}" [(]`))).toContain("(");
    expect(await first(regex(nested(MOST_DEPTH - 1, "a")))).toContain("a");
  });

  test("make a library anew that has trapped, in whatever it did, and let nobody use the old one", async () => {
    let instances = 0;
    const counted = new Grammars(tokens, () => (instances++, startLibrary(library)));
    const other = new Grammars(tokens, () => startLibrary(library));
    const old = await counted.begin(regex("ab"));
    const others = await other.begin(regex("ab"));
    // Past the check: a stack that overflows.
    await expect(library.Grammar.fromEBNF(`root ::= ${nested(3000, '"a"')}`)).rejects.toThrow();
    (await startLibrary(library)).abandon();
    await expect(old.after([])).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining("ask again") });
    old.dispose();
    expect(await first(regex("b"), counted)).toEqual(["<0x62>", "b"]);
    await expect(others.after([])).rejects.toMatchObject({ code: "bad-request" });
    expect(await first(ebnf('root ::= "b"'), other)).toEqual(["<0x62>", "b"]);
    expect(instances).toBe(2);
  });

  test("keep the newest that were compiled, and no more", async () => {
    const counting = newLibrary();
    const compile = vi.spyOn(counting.GrammarCompiler.prototype, "compileGrammar");
    const kept = new Grammars(tokens, () => startLibrary(counting));
    const begun = await kept.begin(regex("ab"));
    for (let i = 0; i < 3; i++) await first(regex("ab"), kept);
    expect(compile).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 40; i++) expect(await first(regex(`a{${i + 1}}b`), kept)).toContain("a");
    for (let i = 0; i < 3; i++) await first(regex("a{40}b"), kept);
    expect(compile).toHaveBeenCalledTimes(41);
    expect(await begun.after([])).toBeInstanceOf(Int32Array); // of one that was let go
    await first(regex("ab"), kept);
    expect(compile).toHaveBeenCalledTimes(42);
  });

  test("try the vocabulary anew where the library failed with it", async () => {
    const failing = newLibrary();
    const once = vi.spyOn(failing.TokenizerInfo, "createTokenizerInfo").mockRejectedValueOnce(new WebAssembly.RuntimeError("out of memory"));
    const later = new Grammars(tokens, () => startLibrary(failing));
    await expect(later.begin(regex("a"))).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining("out of memory") });
    expect(await first(regex("b"), later)).toEqual(["<0x62>", "b"]);
    expect(once).toHaveBeenCalledTimes(2);
  });

  test("find a trap while an answer is drawn, and take the next grammar", async () => {
    const trapping = newLibrary();
    const drawn = new Grammars(tokens, () => startLibrary(trapping));
    const masks = await drawn.begin(regex("ab"));
    trapping.GrammarMatcher.prototype.getNextTokenBitmask = () => Promise.reject(new WebAssembly.RuntimeError("memory access out of bounds"));
    await expect(masks.after([])).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(/^regex: .* is too much for the grammar library .memory access/) });
    masks.dispose();
    expect((await startLibrary(trapping)).broken).toBe(false);
  });
});
