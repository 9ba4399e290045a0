import { afterEach, expect, test, vi } from "vitest";
import { addressIn, folderAddress } from "../src/artifact/addresses";
import { checkLoadOptions } from "../src/engine/check_load_request";
import { nearestName } from "../src/engine/nearest_name";

vi.stubGlobal("document", { baseURI: "https://site.test/chat/index.html?a=b#c" });
afterEach(() => void vi.stubGlobal("document", { baseURI: "https://site.test/chat/index.html?a=b#c" }));

test.each([
  ["models/x/", "https://site.test/chat/models/x/model.json"],
  ["models/x", "https://site.test/chat/models/x/model.json"],
  ["/models/x", "https://site.test/models/x/model.json"],
  ["../x", "https://site.test/x/model.json"],
  [".", "https://site.test/chat/model.json"],
  ["models/x/?v=2", "https://site.test/chat/models/x/model.json?v=2"],
  ["models/x?v=a/b", "https://site.test/chat/models/x/model.json?v=a/b"],
  ["models/x/#part", "https://site.test/chat/models/x/model.json"],
  ["models/x?v=2#part", "https://site.test/chat/models/x/model.json?v=2"],
  ["models/x/model.json", "https://site.test/chat/models/x/model.json"],
  ["models/x/model.json?v=2", "https://site.test/chat/models/x/model.json?v=2"],
  ["models/model.json/", "https://site.test/chat/models/model.json/model.json"],
  ["models/a b/ü", "https://site.test/chat/models/a%20b/%C3%BC/model.json"],
  ["//other.test/x", "https://other.test/x/model.json"],
  ["chrome-extension://abc/models/x", "chrome-extension://abc/models/x/model.json"],
  [new URL("https://other.test/x?key=1"), "https://other.test/x/model.json?key=1"],
])("of the folder %s the manifest is %s", (folder, manifest) => {
  expect(addressIn(folderAddress(folder), "model.json")).toBe(manifest);
});

test.each([
  [undefined, "found undefined"],
  [null, "found null"],
  ["", "found an empty text"],
  ["  ", "found an empty text"],
  [7, "found 7"],
  [{}, "found [object Object]"],
  [["models/x/"], "found [object Array]"],
  [Symbol("x"), "found Symbol(x)"],
  ["http://", 'found "http://", which is no address here'],
  ["blob:https://site.test/0c6f", "found one of blob:"],
  ["data:application/json,{}", "found one of data:"],
  [new URL("javascript:0"), "found one of javascript:"],
])("%s is no folder", (folder, told) => {
  expect(() => folderAddress(folder)).toThrow(told);
  expect(() => folderAddress(folder)).toThrow(expect.objectContaining({ code: "bad-request" }) as Error);
});

test("in a page without an address of its own, a relative folder is refused and an absolute one is taken", () => {
  vi.stubGlobal("document", { baseURI: "about:srcdoc" });
  expect(() => folderAddress("models/x/")).toThrow("no address here");
  expect(folderAddress("https://site.test/x")).toBe("https://site.test/x/");
});

test.each([
  [{ onprogress: () => undefined }, "onprogress: this field is not supported; did you mean onProgress?"],
  [{ conversation_memory: 1 }, "did you mean conversationMemory?"],
  [{ thread: 1 }, "did you mean threads?"],
  [{ device: "gpu" }, "device: this field is not supported"],
  [{ onBackend: "log" }, 'onBackend: expected a function, found "log"'],
  [{ signal: {} }, "signal: expected an AbortSignal, found {}"],
  [null, "expected an object, found null"],
  ["webgpu", 'expected an object, found "webgpu"'],
])("of the options %j it is said what is wrong", (options, told) => {
  expect(() => checkLoadOptions(options)).toThrow(told);
});

test("options that are known are taken, also undefined ones", () => {
  checkLoadOptions({});
  checkLoadOptions({ host: "page", onProgress: () => undefined, signal: new AbortController().signal, threads: undefined });
});

test.each([
  ["max_token", "max_tokens"], ["maxTokens", "max_tokens"], ["tempreature", "temperature"], ["topk", "top_k"], ["reasoning", undefined], ["x", undefined], ["", undefined],
])("by %j was meant %s", (name, meant) => {
  expect(nearestName(name, ["max_tokens", "temperature", "top_k", "top_p", "seed"])).toBe(meant);
});
