import { describe, expect, test } from "vitest";
import { Detokenizer } from "../src/text/detokenizer";
import { StopStrings } from "../src/text/stop_strings";
import { Tokenizer } from "../src/text/tokenizer";
import { BOS, SPECIAL, TOKENIZER_FACTS, tokenizerFile, VOCABULARY } from "./fixture";

const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
const TURN = SPECIAL.indexOf("<|turn>");
const END_OF_TURN = SPECIAL.indexOf("<turn|>");
const TEXTS = ["", "the inner tent", "  two  spaces ", "naïve ☕ 家 🙂👩‍👩‍👧 end", "\u0000\uFFFD x", "שלום عالم", "a\n\n\nb\tc", "<turn|"];

describe("Tokenizer", () => {
  test.each(TEXTS)("decodes what it encoded: %j", (text) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("recognises special tokens in encode, and none in encodePlain", () => {
    const text = "a<|turn>b<turn|><bos>";
    expect(tokenizer.encode(text)).toEqual([...tokenizer.encodePlain("a"), TURN, ...tokenizer.encodePlain("b"), END_OF_TURN, BOS]);
    const plain = tokenizer.encodePlain(text);
    expect(plain.filter((id) => id < SPECIAL.length)).toEqual([]);
    expect(tokenizer.decode(plain)).toBe(text);
  });

  test("gives special tokens no text", () => {
    expect(tokenizer.decode([BOS, ...tokenizer.encodePlain("hi"), END_OF_TURN])).toBe("hi");
  });

  test("knows added tokens that are in no vocabulary, special by the file or by the template", () => {
    const file = tokenizerFile() as { added_tokens: object[] };
    const rest = { normalized: false, lstrip: false, rstrip: false, single_word: false };
    const [plain, named, special] = [VOCABULARY.length, VOCABULARY.length + 1, VOCABULARY.length + 2] as const;
    file.added_tokens.push(
      { id: plain, content: "<plain>", special: false, ...rest },
      { id: named, content: "<named>", special: false, ...rest },
      { id: special, content: "<special>", special: true, ...rest },
    );
    const extended = new Tokenizer(file, TOKENIZER_FACTS, "{{ '<named>' }}");
    const a = extended.encodePlain("a")[0]!;
    expect(extended.decode([a, plain, named, named, a, special, a])).toBe("a<plain><named><named>aa");
    expect([plain, named, special].map((id) => extended.tokenText(id))).toEqual(["<plain>", "<named>", "<special>"]);
    expect([plain, named, special].map((id) => extended.answerText(id))).toEqual(["<plain>", "", ""]);
  });

  test("gives no text for ids that it does not know, alone and among others", () => {
    const [a, b] = [tokenizer.encodePlain("tea "), tokenizer.encodePlain("☕")];
    const unknown = VOCABULARY.length + 7;
    expect(tokenizer.decode([unknown])).toBe("");
    expect(tokenizer.decode([...a, unknown, ...b, unknown])).toBe("tea ☕");
    expect([[...tokenizer.tokenBytes(unknown)], tokenizer.tokenText(unknown)]).toEqual([[], ""]);
  });

  test("puts the BOS in front once", () => {
    expect(tokenizer.withBos([9])).toEqual([BOS, 9]);
    expect(tokenizer.withBos([BOS, 9])).toEqual([BOS, 9]);
    expect(tokenizer.withBos([])).toEqual([BOS]);
    expect(new Tokenizer(tokenizerFile(), { ...TOKENIZER_FACTS, add_bos: false }).withBos([9])).toEqual([9]);
  });

  test("refuses a file that is no tokenizer, by its name", () => {
    expect(() => new Tokenizer({}, TOKENIZER_FACTS)).toThrow("tokenizer.json: not a tokenizer");
  });
});

describe("Detokenizer", () => {
  const pieces = (ids: number[], decode = (each: readonly number[]) => tokenizer.decode(each)): string[] => {
    const detokenizer = new Detokenizer(decode);
    return [...ids.map((id) => detokenizer.push(id)), detokenizer.end()];
  };

  test.each(TEXTS)("gives pieces that join to the whole text: %j", (text) => {
    expect(pieces(tokenizer.encodePlain(text)).join("")).toBe(text);
  });

  test("gives nothing for ids that the tokenizer does not know", () => {
    const cup = tokenizer.encodePlain("a☕b");
    expect(pieces([VOCABULARY.length, ...cup.slice(0, 2), VOCABULARY.length + 1, ...cup.slice(2), 999999]).join("")).toBe("a☕b");
  });

  test("holds a character back until its last byte", () => {
    expect(pieces(tokenizer.encodePlain("a🙂"))).toEqual(["a", "", "", "", "🙂", ""]);
  });

  test("gives bytes that never become a character when the answer ends", () => {
    const cut = tokenizer.encodePlain("a🙂").slice(0, 3);
    expect(pieces(cut).join("")).toBe(tokenizer.decode(cut));
  });

  test("joins to the whole text for any ids", () => {
    let seed = 7;
    const ids = Array.from({ length: 400 }, () => (seed = (seed * 48271) % 0x7fffffff) % VOCABULARY.length);
    expect(pieces(ids).join("")).toBe(tokenizer.decode(ids));
  });

  test("follows a decoder that strips the first space", () => {
    const words = ["▁the", "▁cat", "s", "▁", "▁sat"];
    const decode = (ids: readonly number[]) => ids.map((id) => words[id]!).join("").replaceAll("▁", " ").replace(/^ /, "");
    expect(pieces([0, 1, 2, 3, 4], decode).join("")).toBe("the cats  sat");
  });
});

describe("StopStrings", () => {
  const run = (stops: string[], pieces: string[]): { shown: string; stopped: boolean } => {
    const finder = new StopStrings(stops);
    let shown = "";
    for (const piece of pieces) {
      const { text, stopped } = finder.push(piece);
      shown += text;
      if (stopped) return { shown, stopped };
    }
    return { shown: shown + finder.end(), stopped: false };
  };

  test.each([
    [["END"], ["a EN", "D b"], "a ", true],
    [["END"], ["a E", "N", "N END"], "a ENN ", true],
    [["aab"], ["aa", "a", "b"], "a", true],
    [["\n\n", "."], ["one\n", "two. \n\n"], "one\ntwo", true],
    [["long stop", "stop"], ["a long stop"], "a ", true],
    [["END"], ["a EN"], "a EN", false],
    [[], ["x", "y"], "xy", false],
  ])("stops at %j in %j", (stops, pieces, shown, stopped) => {
    expect(run(stops, pieces)).toEqual({ shown, stopped });
  });

  test("shows nothing that may still become a stop string, and all the rest", () => {
    const finder = new StopStrings(["</x>"]);
    expect(finder.push("ab</").text).toBe("ab");
    expect(finder.push("y").text).toBe("</y");
  });
});
