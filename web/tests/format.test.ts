import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatKey, formatSpeed, webAddress } from "../src/page/format";

describe("numbers for people", () => {
  test.each([[0, "0 B"], [999, "999 B"], [1500, "1.5 KB"], [285_411_840, "285 MB"], [12_300_000_000, "12.3 GB"]])(
    "%i bytes are %s",
    (bytes, text) => expect(formatBytes(bytes)).toBe(text),
  );

  test.each([[18, "18"], [32768, "32,768"], [268_098_176, "268 M"], [5_100_000_000, "5.10 B"]])("%i counts as %s", (count, text) =>
    expect(formatCount(count)).toBe(text),
  );

  test("keys become words", () => expect(["sliding_window", "kv_layers"].map(formatKey)).toEqual(["Sliding window", "KV layers"]));

  test("a speed is left out where one token has none", () => {
    expect(formatSpeed(1, 0, 1234)).toBe("1 token · first token after 1.23 s");
    expect(formatSpeed(24, 12.34, 12_345)).toBe("24 tokens · 12.3 tokens/s · first token after 12.3 s");
  });
});

test.each([
  ["https://ai.google.dev/gemma/terms", "https://ai.google.dev/gemma/terms"],
  ["HTTP://x.test", "http://x.test/"],
  ...["javascript:alert(1)", " JavaScript:alert(1)", "java\tscript:alert(1)", "\u0001javascript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://x.test/1", "file:///etc", "//x.test", "terms", ""].map(
    (text): [string, undefined] => [text, undefined],
  ),
])("a link to %j goes to %s", (text, address) => expect(webAddress(text)).toBe(address));
