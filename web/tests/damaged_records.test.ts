/** What the browser keeps, a site lists or an artifact holds beside its manifest, damaged: refused by name, or as if it were not there. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { checkManifest } from "../src/artifact/check_manifest";
import { object, isOf, text } from "../src/artifact/check_shape";
import type { Manifest } from "../src/artifact/manifest";
import { fetchModels } from "../src/page/models";
import { Tokenizer } from "../src/text/tokenizer";
import { makeArtifact, TOKENIZER_FACTS, tokenizerFile } from "./fixture";

const { manifest } = await makeArtifact("abc");

describe("a manifest's files", () => {
  test.each<[string, (manifest: Manifest) => void, RegExp]>([
    ["above the folder", (each) => (each.tokenizer.file = "../tokenizer.json"), /tokenizer\.file is "\.\.\/tokenizer\.json", expected a file's name below/],
    ["above the folder, encoded", (each) => (each.chat_template = "a/%2e%2e/%2e%2e/x"), /chat_template is/],
    ["at another origin", (each) => (each.kernels[0]!.file = "https://example.org/x.wgsl"), /kernels\[0\]\.file is/],
    ["at another host", (each) => (each.kernels[1]!.file = "//example.org/x.wgsl"), /kernels\[1\]\.file is/],
    ["at the root", (each) => (each.shards[0]!.file = "/weights/x.bin"), /shards\[0\]\.file is/],
    ["by a scheme", (each) => (each.license.file = "javascript:alert(1)"), /license\.file is/],
    ["with a query", (each) => (each.shards[1]!.file = "weights/x.bin?a=b"), /shards\[1\]\.file is/],
    ["with a backslash", (each) => (each.shards[1]!.file = "..\\x.bin"), /shards\[1\]\.file is/],
    ["without a name", (each) => (each.tokenizer.file = ""), /tokenizer\.file is ""/],
    ["of 2^53 bytes", (each) => (each.shards[1]!.bytes = 2 ** 53 - 1), /shards\[1\]\.bytes is 9007199254740991, expected 1 to/],
    ["that are two of one name", (each) => (each.shards[1]!.file = each.shards[0]!.file), /shards\[1\]: file .* is named before/],
  ])("are refused %s", (_, change, message) => {
    const copy = structuredClone(manifest);
    change(copy);
    expect(() => checkManifest(copy, "model.json")).toThrow(expect.objectContaining({ code: "bad-artifact", message: expect.stringMatching(message) }));
  });
});

describe("tokenizer.json", () => {
  const sound = tokenizerFile() as Record<string, unknown>;
  test.each<[string, unknown]>([
    ["null", null], ["a list", []], ["nothing", {}], ["no added tokens", { ...sound, added_tokens: undefined }], ["added tokens of null", { ...sound, added_tokens: [null] }],
    ["an added token without text", { ...sound, added_tokens: [{ id: 1, special: true }] }], ["a negative id", { ...sound, added_tokens: [{ id: -1, content: "a", special: true }] }],
    ["no model", { ...sound, model: null }], ["a vocabulary of texts", { ...sound, model: { ...(sound["model"] as object), vocab: { a: "1" } } }],
  ])("is refused by name: %s", (_, file) => {
    expect(() => new Tokenizer(file, TOKENIZER_FACTS)).toThrow(expect.objectContaining({ code: "bad-artifact", message: expect.stringMatching(/^tokenizer\.json: not a tokenizer/) }));
  });
});

describe("models/index.json", () => {
  beforeEach(() => void vi.stubGlobal("document", { baseURI: "http://site.test/" }));
  afterEach(() => vi.unstubAllGlobals());

  test.each(["null", "[]", "{}", '{"models": {}}', '{"models": []}', '{"models": [null]}', '{"models": [{"name": 3, "title": "t", "bytes": 1}]}', '{"models": [{"name": "a", "title": "t", "bytes": -1}]}', "<html>"])(
    "is refused by name: %s", async (json) => {
      vi.stubGlobal("fetch", async () => new Response(json));
      await expect(fetchModels()).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining("http://site.test/models/index.json") });
    });
});

test("isOf tells whether a value is of a shape", () => {
  const shape = object({ a: text });
  expect([{ a: "b" }, { a: 1 }, null, [], {}].map((value) => isOf(shape, value))).toEqual([true, false, false, false, false]);
});
